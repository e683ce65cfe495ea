import { asBuffer, equalConstantTime } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { bindingDigest, type ExpectedBinding } from '../binding.ts'
import { parseSign1, type UnverifiedSign1, verifySign1 } from '../cose/sign1.ts'
import { unpackEvidence } from '../packaging.ts'
import { parseVendorCertificate, vendorPublicKey } from '../x509/vendor-certificate.ts'
import { DIGITAL_SIGNATURE, keyUsages, type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { type NitroDocument, parseNitroDocument } from './document.ts'

/** An attestation document whose chain and signature hold. */
export interface VerifiedNitro {
  readonly message: UnverifiedSign1
  readonly document: NitroDocument
  readonly chain: VendorChain
}

/** Seconds that the clock of a host may be ahead of ours. */
const CLOCK_SKEW = 300

/** CBOR: an array of four. */
const UNTAGGED_SIGN1 = 0x84

/**
 * Checks chain, dates, signature and timestamp of an attestation document. The first certificate of `cabundle` must be a
 * pinned root, and the chain must be exactly the one sent.
 *
 * @throws {@link AimsError} `attestation.untrusted`, `.chain_invalid`, `.invalid_signature`, `.expired`, `.not_yet_valid`,
 *   `.malformed`, `.unsupported`, `.weak_key`
 */
export function authenticateNitro(bytes: Uint8Array, roots: ReadonlySet<string>, now: number): VerifiedNitro {
  const message = parseSign1(unwrap(bytes))
  const document = parseNitroDocument(message.payload)
  const leaf = parseVendorCertificate(document.certificate)
  const bundle = document.cabundle.map(parseVendorCertificate)
  if (!roots.has(bundle[0]?.fingerprint ?? '')) {
    throw new AimsError('attestation.untrusted', 'cabundle does not begin with a configured root')
  }
  const chain = validateVendorChain({ leaf, candidates: bundle, roots, now, maxCertificates: 8 })
  const sent = [leaf, ...bundle.toReversed()].map(({ fingerprint }) => fingerprint)
  if (chain.certificates.length !== sent.length || chain.certificates.some((one, i) => one.fingerprint !== sent[i])) {
    throw new AimsError('attestation.chain_invalid', 'cabundle is not the chain from the root to the issuer')
  }
  if (keyUsages(leaf)?.has(DIGITAL_SIGNATURE) === false) {
    throw new AimsError('attestation.chain_invalid', 'the certificate of the enclave may not sign')
  }
  if (!verifySign1(message, vendorPublicKey(leaf))) {
    throw new AimsError('attestation.invalid_signature', 'the signature of the Nitro document does not verify')
  }
  if (document.timestamp > now + CLOCK_SKEW) {
    throw new AimsError('attestation.not_yet_valid', 'the Nitro document was made in the future')
  }
  return { message, document, chain }
}

// An array of four, or a tag, of CBOR: no text begins so. Whatever else begins so is for the parser to refuse.
function unwrap(bytes: Uint8Array): Uint8Array {
  if ((bytes[0] ?? 0) >= 0x80) return bytes
  const unpacked = unpackEvidence(bytes, (one) => one[0] === UNTAGGED_SIGN1)
  if (unpacked.kind === 'binary') return unpacked.bytes
  throw new AimsError('attestation.malformed', 'the Nitro document is COSE in CBOR, not JSON')
}

/**
 * Compares what the enclave put into its document with what was asked for. A challenge: `nonce`, `public_key` and
 * `user_data`, all three. Data: `nonce`, or `user_data` where there is no nonce. Returns whether it was checked.
 *
 * @throws {@link AimsError} `attestation.binding_mismatch`, `attestation.binding_missing`
 */
export function checkNitroBinding(document: NitroDocument, expected: ExpectedBinding): boolean {
  if (expected.kind === 'unchecked') return false
  if (expected.kind === 'audience') throw new AimsError('attestation.binding_missing', 'an audience says nothing here')
  const { nonce, publicKey, userData } = document
  const pairs: readonly (readonly [Uint8Array | undefined, Uint8Array])[] =
    expected.kind === 'data'
      ? [[nonce ?? userData, expected.data]]
      : [
          [nonce, expected.challenge.nonce],
          [publicKey, expected.challenge.publicKey],
          [userData, bindingDigest('aws-nitro', expected.challenge, 'sha256')],
        ]
  for (const [signed, wanted] of pairs) {
    if (wanted.length === 0) throw new AimsError('attestation.binding_missing', 'the expected data are empty')
    if (signed === undefined || !equalConstantTime(asBuffer(signed), asBuffer(wanted))) {
      throw new AimsError('attestation.binding_mismatch', 'the Nitro document is not made for what was asked')
    }
  }
  return true
}
