import type { TrustBundle } from '../credentials/bundle/bundle.ts'
import { verifyX509Svid } from '../credentials/x509-svid/verify.ts'
import type { VerifiedX509Svid } from '../credentials/x509-svid/x509-svid.ts'
import type { AuthenticatorOptions, Judge } from './request.ts'

/** Judges by the certificate that the TLS client of the connection proved. TLS itself has happened elsewhere. */
export function certificateJudge({ bundles, x509Mode: mode = 'svid' }: AuthenticatorOptions): Judge {
  // By the array of the connection and the bundle that vouched: a changed bundle makes the path be verified again.
  const known = new WeakMap<readonly Uint8Array[], { svid: VerifiedX509Svid; bundle: TrustBundle | undefined }>()
  return ({ request: { peerCertificates: chain = [] }, now }) => {
    let entry = known.get(chain)
    if (
      entry === undefined ||
      entry.svid.expiresAt <= now ||
      bundles.bundleFor(entry.svid.trustDomain) !== entry.bundle
    ) {
      const svid = verifyX509Svid(chain, { bundles, now, mode })
      entry = { svid, bundle: bundles.bundleFor(svid.trustDomain) }
      known.set(chain, entry)
    }
    const { subject, trustDomain, serialNumber, expiresAt } = entry.svid
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
