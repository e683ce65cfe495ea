import { sha256Base64url } from '../../base/bytes.ts'
import { signJwsLocally } from '../../base/jose.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { randomId } from '../random-id.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from '../wpt/body-digest.ts'
import {
  bytesOf,
  ENVELOPE_CLAIM,
  envelopeDigest,
  MESSAGE_FIELDS,
  MESSAGE_PROOF_TYP,
  type QueuedMessage,
} from './message.ts'

/** Where a message goes, and for how long its proof is to be good. */
export interface MessageProofOptions {
  /** The topic, subject or queue as producers and consumers name it, e.g. `kafka://orders.example.com/orders`. */
  readonly topic: string
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds: the longest that the message may wait. Default 300, at most 604,800. It never outlives the WIT. */
  readonly lifetime?: number
  /** What a consumer has given out for this one message, as for an answer. */
  readonly nonce?: string
  /** Lower-case names of headers that something on the way adds or changes, e.g. `traceparent`. The same at the consumer. Default none. */
  readonly unboundHeaders?: readonly string[]
}

/** The headers that carry a proof. Set them, in place of others with these names. */
export interface MessageProof {
  readonly headers: { readonly [name: string]: string }
  /** Seconds since the epoch: a consumer that comes later refuses the message. */
  readonly expiresAt: number
}

const MAX_LIFETIME = 604_800

/**
 * Proves who sends one message, to one topic: payload, key, all headers and the reply address are bound. The proof is used
 * once: make a new one for every message, also when one is sent again.
 *
 * @throws TypeError for a lifetime out of range, for a WIT of an older profile, and without a topic
 * @see draft-ietf-wimse-wpt-02, whose claims these are; the binding to messages is a profile of AIMS (docs/messages.md)
 */
export function proveMessage(wit: Wit, message: QueuedMessage, options: MessageProofOptions): MessageProof {
  const { topic, now, lifetime = 300, nonce, unboundHeaders = [] } = options
  if (topic === '') throw new TypeError('a message proof is for a topic')
  if (!(lifetime > 0 && lifetime <= MAX_LIFETIME)) throw new TypeError('a message proof lives 1 to 604800 seconds')
  if (wit.profile !== 'wimse') throw new TypeError('message proofs are made with a WIT of profile wimse')
  const iat = Math.floor(now)
  const expiresAt = Math.min(iat + lifetime, wit.expiresAt)
  const claims = {
    aud: topic,
    iat,
    exp: expiresAt,
    jti: randomId(),
    wth: sha256Base64url(wit.token),
    nonce,
    [BODY_DIGEST_CLAIM]: bodyDigest(bytesOf(message.payload ?? '')),
    [ENVELOPE_CLAIM]: envelopeDigest(message, unboundHeaders),
  }
  const proof = signJwsLocally({ typ: MESSAGE_PROOF_TYP }, claims, wit.key)
  return { headers: { [MESSAGE_FIELDS.wit]: wit.token, [MESSAGE_FIELDS.proof]: proof }, expiresAt }
}
