import { requireLiveCertificate, verifyChain } from './mtls/chain.ts'
import { certificatePrincipal } from './principal.ts'
import type { AuthenticatorOptions, Judge } from './request.ts'

/** Judges by the certificate that the TLS client of the connection proved. TLS itself has happened elsewhere. */
export function certificateJudge({
  bundles,
  x509Mode: mode = 'svid',
  x509Ed25519: ed25519 = false,
  revocations,
}: AuthenticatorOptions): Judge {
  return ({ request: { peerCertificates: chain = [] }, now }) => {
    const svid = verifyChain(chain, { bundles, mode, ed25519, now })
    requireLiveCertificate(revocations, svid, now)
    return certificatePrincipal(svid)
  }
}
