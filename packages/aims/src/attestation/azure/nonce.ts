import { equalConstantTime } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { bindingDigest, type Challenge, checkBoundAudience, type ExpectedBinding } from '../binding.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const LENGTH = 32

/**
 * The nonce that ties an attested document to a challenge: the first 32 characters of the SHA-256 binding digest in
 * base32, so 160 bits about nonce and key. The metadata service takes letters and digits.
 */
export function azureNonce(challenge: Challenge): string {
  const digest = bindingDigest('azure', challenge, 'sha256')
  // 32 characters of 5 bits are the first 20 bytes.
  let bits = BigInt(`0x${digest.subarray(0, (LENGTH * 5) / 8).toString('hex')}`)
  let text = ''
  for (let i = 0; i < LENGTH; i += 1) {
    text = (ALPHABET[Number(bits & 31n)] ?? '') + text
    bits >>= 5n
  }
  return text
}

/**
 * Compares the nonce of a document with what was asked for. Returns whether it was checked.
 *
 * @throws {@link AimsError} `attestation.binding_mismatch`
 */
export function checkAzureNonce(nonce: string, expected: ExpectedBinding): boolean {
  if (expected.kind !== 'challenge') return checkBoundAudience('azure', nonce, expected)
  if (!equalConstantTime(nonce, azureNonce(expected.challenge))) {
    throw new AimsError('attestation.binding_mismatch', 'the attested document is not made for this challenge')
  }
  return true
}
