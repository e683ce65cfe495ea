import { WorkloadKey } from '../../packages/aims/src/base/keys.ts'
import type { BundleSource, TrustBundle } from '../../packages/aims/src/credentials/bundle/bundle.ts'
import { emptyBundle } from '../../packages/aims/src/credentials/bundle/source.ts'
import { createX509Authority, type X509Authority } from '../../packages/aims/src/credentials/x509-svid/authority.ts'
import { issueX509Svid } from '../../packages/aims/src/credentials/x509-svid/issue.ts'
import { issueCaCertificate } from '../../packages/aims/src/credentials/x509-svid/issue-ca.ts'
import {
  holdX509Svid,
  type X509Svid,
  type X509SvidSource,
} from '../../packages/aims/src/credentials/x509-svid/source.ts'
import { parseSpiffeId } from '../../packages/aims/src/identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../packages/aims/src/identifiers/trust-domain.ts'

/** A trust domain with a CA, valid at the real time, for tests over real sockets. */
export interface TestCa {
  readonly bundle: TrustBundle
  readonly authority: X509Authority
  readonly signer: WorkloadKey
  svid(path: string, options?: TestSvidOptions): Promise<X509Svid>
}

export interface TestSvidOptions {
  readonly dnsNames?: readonly string[]
  /** Seconds from now. */
  readonly ttl?: number
  readonly key?: WorkloadKey
}

const now = (): number => Math.floor(Date.now() / 1000)
// A test may stop its clock when it begins: what is issued minutes later is good then as well.
const BEGUN = now()

export async function testCa(
  name = 'example.com',
  options: { readonly intermediate?: boolean; readonly signer?: WorkloadKey } = {},
): Promise<TestCa> {
  const trustDomain = parseTrustDomain(name)
  const times = { notBefore: BEGUN - 60, notAfter: now() + 3600 }
  const { signer = WorkloadKey.generate() } = options
  const certificate = await issueCaCertificate({ trustDomain, signer, ...times })
  const root = createX509Authority({ trustDomain, signer, certificate })
  const authority = options.intermediate === true ? await intermediateOf(root, times) : root
  return {
    authority,
    signer,
    bundle: { ...emptyBundle(trustDomain), x509Authorities: [certificate] },
    async svid(path, { dnsNames = [], ttl = 600, key = WorkloadKey.generate() } = {}) {
      const spiffeId = parseSpiffeId(`spiffe://${name}${path}`)
      const validity = { notBefore: BEGUN - 30, notAfter: now() + ttl }
      const { certificates } = await issueX509Svid(
        { spiffeId, publicKey: key.publicKey, dnsNames, ...validity },
        authority,
      )
      return holdX509Svid({ certificates, key })
    },
  }
}

async function intermediateOf(
  root: X509Authority,
  times: { readonly notBefore: number; readonly notAfter: number },
): Promise<X509Authority> {
  const { trustDomain } = root
  const signer = WorkloadKey.generate()
  const certificate = await issueCaCertificate({ trustDomain, issuer: root, subjectKey: signer.publicKey, ...times })
  return createX509Authority({ trustDomain, signer, certificate, chain: [root.certificate.raw] })
}

/** Bundles that a test may exchange. */
export interface MutableBundles extends BundleSource {
  set(...bundles: readonly TrustBundle[]): void
}

export function mutableBundles(...initial: readonly TrustBundle[]): MutableBundles {
  let bundles = initial
  return {
    bundleFor: (trustDomain) => bundles.find((bundle) => bundle.trustDomain === trustDomain),
    set: (...next) => {
      bundles = next
    },
  }
}

/** An SVID that a test may exchange. */
export interface MutableSvid extends X509SvidSource {
  set(svid: X509Svid): void
}

export function mutableSvid(initial: X509Svid): MutableSvid {
  let svid = initial
  return {
    x509Svid: () => svid,
    set: (next) => {
      svid = next
    },
  }
}
