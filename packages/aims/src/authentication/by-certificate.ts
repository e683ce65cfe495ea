import { verifyChain } from './mtls/chain.ts'
import type { AuthenticatorOptions, Judge } from './request.ts'

/** Judges by the certificate that the TLS client of the connection proved. TLS itself has happened elsewhere. */
export function certificateJudge({ bundles, x509Mode: mode = 'svid' }: AuthenticatorOptions): Judge {
  return ({ request: { peerCertificates: chain = [] }, now }) => {
    const { subject, trustDomain, serialNumber, expiresAt } = verifyChain(chain, { bundles, mode, now })
    return {
      kind: 'principal',
      id: subject,
      trustDomain,
      method: 'mtls',
      credential: { type: 'x509-svid', id: serialNumber },
      covers: { method: true, target: true, body: true },
      expiresAt,
    }
  }
}
