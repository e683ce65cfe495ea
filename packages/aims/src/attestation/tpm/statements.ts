import { AimsError } from '../../base/errors.ts'
import { parseTpmAttest, type TpmAttest } from './attest.ts'
import { checkResidentKey } from './key-rules.ts'
import { checkQuotedValues, type PcrValues } from './pcrs.ts'
import { parseTpmPublic, type TpmPublic } from './public-area.ts'
import { checkTpmSignature, type TpmStatementKey } from './signature.ts'

/** A quote as it travels: what was signed, the signature, and the values that its digest stands for. */
export interface QuoteParts {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE, or the bare bytes of an RSA signature. */
  readonly signature: Uint8Array
  /** Absent: only the digest is known. */
  readonly values?: PcrValues
}

/** A quote whose signature and values have been checked. Only {@link verifyQuote} makes one. */
export type VerifiedQuote = Extract<TpmAttest, { readonly type: 'quote' }> & { readonly values?: PcrValues }

/**
 * Checks a quote: signature under the scheme of the key, form, and that the values given are those that were quoted.
 *
 * Does not check what it is bound to, nor whether the selection is the one that was asked for.
 *
 * @throws {@link AimsError} `attestation.invalid_signature`, `.malformed`, `.unsupported`, `.weak_key`, `.inconsistent`
 * @see TPM 2.0 Library, Part 3, section 18.4
 */
export function verifyQuote(key: TpmStatementKey, { attest, signature, values }: QuoteParts): VerifiedQuote {
  checkTpmSignature(key, attest, signature)
  const quote = parseTpmAttest(attest)
  if (quote.type !== 'quote') throw wrongKind()
  if (values === undefined) return quote
  checkQuotedValues(values, quote, key.scheme.hash)
  return { ...quote, values }
}

/** A key that another key of the same TPM certified. */
export interface CertifyParts {
  /** TPMT_PUBLIC of the certified key. */
  readonly public: Uint8Array
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

/** A signing key that never leaves the TPM of the key that certified it. Only {@link verifyCertifiedKey} makes one. */
export type VerifiedResidentKey = Extract<TpmAttest, { readonly type: 'certify' }> & { readonly key: TpmPublic }

/**
 * Checks that a TPM certified this key: signature, form, Name, and that the key is one that stays in the TPM.
 *
 * @throws {@link AimsError} as {@link verifyQuote}, and `attestation.chain_invalid` for a key that may leave
 * @see TPM 2.0 Library, Part 3, section 18.2 (TPM2_Certify)
 */
export function verifyCertifiedKey(key: TpmStatementKey, parts: CertifyParts): VerifiedResidentKey {
  checkTpmSignature(key, parts.attest, parts.signature)
  const certify = parseTpmAttest(parts.attest)
  if (certify.type !== 'certify') throw wrongKind()
  const resident = parseTpmPublic(parts.public)
  if (!resident.name.equals(certify.name)) {
    throw new AimsError('attestation.inconsistent', 'the TPM certified another key')
  }
  checkResidentKey(resident)
  return { ...certify, key: resident }
}

function wrongKind(): AimsError {
  return new AimsError('attestation.malformed', 'the TPM signed another kind of statement')
}
