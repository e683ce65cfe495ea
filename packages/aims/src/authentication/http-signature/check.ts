import { AimsError } from '../../base/errors.ts'
import type { VerificationKey } from '../../base/keys.ts'
import { requireTimeOptions } from '../../credentials/lifetime.ts'
import type { RawHeaders } from '../carriage.ts'
import { type Component, component } from '../message-signatures/components.ts'
import { checkContentDigest } from '../message-signatures/content-digest.ts'
import { fieldText } from '../message-signatures/fields.ts'
import type { Message } from '../message-signatures/message.ts'
import { integerParameter, stringParameter, type UnverifiedSignature } from '../message-signatures/signature.ts'
import { checkBytes, requireCovered } from '../message-signatures/verify.ts'
import { COVERED_FIELDS } from './shapes.ts'

/** What is checked alike in both directions. */
export interface CommonExpectations {
  /** The key that the WIT of the message confirms. */
  readonly key: VerificationKey
  readonly required: readonly Component[]
  /** Further fields, lower-case, that must be covered when they are there. */
  readonly contextTokens: readonly string[]
  readonly forbidden: readonly string[]
  readonly now: number
  readonly clockSkew: number
  readonly maxLifetime: number
}

/** A signature that passed everything but its body and its single use. */
export interface CheckedSignature {
  readonly nonce: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** The value of `Content-Digest`, covered by the signature. */
  readonly contentDigest: string | undefined
}

/** Parameters, coverage, times and the signature itself: all that waits for nothing. @throws {@link AimsError} `signature.*` */
export function checkSignature(
  message: Message,
  signature: UnverifiedSignature,
  expected: CommonExpectations,
): CheckedSignature {
  const { key, required, contextTokens, forbidden, now, clockSkew, maxLifetime } = expected
  // Every comparison with NaN is false, and most of those below refuse when true.
  requireTimeOptions(now, clockSkew, maxLifetime)
  if (forbidden.some((name) => signature.parameters.has(name))) {
    throw new AimsError('signature.forbidden_parameter', `the signature has ${forbidden.join(' or ')}`)
  }
  const nonce = requireNonce(signature)
  const expiresAt = checkTimes(signature, now, clockSkew, maxLifetime)
  requireCovered(signature, required)
  requireCovered(signature, presentFields(message.headers, contextTokens))
  checkBytes(message, signature, key)
  return { nonce, expiresAt, contentDigest: fieldText(message.headers, 'content-digest') }
}

/**
 * The body against the digest that the signature covers. A body without a digest is one that nobody signed.
 *
 * @param body - `undefined`: it is not seen, and so not compared.
 * @returns Whether there is a digest, and the body was compared with it.
 * @throws {@link AimsError} `signature.digest_missing`, `signature.digest_mismatch`, `signature.digest_unsupported`
 */
export function checkSignedBody({ contentDigest }: CheckedSignature, body: Uint8Array | undefined): boolean {
  if (body === undefined) return false
  if (contentDigest !== undefined) {
    checkContentDigest(contentDigest, body)
    return true
  }
  if (body.length > 0) throw new AimsError('signature.digest_missing', 'the message has a body and no Content-Digest')
  return false
}

/** A string that must be there. @throws {@link AimsError} `signature.missing_parameter`, `signature.invalid_parameter` */
export function requireString(signature: UnverifiedSignature, name: string): string {
  return stringParameter(signature, name) ?? absent(name)
}

function requireInteger(signature: UnverifiedSignature, name: string): number {
  return integerParameter(signature, name) ?? absent(name)
}

function absent(name: string): never {
  throw new AimsError('signature.missing_parameter', `the signature has no ${name}`)
}

const MIN_NONCE = 8
const MAX_NONCE = 256

function requireNonce(signature: UnverifiedSignature): string {
  const nonce = requireString(signature, 'nonce')
  if (nonce.length < MIN_NONCE || nonce.length > MAX_NONCE) {
    throw new AimsError('signature.invalid_parameter', `nonce does not have ${MIN_NONCE} to ${MAX_NONCE} characters`)
  }
  return nonce
}

function checkTimes(signature: UnverifiedSignature, now: number, clockSkew: number, maxLifetime: number): number {
  const created = requireInteger(signature, 'created')
  const expires = requireInteger(signature, 'expires')
  if (expires <= created) throw new AimsError('signature.invalid_parameter', 'expires is not after created')
  if (created > now + clockSkew) throw new AimsError('signature.not_yet_valid', 'created is in the future')
  if (expires <= now) throw new AimsError('signature.expired', 'expires has passed')
  if (expires > created + maxLifetime) {
    throw new AimsError('signature.lifetime_too_long', `expires is more than ${maxLifetime} s after created`)
  }
  return expires
}

function presentFields(headers: RawHeaders, contextTokens: readonly string[]): readonly Component[] {
  const known = COVERED_FIELDS.filter(({ name }) => hasField(headers, name))
  for (const field of contextTokens) if (hasField(headers, field)) known.push(component(field))
  return known
}

function hasField(headers: RawHeaders, field: string): boolean {
  for (const [name] of headers) if (name.length === field.length && name.toLowerCase() === field) return true
  return false
}
