import { verifyBytes } from '../../base/algorithms.ts'
import { AimsError } from '../../base/errors.ts'
import type { VerificationKey } from '../../base/keys.ts'
import { type Sealed, sealInTypes } from '../../base/seal.ts'
import { DEFAULT_CLOCK_SKEW, requireTimeOptions } from '../../credentials/lifetime.ts'
import { SIGNATURE_ALGORITHMS } from './algorithms.ts'
import type { Component } from './components.ts'
import type { Message } from './message.ts'
import { integerParameter, signatureBytes, stringParameter, type UnverifiedSignature } from './signature.ts'

/** What the verifier of a signature knows for itself. */
export interface SignatureExpectations {
  /** The key, and with it the one algorithm. Found by whoever calls, e.g. by `keyid`; never taken from the message. */
  readonly key: VerificationKey
  /** What must be covered, e.g. `[component('@method'), component('@target-uri')]`. What is not covered says nothing. */
  readonly required: readonly Component[]
  /** Seconds since the epoch. */
  readonly now: number
  /** Refuse signatures made longer ago than this, in seconds; `created` is then mandatory. Default: `expires` alone decides. */
  readonly maxAge?: number
  /** How far ahead the signer's clock may be, in seconds. Default 30. */
  readonly clockSkew?: number
}

/** A signature that was checked over this message. Only {@link verifySignature} makes one. */
export interface VerifiedSignature extends Sealed<'VerifiedSignature'> {
  readonly kind: 'verified-signature'
  readonly label: string
  /** Identifiers of what is covered, e.g. `"@method"`. Nothing else of the message is. */
  readonly covers: ReadonlySet<string>
  readonly keyid?: string
  readonly nonce?: string
  readonly tag?: string
  /** Seconds since the epoch. */
  readonly created?: number
  /** Seconds since the epoch. */
  readonly expires?: number
}

/**
 * Checks one signature of a message under a key: what it covers, its times, and the signature itself.
 *
 * Does not compare `Content-Digest` with the body: cover `content-digest`, and use {@link checkContentDigest}. Does not
 * remember a `nonce`.
 *
 * @throws {@link AimsError} `signature.*`
 * @see RFC 9421 section 3.2
 */
export function verifySignature(
  message: Message,
  signature: UnverifiedSignature,
  expected: SignatureExpectations,
): VerifiedSignature {
  const { key, required, now, maxAge, clockSkew = DEFAULT_CLOCK_SKEW } = expected
  requireTimeOptions(now, clockSkew, maxAge ?? 1)
  requireCovered(signature, required)
  const created = integerParameter(signature, 'created')
  const expires = integerParameter(signature, 'expires')
  if (expires !== undefined && expires <= now) throw new AimsError('signature.expired', 'expires has passed')
  if (created !== undefined && created > now + clockSkew) {
    throw new AimsError('signature.not_yet_valid', 'created is in the future')
  }
  if (maxAge !== undefined && created === undefined) {
    throw new AimsError('signature.missing_parameter', 'the signature has no created')
  }
  if (maxAge !== undefined && created !== undefined && created < now - maxAge) {
    throw new AimsError('signature.expired', 'created is too long ago')
  }
  const alg = stringParameter(signature, 'alg')
  if (alg !== undefined && alg !== SIGNATURE_ALGORITHMS[key.alg]) {
    throw new AimsError('signature.alg_mismatch', 'alg is not the algorithm of the key')
  }
  checkBytes(message, signature, key)
  const keyid = stringParameter(signature, 'keyid')
  const nonce = stringParameter(signature, 'nonce')
  const tag = stringParameter(signature, 'tag')
  return sealInTypes<VerifiedSignature>({
    kind: 'verified-signature',
    label: signature.label,
    covers: new Set(signature.components.map(({ identifier }) => identifier)),
    ...(keyid === undefined ? {} : { keyid }),
    ...(nonce === undefined ? {} : { nonce }),
    ...(tag === undefined ? {} : { tag }),
    ...(created === undefined ? {} : { created }),
    ...(expires === undefined ? {} : { expires }),
  })
}

/** Refuses a signature that leaves something out. @throws {@link AimsError} `signature.not_covered` */
export function requireCovered({ components }: UnverifiedSignature, required: readonly Component[]): void {
  for (const { identifier } of required) {
    if (!isAmong(components, identifier)) {
      throw new AimsError('signature.not_covered', `the signature does not cover ${identifier}`)
    }
  }
}

function isAmong(components: readonly Component[], identifier: string): boolean {
  for (const component of components) if (component.identifier === identifier) return true
  return false
}

/** The signature itself. @throws {@link AimsError} `signature.malformed`, `signature.invalid_signature` and those of the base */
export function checkBytes(message: Message, signature: UnverifiedSignature, key: VerificationKey): void {
  const { components, input, signature: bytes, label } = signature
  if (bytes === undefined) throw new AimsError('signature.malformed', `Signature has nothing under the label ${label}`)
  const base = signatureBytes(components, input, message)
  if (!verifyBytes(key.alg, key.key, base, bytes)) {
    throw new AimsError('signature.invalid_signature', 'the signature does not verify over this message')
  }
}
