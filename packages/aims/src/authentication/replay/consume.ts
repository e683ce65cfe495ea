import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import type { ReplayStore } from './replay-store.ts'

/**
 * Uses up a key; a promise only when the store needs one.
 *
 * @throws {@link AimsError} `replayed`, the code given; `proof.replay_store_full`, `proof.replay_store_unavailable`
 */
export function consume(
  replays: ReplayStore,
  key: string,
  retainUntil: number,
  now: number,
  replayed: AimsErrorCode,
): void | Promise<void> {
  return ask(replays, 'consume', [key, retainUntil, now], replayed)
}

/** As {@link consume}, and uses nothing up: whoever has the key may come again. @throws {@link AimsError} as `consume` */
export function requireUnused(
  replays: ReplayStore,
  key: string,
  retainUntil: number,
  now: number,
  replayed: AimsErrorCode,
): void | Promise<void> {
  return ask(replays, 'isFresh', [key, retainUntil, now], replayed)
}

function ask(
  replays: ReplayStore,
  question: keyof ReplayStore,
  [key, retainUntil, now]: readonly [string, number, number],
  replayed: AimsErrorCode,
): void | Promise<void> {
  // `true` and nothing else: a store that answers anything odd has not said that the proof is fresh.
  const requireFresh = (isFresh: boolean): void => {
    if (isFresh !== true) throw new AimsError(replayed, 'it was used before')
  }
  try {
    const answer = replays[question](key, retainUntil, now)
    return typeof answer === 'boolean' ? requireFresh(answer) : answer.then(requireFresh).catch(failedStore)
  } catch (error) {
    failedStore(error)
  }
}

function failedStore(cause: unknown): never {
  if (AimsError.is(cause)) throw cause
  throw new AimsError('proof.replay_store_unavailable', 'the replay store failed', { cause })
}
