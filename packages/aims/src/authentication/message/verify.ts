import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { Observer } from '../../base/event.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import { DEFAULT_CLOCK_SKEW, requireTimeOptions } from '../../credentials/lifetime.ts'
import { requireLiveWit } from '../../credentials/revocation/require.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import { cachingWitVerifier } from '../../credentials/wit/cache.ts'
import type { IdMatcher } from '../../identifiers/matcher.ts'
import { makePrincipal, type Principal } from '../principal.ts'
import { randomId } from '../random-id.ts'
import { consume, requireUnused } from '../replay/consume.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { requirePeer } from '../route.ts'
import { type CheckedMessageProof, checkMessageProof } from './check.ts'
import { headerValues, MESSAGE_FIELDS, type QueuedMessage } from './message.ts'
import { messageTrailOf } from './trail.ts'

/** What a consumer knows for itself. */
export interface MessageVerifierOptions {
  readonly bundles: BundleSource
  /** One store for all consumers of a topic, with room for every message that can be alive at a time. */
  readonly replays: ReplayStore
  /** Learns of messages that were refused. */
  readonly observer: Observer
  /** Seconds that a message may wait at most: how long proofs may live, and how long the store keeps each. At most 604,800. */
  readonly maxLifetime: number
  /** Lower-case names of headers that something on the way adds or changes. The same at producers. Default none. */
  readonly unboundHeaders?: readonly string[]
  /** Who may send at all. Default: every workload of the bundles' trust domains. */
  readonly peer?: IdMatcher
  /** Which credentials were revoked, asked for every message. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Seconds that a producer's clock may be ahead. Default 30. */
  readonly clockSkew?: number
  /** Default: the machine's. */
  readonly clock?: Clock
}

/** Where a message was taken from, and for which question. */
export interface MessageSource {
  /** The topic that was subscribed to. Never what the message says of itself. */
  readonly topic: string
  /** What this consumer gave out for this one message. Then the proof must have it. */
  readonly nonce?: string
  /** Names the records of this message, for `aims explain`: what the consumer logs beside it. Default: a random one. */
  readonly id?: string
}

/** A message whose sender is known. */
export interface VerifiedMessage {
  readonly principal: Principal
  /** `jti` of the proof. */
  readonly id: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/** Verifies messages. Made by {@link createMessageVerifier}. */
export interface MessageVerifier {
  /**
   * Tells who sent a message, and uses up its proof: a second delivery of it is refused, also after a crash.
   *
   * @throws {@link AimsError} `authentication.missing`, `.missing_proof`, `.missing_credential`, `.duplicate_field`,
   *   `.peer_unexpected`; `credential.*`; `proof.*`
   */
  verify(message: QueuedMessage, source: MessageSource): Promise<VerifiedMessage>
  /**
   * As `verify`, and the proof is used up by `use` only: call it when the message has been worked on, before it is
   * acknowledged. A crash in between lets the broker deliver again. A message that was used is refused (`proof.replayed`), by `check`
   * already. Of two copies that are worked on at once both pass it, and `use` refuses the second: key the work by `id`, which a copy has
   * as well, or undo it when `use` rejects.
   * Once the proof has expired `use` is refused as well (`proof.expired`).
   */
  check(message: QueuedMessage, source: MessageSource): Promise<VerifiedMessage & { use(): Promise<void> }>
}

const MAX_LIFETIME = 604_800

/**
 * Makes the verifier of a consumer. The WIT of a message must still be good when the message is consumed: a longer queue
 * needs WITs that live longer.
 *
 * @throws TypeError for options out of range
 * @see docs/messages.md; draft-ietf-wimse-wpt-02
 */
export function createMessageVerifier(options: MessageVerifierOptions): MessageVerifier {
  const { bundles, replays, observer, maxLifetime, clock = systemClock, clockSkew = DEFAULT_CLOCK_SKEW } = options
  requireTimeOptions(0, clockSkew, maxLifetime)
  if (maxLifetime > MAX_LIFETIME) throw new TypeError('maxLifetime is at most 604800 seconds')
  const verifyWit = cachingWitVerifier({ bundles, profile: 'wimse', clockSkew })
  const { unboundHeaders = [], peer, revocations } = options

  const judge = (message: QueuedMessage, { topic, nonce }: MessageSource) => {
    if (topic === '') throw new TypeError('a message is taken from a topic')
    const now = clock()
    const carried = carriedBy(message)
    const wit = verifyWit(carried.wit, now)
    const expected = { wit, topic, now, maxLifetime, clockSkew, nonce, unboundHeaders }
    const proof = checkMessageProof(message, carried.proof, expected)
    const { subject, id, confirmation } = wit
    requirePeer(subject, peer)
    requireLiveWit(revocations, wit, now)
    const principal = makePrincipal({
      id: subject,
      method: 'wit+wpt',
      profile: 'wimse',
      credential: { type: 'wit', id: id ?? confirmation.thumbprint },
      covers: { method: false, target: true, body: true },
      expiresAt: wit.expiresAt,
      ...(wit.attested === undefined ? {} : { attested: wit.attested }),
      ...(wit.delegation === undefined ? {} : { delegation: wit.delegation }),
    })
    return { proof, principal }
  }

  const recorded = async <T>(
    message: QueuedMessage,
    { topic, nonce, id = randomId() }: MessageSource,
    work: () => T | Promise<T>,
  ): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (AimsError.is(error)) {
        const rules = { bundles, maxLifetime, ...(revocations === undefined ? {} : { revocations }) }
        await observer.record({
          type: 'authentication.refused',
          resource: { type: 'topic', id: topic },
          action: 'consume',
          decision: 'deny',
          reasons: [error.code],
          checks: messageTrailOf({ message, topic, nonce, unboundHeaders, options: rules, now: clock(), error }),
          correlationId: id,
        })
      }
      throw error
    }
  }

  const useUp = ({ replayKey, retainUntil }: CheckedMessageProof): void | Promise<void> => {
    const now = clock()
    // The store remembers it no longer, and would take it once more.
    if (retainUntil <= now) throw new AimsError('proof.expired', 'it has expired before it was used up')
    return consume(replays, replayKey, retainUntil, now, 'proof.replayed')
  }

  return {
    check(message, source) {
      return recorded(message, source, async () => {
        const { proof, principal } = judge(message, source)
        const { id, expiresAt, replayKey, retainUntil } = proof
        await requireUnused(replays, replayKey, retainUntil, clock(), 'proof.replayed')
        return { principal, id, expiresAt, use: () => recorded(message, source, () => useUp(proof)) }
      })
    },
    verify(message, source) {
      return recorded(message, source, async () => {
        const { proof, principal } = judge(message, source)
        await useUp(proof)
        return { principal, id: proof.id, expiresAt: proof.expiresAt }
      })
    },
  }
}

function carriedBy(message: QueuedMessage): { readonly wit: string; readonly proof: string } {
  const [wit, ...moreWits] = headerValues(message, MESSAGE_FIELDS.wit)
  const [proof, ...moreProofs] = headerValues(message, MESSAGE_FIELDS.proof)
  if (moreWits.length + moreProofs.length > 0) {
    throw new AimsError('authentication.duplicate_field', 'a header that must occur once occurs more often')
  }
  if (wit === undefined && proof === undefined) {
    throw new AimsError('authentication.missing', 'the message carries no proof of identity')
  }
  if (wit === undefined) throw new AimsError('authentication.missing_credential', 'the proof came without its WIT')
  if (proof === undefined) throw new AimsError('authentication.missing_proof', 'a WIT without a proof proves nothing')
  return { wit, proof }
}
