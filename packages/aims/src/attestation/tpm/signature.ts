import { constants, type KeyObject, verify } from 'node:crypto'
import { AimsError } from '../../base/errors.ts'
import { TPM_ALG, type TpmHash, tpmHash } from './algorithms.ts'
import { leftPad, type TpmScheme } from './public-area.ts'
import { malformed, TpmReader } from './wire.ts'

/** A key that signs statements of a TPM, and the one way it signs. Nothing in the evidence chooses another. */
export interface TpmStatementKey {
  readonly publicKey: KeyObject
  readonly scheme: TpmScheme
}

const HALF: { readonly [curve: string]: number } = { prime256v1: 32, secp384r1: 48, secp521r1: 66 }

/**
 * Checks a signature of a TPM: a TPMT_SIGNATURE, or the bare bytes of an RSA signature as some clouds pass them on.
 *
 * @throws {@link AimsError} `attestation.malformed`, `.weak_key`, `.invalid_signature`
 * @see TPM 2.0 Library, Part 2, section 11.3.4
 */
export function checkTpmSignature(key: TpmStatementKey, statement: Uint8Array, signature: Uint8Array): void {
  if (!STRONG.has(key.scheme.hash)) throw new AimsError('attestation.weak_key', 'the TPM key signs with a weak hash')
  const bits = key.publicKey.asymmetricKeyDetails?.modulusLength
  const isBare = bits !== undefined && signature.length * 8 === bits
  const raw = isBare ? signature : readSignature(key, signature)
  if (!verifies(key, statement, raw)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of a TPM statement does not verify')
  }
}

const STRONG: ReadonlySet<TpmHash> = new Set<TpmHash>(['sha256', 'sha384', 'sha512'])

function readSignature({ publicKey, scheme }: TpmStatementKey, bytes: Uint8Array): Buffer {
  const input = new TpmReader(bytes)
  const algorithm = input.u16()
  const hash = tpmHash(input.u16())
  if (algorithm !== scheme.algorithm || hash !== scheme.hash) {
    throw new AimsError('attestation.invalid_signature', 'the signature is not of the scheme of its key')
  }
  if (algorithm !== TPM_ALG.ecdsa) {
    const raw = input.sized(512)
    input.end()
    return raw
  }
  const half = HALF[publicKey.asymmetricKeyDetails?.namedCurve ?? '']
  if (half === undefined) throw malformed('a scheme is not one of its key')
  const raw = Buffer.concat([leftPad(input.sized(half), half), leftPad(input.sized(half), half)])
  input.end()
  return raw
}

function verifies({ publicKey, scheme }: TpmStatementKey, data: Uint8Array, raw: Uint8Array): boolean {
  const isEcdsa = scheme.algorithm === TPM_ALG.ecdsa
  if (publicKey.asymmetricKeyType !== (isEcdsa ? 'ec' : 'rsa')) return false
  const isPss = scheme.algorithm === TPM_ALG.rsapss
  const options = isEcdsa
    ? { key: publicKey, dsaEncoding: 'ieee-p1363' as const }
    : { key: publicKey, padding: isPss ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING }
  try {
    return verify(scheme.hash, data, options, raw)
  } catch {
    return false
  }
}
