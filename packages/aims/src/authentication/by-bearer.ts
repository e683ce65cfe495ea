import { sha256Base64url } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { verifyJwtSvid } from '../credentials/jwt-svid/verify.ts'
import { requireNotRevoked } from '../credentials/revocation/require.ts'
import { makePrincipal, type PrincipalFacts } from './principal.ts'
import type { AuthenticatorOptions, Judge } from './request.ts'

/** Judges by a JWT-SVID, which proves that the sender has seen it. */
export function bearerJudge({
  bundles,
  audiences,
  jwtAudience = audiences[0] ?? '',
  clockSkew,
  revocations,
}: AuthenticatorOptions): Judge {
  return ({ carried, binding, now }) => {
    if (carried.kind !== 'bearer') throw new TypeError('the request carries no bearer token')
    if (binding.method === true || binding.target === true || binding.body === true) {
      throw new AimsError('proof.binding_missing', 'a bearer token names nothing of the request')
    }
    const { token } = carried
    const skew = clockSkew === undefined ? {} : { clockSkew }
    const judge = (at: number): PrincipalFacts => {
      const rules = { bundles, audience: jwtAudience, now: at, ...skew }
      const { subject, expiresAt, issuedAt, claims } = verifyJwtSvid(token, rules)
      const id = typeof claims.jti === 'string' ? claims.jti : sha256Base64url(token)
      requireNotRevoked(revocations, { kind: 'jwt-svid', subject, issuedAt, id }, at)
      return {
        id: subject,
        method: 'jwt-svid',
        credential: { type: 'jwt-svid', id },
        covers: { method: false, target: false, body: false },
        expiresAt,
      }
    }
    return makePrincipal(judge(now), judge)
  }
}
