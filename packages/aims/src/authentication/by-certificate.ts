import { AimsError } from '../base/errors.ts'
import type { VerifiedX509Svid } from '../credentials/x509-svid/x509-svid.ts'
import { forwardedPrincipal, proxiesOf } from './by-forwarding.ts'
import { requireLiveCertificate, verifyChain } from './mtls/chain.ts'
import { certificatePrincipal } from './principal.ts'
import type { AuthenticatorOptions, Judge } from './request.ts'

/**
 * Judges by the certificate that the TLS client of the connection proved. TLS itself has happened elsewhere. Where it is
 * that of a configured proxy, the caller is whom the proxy names.
 */
export function certificateJudge(options: AuthenticatorOptions): Judge {
  const { bundles, x509Mode: mode = 'svid', x509Ed25519: ed25519 = false, revocations } = options
  return (given) => {
    const { request, accepted, now } = given
    const { peerCertificates: chain = [] } = request
    const judge = (at: number): VerifiedX509Svid => {
      const svid = verifyChain(chain, { bundles, mode, ed25519, now: at })
      requireLiveCertificate(revocations, svid, at)
      return svid
    }
    const peer = certificatePrincipal(judge(now), judge)
    const proxies = proxiesOf(options, peer)
    const method = proxies.length > 0 ? 'forwarded' : 'mtls'
    if (!accepted.includes(method)) {
      throw new AimsError('authentication.method_not_allowed', 'this service does not accept that method')
    }
    return method === 'mtls' ? peer : forwardedPrincipal(options, proxies, peer, given)
  }
}
