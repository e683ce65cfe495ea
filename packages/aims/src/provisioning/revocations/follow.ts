import { setTimeout as delay } from 'node:timers/promises'
import type { ApiClient } from '../../base/api-client.ts'
import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonValue } from '../../base/json.ts'
import {
  type HeldRevocations,
  type HeldRevocationsOptions,
  holdRevocations,
} from '../../credentials/revocation/hold.ts'
import type { RevocationRelay, SeenRevocations } from './relay.ts'

/** Where revocation lists come from, and what depends on them. */
export interface FollowRevocationsOptions extends HeldRevocationsOptions {
  /**
   * An identity server, or whoever relays its lists: they are signed, so the way they take needs no trust. `identityServer`
   * and `apiClient` make one; `client` of a connected workload asks its agent.
   */
  readonly server: Pick<ApiClient, 'send'> | RevocationRelay
  /** Default: the machine's. */
  readonly clock?: Clock
  /**
   * Told why there is no newer list, and how often in a row. Default: a warning of the process, once for each reason; not
   * for the first three `revocation.untrusted`: bundles come by another way than lists, and may be a moment behind.
   */
  readonly onFailure?: (reason: AimsError, failures: number) => void
  /** Told of every list that was taken, also of one that only confirms the one before it: for whoever relays them. */
  readonly onList?: (list: string) => void
}

/** Revocation lists that come by themselves. */
export interface FollowedRevocations extends HeldRevocations {
  /** Resolves with the first list. Until then everything is unknown. @throws {@link AimsError} `provisioning.closed` */
  ready(): Promise<void>
  /** Stops. What is held goes stale. */
  close(): void
  [Symbol.dispose](): void
}

/** Milliseconds. The server holds a request for 10 s. */
const TIMEOUT = 20_000
const PAUSE = { shortest: 500, longest: 5000 }
/** Times that the key of a list may be missing in silence. */
const PATIENCE = 3
/** The least that `maxStaleness` may be, in seconds: a list is confirmed every 10 s. */
const MIN_STALENESS = 15

/**
 * Follows the revocation lists of a trust domain by long polls: a revocation is here as soon as the server has it, and a
 * list without news is confirmed every 10 s. Give it to `createAuthenticator`, `rotatingServer` and `mtlsAgent`.
 *
 * A server that is away takes nothing at first; after `maxStaleness` seconds nobody is accepted, unless `whenStale` says
 * otherwise.
 *
 * @throws TypeError for a `maxStaleness` below 15 s.
 */
export function followRevocations(options: FollowRevocationsOptions): FollowedRevocations {
  const { server, maxStaleness, clock = systemClock, onFailure = warnOnce(), onList } = options
  if (!(maxStaleness >= MIN_STALENESS)) throw new TypeError(`maxStaleness is at least ${MIN_STALENESS} seconds`)
  const held = holdRevocations(options)
  const stopping = new AbortController()
  const { signal } = stopping
  const first = Promise.withResolvers<void>()
  // Nobody has to wait for it.
  first.promise.catch(() => undefined)

  const ask = async (): Promise<boolean> => {
    const before = held.current
    const list = await askList(server, before, signal)
    const isNews = held.accept(list, clock())
    if (held.current !== before) onList?.(list)
    first.resolve()
    return isNews
  }
  const follow = async (): Promise<void> => {
    let pause = PAUSE.shortest
    let failures = 0
    while (!signal.aborted) {
      const asked = performance.now()
      try {
        const isNews = await ask()
        pause = PAUSE.shortest
        failures = 0
        // A server with too many who wait answers at once.
        if (isNews || performance.now() - asked > PAUSE.shortest) continue
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        onFailure(
          AimsError.is(error) ? error : new AimsError('operation.server_unreachable', 'no list', { cause: error }),
          failures,
        )
        pause = Math.min(2 * pause, PAUSE.longest)
      }
      await delay(pause, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  void follow()
  const close = (): void => {
    stopping.abort()
    first.reject(new AimsError('provisioning.closed', 'the source was closed'))
  }
  return {
    get current() {
      return held.current
    },
    accept: held.accept,
    statusOf: held.statusOf,
    onChange: held.onChange,
    ready: () => first.promise,
    close,
    [Symbol.dispose]: close,
  }
}

async function askList(
  server: FollowRevocationsOptions['server'],
  seen: SeenRevocations | undefined,
  signal: AbortSignal,
): Promise<string> {
  if ('fetchRevocationList' in server) {
    return await server.fetchRevocationList(seen ?? { sequence: 0, issuedAt: 0 }, signal)
  }
  const after = seen === undefined ? '' : `?after=${seen.sequence}`
  return readList(await server.send({ method: 'GET', path: `/v1/revocations${after}`, timeout: TIMEOUT, signal }))
}

function readList(answer: JsonValue | undefined): string {
  const list = isJsonObject(answer) ? answer.list : undefined
  if (typeof list !== 'string') throw new AimsError('operation.invalid_response', 'the server sent no list')
  return list
}

// The bundle may only be behind the list.
function isPassing({ code }: AimsError, failures: number): boolean {
  return code === 'revocation.untrusted' && failures <= PATIENCE
}

function warnOnce(): (reason: AimsError, failures: number) => void {
  let last = ''
  return (reason, failures) => {
    if (isPassing(reason, failures)) return
    const { code, message } = reason
    if (code !== last) {
      process.emitWarning(`no newer revocation list: ${message} [${code}]`, { code: 'AIMS_REVOCATIONS' })
    }
    last = code
  }
}
