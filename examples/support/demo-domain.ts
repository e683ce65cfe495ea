// What a Workload API would give both sides of an example: see workload-api.ts for the real thing.
import { type Authenticator, createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { noObserver, type Observer, verificationKey, WorkloadKey } from 'aims/base'
import { type BundleSource, bundleSource, emptyBundle, holdWit, issueWit, type WitSource } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'

export const audience = 'https://api.example.com'
export const agent = 'spiffe://example.com/agent/calendar-bot'

/** What an agent and a service have of one trust domain. */
export interface DemoDomain {
  readonly wits: WitSource
  readonly bundles: BundleSource
  readonly authenticator: Authenticator
}

/** An agent's own credential, and the service that knows whom to believe. */
export async function demoDomain(observer: Observer = noObserver): Promise<DemoDomain> {
  const trustDomain = parseTrustDomain('example.com')
  const authority = WorkloadKey.generate()
  const witAuthorities = new Map([[authority.kid, verificationKey(authority.publicKey, { kid: authority.kid })]])
  const subject = parseWorkloadSpiffeId(agent)
  const key = WorkloadKey.generate()
  const issued = await issueWit({ subject, publicKey: key.publicKey, now: Date.now() / 1000, ttl: 600 }, authority)
  const wit = holdWit({ ...issued, subject, key, profile: 'wimse', hint: '' })
  const bundles = bundleSource({ ...emptyBundle(trustDomain), witAuthorities })
  const authenticator = createAuthenticator({
    bundles,
    audiences: [audience],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer,
    requireBinding: { method: true, target: true },
  })
  return { wits: { wit: () => wit }, bundles, authenticator }
}
