import type { AttestationResult } from 'aims/attestation'
import type { IssuingBackend } from '../../test/support/issuing-backend.ts'

/** Somebody of whom nothing is known but that he runs as root. */
export const KNOWN: AttestationResult = {
  type: 'unix',
  selectors: ['unix:uid:0'],
  verifiedAt: 0,
  binding: 'channel',
  freshness: 'live',
  debug: false,
  warnings: [],
  attributes: {},
}

/** The answer to FetchX509SVID as a server by grpc-js sends it: what ours has, in messages. */
export async function x509Messages(backend: IssuingBackend): Promise<object> {
  const { identities, bundles } = await backend.snapshot(KNOWN)
  const bundle = Buffer.concat(bundles[0]?.x509Authorities ?? [])
  const svids = identities.map(({ spiffeId, hint, x509 }) => ({
    spiffeId,
    hint,
    bundle,
    x509Svid: Buffer.concat(x509?.certificates ?? []),
    x509SvidKey: x509?.privateKey ?? Buffer.alloc(0),
  }))
  return { svids, crl: [], federatedBundles: new Map() }
}
