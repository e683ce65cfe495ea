import { randomBytes } from 'node:crypto'
import { SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { AimsError } from '../../base/errors.ts'
import { signJws } from '../../base/jose.ts'
import type { Signer } from '../../base/keys.ts'
import { parseWorkloadSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'

/** Who gets a JWT-SVID, for whom it is meant, and for how long. */
export interface JwtSvidRequest {
  readonly subject: SpiffeId
  /** At least one; one is strongly recommended. */
  readonly audiences: readonly string[]
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds. Keep it at minutes: whoever has the token is the subject. */
  readonly ttl: number
  /** `jti`. Default: 128 random bits. */
  readonly id?: string
}

/**
 * Issues a JWT-SVID. Does not decide who may have the identity.
 *
 * @throws {@link AimsError} `credential.unsupported_alg` for a signer outside the nine algorithms; `identifier.*` for a
 *   subject without a path, or that no parser made.
 * @throws TypeError for a signer without `kid`, an empty audience, or a TTL that is not positive.
 * @see JWT-SVID sections 2 and 3
 */
export async function issueJwtSvid(
  request: JwtSvidRequest,
  signer: Signer,
): Promise<{ readonly token: string; readonly expiresAt: number; readonly id: string }> {
  const { subject, audiences, now, ttl, id = randomBytes(16).toString('base64url') } = request
  if (signer.kid === undefined || signer.kid === '') throw new TypeError('the signer needs a kid')
  if (!Number.isFinite(now) || !Number.isSafeInteger(ttl) || ttl <= 0) throw new TypeError('now and ttl are in seconds')
  if (audiences.length === 0 || audiences.includes('')) throw new TypeError('audiences must name somebody')
  if (!SPIFFE_ALGORITHMS.has(signer.alg)) {
    throw new AimsError('credential.unsupported_alg', 'a JWT-SVID is signed with an RSA or ECDSA algorithm')
  }
  // A cast is no parse, and what is signed cannot be taken back.
  parseWorkloadSpiffeId(subject)
  const iat = Math.floor(now)
  const exp = iat + ttl
  const claims = { sub: subject, aud: audiences, exp, iat, jti: id }
  return { token: await signJws({ kid: signer.kid, typ: 'JWT' }, claims, signer), expiresAt: exp, id }
}
