import { jwkThumbprint } from '../../base/keys.ts'
import type { BundleSource, TrustBundle } from '../../credentials/bundle/bundle.ts'
import { requireNotRevoked } from '../../credentials/revocation/require.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import { verifyX509Svid } from '../../credentials/x509-svid/verify.ts'
import type { VerifiedX509Svid } from '../../credentials/x509-svid/x509-svid.ts'

interface Verified {
  readonly svid: VerifiedX509Svid
  readonly bundle: TrustBundle | undefined
  /** What the bundle held then: its array may have been written to since. */
  readonly authorities: readonly Uint8Array[]
  readonly at: number
  readonly ed25519: boolean
}

/** What a chain is judged by. */
export interface ChainRules {
  readonly bundles: BundleSource
  readonly mode: 'svid' | 'wic'
  readonly ed25519: boolean
  readonly now: number
}

// By the array of the connection: it lives as long as the connection does.
const verified = new WeakMap<readonly Uint8Array[], Verified>()

/**
 * As `verifyX509Svid`, once for all requests of a connection: again only when the bundle that vouched is another one or
 * holds other authorities, the rules are others, or the time is outside that of the certificates.
 *
 * @param chain - The array of the connection, the same for each request; its content must not change.
 * @throws {@link AimsError} `x509.*`
 */
export function verifyChain(
  chain: readonly Uint8Array[],
  { bundles, mode, ed25519, now }: ChainRules,
): VerifiedX509Svid {
  const known = verified.get(chain)
  if (
    known?.bundle !== undefined &&
    known.svid.mode === mode &&
    known.ed25519 === ed25519 &&
    known.at <= now &&
    now < known.svid.expiresAt &&
    bundles.bundleFor(known.svid.trustDomain) === known.bundle &&
    holdsSame(known.bundle.x509Authorities, known.authorities)
  ) {
    return known.svid
  }
  const svid = verifyX509Svid(chain, { bundles, mode, ed25519, now })
  const bundle = bundles.bundleFor(svid.trustDomain)
  verified.set(chain, { svid, bundle, authorities: [...(bundle?.x509Authorities ?? [])], at: now, ed25519 })
  return svid
}

/** Refuses a certificate that was revoked. @throws {@link AimsError} `credential.revoked`, `credential.revocation_unknown` */
export function requireLiveCertificate(
  revocations: RevocationSource | undefined,
  { subject, notBefore: issuedAt, serialNumber: id, publicKey }: VerifiedX509Svid,
  now: number,
): void {
  const keyThumbprint = () => jwkThumbprint(publicKey)
  requireNotRevoked(revocations, { kind: 'x509-svid', subject, issuedAt, id, keyThumbprint }, now)
}

function holdsSame(now: readonly Uint8Array[], then: readonly Uint8Array[]): boolean {
  return now.length === then.length && now.every((der, i) => der === then[i])
}
