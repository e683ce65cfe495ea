import { type LocalSigner, verificationKey, WorkloadKey } from '../../packages/aims/src/base/keys.ts'
import type { BundleSource, TrustBundle } from '../../packages/aims/src/credentials/bundle/bundle.ts'
import type { Profile } from '../../packages/aims/src/credentials/profile.ts'
import { issueWit } from '../../packages/aims/src/credentials/wit/issue.ts'
import type { Wit } from '../../packages/aims/src/credentials/wit/source.ts'
import { verifyWit } from '../../packages/aims/src/credentials/wit/verify.ts'
import type { VerifiedWit } from '../../packages/aims/src/credentials/wit/wit.ts'
import { parseSpiffeId, type SpiffeId } from '../../packages/aims/src/identifiers/spiffe-id.ts'
import { ancestorsOf } from '../../packages/aims/src/identifiers/sub-agent-id.ts'
import { parseTrustDomain } from '../../packages/aims/src/identifiers/trust-domain.ts'

/** A trust domain for tests: issues WITs of every profile at a fixed time. */
export interface TestDomain {
  readonly bundle: TrustBundle
  readonly bundles: BundleSource
  readonly signer: LocalSigner
  readonly issuer: string
  wit(options?: TestWitOptions): Promise<Wit>
  verify(wit: Wit): VerifiedWit
}

export interface TestWitOptions {
  readonly path?: string
  readonly profile?: Profile
  readonly key?: WorkloadKey
  readonly ttl?: number
  readonly id?: string
  /** All that a sub-agent may do. Its path says whose it is. */
  readonly rights?: readonly string[]
}

export const NOW = 1_700_000_000
export const AUDIENCE = 'https://api.example.com'

export function testDomain(name = 'example.com', options: { readonly now?: number } = {}): TestDomain {
  const { now = NOW } = options
  const trustDomain = parseTrustDomain(name)
  const signer = WorkloadKey.generate()
  const issuer = `https://issuer.${name}`
  const bundle: TrustBundle = {
    trustDomain,
    x509Authorities: [],
    jwtAuthorities: new Map(),
    witAuthorities: new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]]),
  }
  const bundles: BundleSource = { bundleFor: (asked) => (asked === trustDomain ? bundle : undefined) }
  return {
    bundle,
    bundles,
    signer,
    issuer,
    async wit({
      path = '/agent/calendar-bot',
      profile = 'wimse',
      key = WorkloadKey.generate(),
      ttl = 3600,
      id,
      rights,
    } = {}) {
      const subject: SpiffeId = parseSpiffeId(`spiffe://${name}${path}`)
      const { token, expiresAt } = await issueWit(
        {
          subject,
          publicKey: key.publicKey,
          confirmationAlg: key.alg,
          now,
          ttl,
          profile,
          ...(id === undefined ? {} : { id }),
          ...(rights === undefined ? {} : { delegation: { parent: ancestorsOf(subject).at(-1) ?? subject, rights } }),
          issuer,
          ...(profile === 'aims-00' ? { audiences: [AUDIENCE] } : {}),
        },
        signer,
      )
      return { subject, profile, token, expiresAt, key, hint: '' }
    },
    verify: (wit) =>
      verifyWit(wit.token, { bundles, now, profile: wit.profile, issuers: { [name]: [issuer] }, audience: AUDIENCE }),
  }
}
