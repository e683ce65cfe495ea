import type { Clock, Observer } from 'aims/base'
import type { BundleSource } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import { createSubAgentMint } from 'aims/provisioning'
import type { EntryRegistry } from './entries.ts'
import type { Authorities } from './keys/authority-types.ts'
import type { Revocations } from './revocation/revocations.ts'
import type { SubAgentRoutesOptions } from './routes/sub-agents.ts'
import type { SubAgentStore } from './store/sub-agent-store.ts'

/** Everything about sub-agents that the routes work with. */
export function openSubAgents(deps: {
  readonly trustDomain: TrustDomain
  readonly bundles: BundleSource
  readonly authorities: Authorities
  readonly entries: EntryRegistry
  readonly revocations: Revocations
  readonly register: SubAgentStore
  readonly clock: Clock
  readonly observer: Observer
}): SubAgentRoutesOptions {
  const { trustDomain, bundles, authorities, entries, revocations, register, clock, observer } = deps
  const mint = createSubAgentMint({
    signer: authorities.wit,
    findEntry: entries.findBySubject,
    isRetired: entries.isRetired,
    register,
    clock,
    observer,
    notBefore: revocations.notBefore,
  })
  return { mint, register, revocations, bundles, trustDomain, clock, findBySubject: entries.findBySubject }
}
