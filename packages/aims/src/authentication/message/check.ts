import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { decodeUnverifiedJws, type UnverifiedJws, verifyJws } from '../../base/jose.ts'
import type { JsonObject } from '../../base/json.ts'
import type { VerifiedWit } from '../../credentials/wit/wit.ts'
import { BODY_DIGEST_CLAIM, bodyDigest } from '../wpt/body-digest.ts'
import { bytesOf, ENVELOPE_CLAIM, envelopeDigest, MESSAGE_PROOF_TYP, type QueuedMessage } from './message.ts'

/** What the consumer knows for itself, and the WIT of the message, already verified. */
export interface MessageExpectations {
  readonly wit: VerifiedWit
  readonly topic: string
  readonly now: number
  readonly maxLifetime: number
  readonly clockSkew: number
  readonly nonce: string | undefined
  readonly unboundHeaders: readonly string[]
}

/** A message proof that passed everything but its single use. */
export interface CheckedMessageProof {
  readonly id: string
  readonly expiresAt: number
  readonly replayKey: string
  readonly retainUntil: number
}

/** All checks that wait for nothing, in the order of wpt-02. @throws {@link AimsError} `proof.*`, the first that failed */
export function checkMessageProof(
  message: QueuedMessage,
  proof: string,
  expected: MessageExpectations,
): CheckedMessageProof {
  const { wit, topic, clockSkew, nonce, unboundHeaders } = expected
  const jws = decode(proof)
  if (jws.typ !== MESSAGE_PROOF_TYP) throw new AimsError('proof.wrong_type', `typ is not ${MESSAGE_PROOF_TYP}`)
  if (jws.alg !== wit.confirmation.alg) {
    throw new AimsError('proof.alg_mismatch', 'alg is not the one of the key in the WIT')
  }
  if (!verifyJws(jws, wit.confirmation)) {
    throw new AimsError('proof.invalid_signature', 'the signature does not verify under the key in the WIT')
  }
  const { claims } = jws
  if (text(claims, 'aud') !== topic) throw new AimsError('proof.audience_mismatch', 'the proof is for another topic')
  const expiresAt = checkTimes(claims, expected)
  if (text(claims, 'wth') !== wit.hash) throw new AimsError('proof.wit_mismatch', 'the proof was made for another WIT')
  const id = text(claims, 'jti')
  if (id.length < 16 || id.length > 256) {
    throw new AimsError('proof.invalid_claim', 'jti does not have 16 to 256 characters')
  }
  if (nonce !== undefined && claims.nonce !== nonce) {
    throw new AimsError('proof.nonce_mismatch', 'the proof does not answer this nonce')
  }
  const observed = bodyDigest(bytesOf(message.payload ?? ''))
  if (text(claims, BODY_DIGEST_CLAIM) !== observed) {
    throw new AimsError('proof.body_mismatch', 'the proof was made for another payload', { observed })
  }
  if (text(claims, ENVELOPE_CLAIM) !== envelopeDigest(message, unboundHeaders)) {
    throw new AimsError('proof.envelope_mismatch', 'the proof was made for another key, headers or reply address')
  }
  const replayKey = `message ${wit.confirmation.thumbprint} ${id}`
  return { id, expiresAt, replayKey, retainUntil: expiresAt + clockSkew }
}

function checkTimes(claims: JsonObject, { now, maxLifetime, clockSkew }: MessageExpectations): number {
  const issuedAt = time(claims, 'iat')
  const expiresAt = time(claims, 'exp')
  if (expiresAt <= now) throw new AimsError('proof.expired', 'exp has passed')
  if (issuedAt > now + clockSkew) throw new AimsError('proof.not_yet_valid', 'iat is in the future')
  // From when it was made: what has waited for long has not become shorter.
  if (expiresAt - issuedAt > maxLifetime) {
    throw new AimsError('proof.lifetime_too_long', `the proof lives longer than ${maxLifetime} s`)
  }
  return expiresAt
}

const DECODING_CODES: { readonly [code: string]: AimsErrorCode } = {
  'jose.too_large': 'proof.too_large',
  'jose.forbidden_header': 'proof.forbidden_header',
  'jose.unsupported_alg': 'proof.alg_mismatch',
}

function decode(proof: string): UnverifiedJws {
  try {
    return decodeUnverifiedJws(proof)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(DECODING_CODES[cause.code] ?? 'proof.malformed', 'not an acceptable JWS', { cause })
  }
}

function text(claims: JsonObject, name: string): string {
  const value = claims[name]
  if (value === undefined) throw new AimsError('proof.missing_claim', 'the proof lacks a claim of messages')
  if (typeof value !== 'string') throw new AimsError('proof.invalid_claim', 'a claim is not a string')
  return value
}

function time(claims: JsonObject, name: 'iat' | 'exp'): number {
  const value = claims[name]
  if (value === undefined) throw new AimsError('proof.missing_claim', `the proof has no ${name}`)
  if (typeof value !== 'number') throw new AimsError('proof.invalid_claim', `${name} is not a number`)
  return value
}
