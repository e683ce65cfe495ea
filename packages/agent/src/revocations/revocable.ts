import { jwkThumbprint, sha256Base64url, type WorkloadKey } from 'aims/base'
import { decodeUnverifiedJwtSvid, decodeUnverifiedX509Svid, type RevocableCredential } from 'aims/credentials'
import type { SpiffeId } from 'aims/identifiers'

/** What a revocation could name of an X.509-SVID that the server gave. Verifies nothing. @throws {@link AimsError} `x509.*` */
export function revocableChain(
  subject: SpiffeId,
  certificates: readonly Uint8Array[],
  { publicKey }: WorkloadKey,
): RevocableCredential {
  const { notBefore, serialNumber } = decodeUnverifiedX509Svid(certificates).leaf
  const keyThumbprint = (): string => jwkThumbprint(publicKey)
  return { kind: 'x509-svid', subject, issuedAt: notBefore, id: serialNumber, keyThumbprint }
}

/** Of a token that the server gave, or that was verified. Verifies nothing. @throws {@link AimsError} `credential.*` */
export function revocableToken(
  kind: 'wit' | 'jwt-svid',
  subject: SpiffeId,
  token: string,
  key?: WorkloadKey,
): RevocableCredential {
  const { iat, jti } = decodeUnverifiedJwtSvid(token).claims
  return {
    kind,
    subject,
    issuedAt: typeof iat === 'number' ? iat : undefined,
    // A JWT-SVID without a name is named by its hash.
    id: typeof jti === 'string' ? jti : sha256Base64url(token),
    ...(key === undefined ? {} : { keyThumbprint: () => jwkThumbprint(key.publicKey) }),
  }
}
