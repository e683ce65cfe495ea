import { decodeBase64 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { importIssuerKey, importPublicJwk, spkiBytes, type VerificationKey } from '../../base/keys.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'

/** Reads one token signing key. `undefined` for key types we cannot use: others in the bundle still can. @throws {@link AimsError} `bundle.invalid_key` */
export function readTokenAuthority(jwk: JsonObject): VerificationKey | undefined {
  return usable(() => importIssuerKey(jwk))
}

/**
 * Reads one CA certificate, as DER. The certificate decides; the key members beside it must say the same.
 *
 * Does not check validity times: an expired authority is dropped when it is used, not when it is read.
 *
 * @throws {@link AimsError} `bundle.invalid_key`
 * @see X509-SVID section 6.2.1
 */
export function readX509Authority(jwk: JsonObject, certificate: unknown): Uint8Array | undefined {
  const der = typeof certificate === 'string' ? decodeBase64(certificate) : undefined
  if (der === undefined) throw new AimsError('bundle.invalid_key', 'x5c is not standard base64')
  const key = usable(() => importPublicJwk(jwk))
  if (key !== undefined && !spkiBytes(key).equals(spkiOf(der))) {
    throw new AimsError('bundle.invalid_key', 'the JWK and its certificate have different keys')
  }
  return key && der
}

function spkiOf(der: Uint8Array): Uint8Array {
  try {
    return parseCertificate(der).spkiDer
  } catch (cause) {
    throw new AimsError('bundle.invalid_key', 'x5c is not a certificate', { cause })
  }
}

function usable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    if (cause.code === 'key.unsupported') return undefined
    throw new AimsError('bundle.invalid_key', cause.message, { cause })
  }
}
