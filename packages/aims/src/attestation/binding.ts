import { createHash } from 'node:crypto'
import { equalConstantTime } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import type { AttestationType } from './attestor.ts'

/** What a server asked for: its nonce, and the key it is going to certify. Evidence of key-bindable types carries both. */
export interface Challenge {
  /** 32 random bytes, used once. */
  readonly nonce: Uint8Array
  /** SubjectPublicKeyInfo of the key that will be certified, DER. */
  readonly publicKey: Uint8Array
  /** SHA-256 of the signed manifest that is presented with the evidence, when there is one. */
  readonly manifest?: Uint8Array
}

/**
 * What the evidence must be bound to. There is no default: a verifier that is not told what to expect has nothing to
 * say about freshness. `data` and `audience` are for judging evidence that was collected for somebody else's challenge.
 */
export type ExpectedBinding =
  | { readonly kind: 'challenge'; readonly challenge: Challenge; readonly trustDomain: string }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'audience'; readonly audience: string }
  /** Accepts evidence that may be anybody's and of any age. The result says `binding: none`, `freshness: none`. */
  | { readonly kind: 'unchecked' }

const CONTEXT = Buffer.from('AIMS-ATTEST-v1\0')

/**
 * The digest that ties evidence to a challenge: H("AIMS-ATTEST-v1" 00 type 00 nonce SHA-256(SPKI)), and
 * the SHA-256 of the manifest after it where there is one.
 *
 * @see docs/layers/3-attestation.md, "Binding"
 */
export function bindingDigest(type: AttestationType, challenge: Challenge, hash: 'sha256' | 'sha512'): Buffer {
  if (challenge.nonce.length !== 32) throw new TypeError('a nonce has 32 bytes')
  const { nonce, publicKey, manifest = new Uint8Array() } = challenge
  if (manifest.length !== 0 && manifest.length !== 32) throw new TypeError('the digest of a manifest has 32 bytes')
  const key = createHash('sha256').update(publicKey).digest()
  const digest = createHash(hash).update(CONTEXT).update(`${type}\0`, 'latin1')
  return digest.update(nonce).update(key).update(manifest).digest()
}

/** The audience that ties a platform's token to a challenge, e.g. `https://example.com/attest?b=...`. */
export function bindingAudience(type: AttestationType, challenge: Challenge, trustDomain: string): string {
  return `https://${trustDomain}/attest?b=${bindingDigest(type, challenge, 'sha256').toString('base64url')}`
}

/**
 * Compares signed user data with what it must be, padded with zeros to the size of its field, in constant time.
 * Returns whether it was checked: `unchecked` is the only way not to.
 *
 * @param data - The field whole: 64 bytes hold a SHA-512 binding, 32 or fewer a SHA-256 one.
 * @throws {@link AimsError} `attestation.binding_mismatch`, `attestation.binding_missing`
 */
export function checkBoundData(type: AttestationType, data: Uint8Array, expected: ExpectedBinding): boolean {
  if (expected.kind === 'unchecked') return false
  if (expected.kind === 'audience') throw new AimsError('attestation.binding_missing', 'an audience says nothing here')
  const wanted =
    expected.kind === 'data'
      ? expected.data
      : bindingDigest(type, expected.challenge, data.length >= 64 ? 'sha512' : 'sha256')
  if (wanted.length === 0) throw new AimsError('attestation.binding_missing', 'the expected data are empty')
  const padded = Buffer.alloc(Math.max(data.length, wanted.length))
  padded.set(wanted)
  if (wanted.length > data.length || !equalConstantTime(padded, data)) throw mismatch('the signed user data')
  return true
}

/**
 * Compares the one audience of a platform's token with what it must be. Returns whether it was checked.
 *
 * @throws {@link AimsError} `attestation.binding_mismatch`
 */
export function checkBoundAudience(type: AttestationType, audience: string, expected: ExpectedBinding): boolean {
  if (expected.kind === 'unchecked') return false
  const wanted =
    expected.kind === 'challenge'
      ? bindingAudience(type, expected.challenge, expected.trustDomain)
      : expected.kind === 'audience'
        ? expected.audience
        : Buffer.from(expected.data).toString('latin1')
  if (audience !== wanted) throw mismatch('the audience')
  return true
}

/**
 * For evidence that can carry neither a nonce nor a key. It may come with a challenge, whose server sees `binding: none` in
 * the result and lets only the first key use it; data and audiences it cannot have.
 *
 * @throws {@link AimsError} `attestation.binding_mismatch`
 */
export function requireUnbound(expected: ExpectedBinding): void {
  if (expected.kind === 'unchecked' || expected.kind === 'challenge') return
  throw new AimsError('attestation.binding_mismatch', 'evidence of this type cannot be bound: it is good for first use')
}

function mismatch(what: string): AimsError {
  return new AimsError('attestation.binding_mismatch', `${what} of the evidence is not what was asked for`)
}
