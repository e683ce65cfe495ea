import type { EvidenceVerifiers } from 'aims/attestation'
import type { Clock, Observer } from 'aims/base'
import type { Issuer } from 'aims/provisioning'
import { createEvidenceSession, type EvidenceSession } from '../attestation/evidence-session.ts'
import type { ChangeFeed } from '../change-feed.ts'
import type { Configuration } from '../config/settings.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Federation } from '../federation/federation.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { Storage } from '../storage.ts'
import { openAgentStore } from '../store/agent-store.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import type { JoinTokens } from '../store/join-tokens.ts'
import { type AgentRegistry, createAgentRegistry } from './agent-registry.ts'
import { createEntryChanges, type EntryChanges } from './entry-changes.ts'
import { createNodeAttestation, type NodeAttestation } from './node-attestation.ts'
import type { PassingEntries } from './passing-entries.ts'

/** Everything about agents on other hosts. */
export interface Nodes {
  readonly agents: AgentRegistry
  readonly attestation: NodeAttestation
  /** Challenges, of agents and of workloads. */
  readonly session: EvidenceSession
  readonly tokens: JoinTokens
  readonly entryChanges: EntryChanges
}

/** What it works with. */
export interface NodesOptions {
  readonly config: Configuration
  readonly storage: Storage
  readonly verifiers: EvidenceVerifiers
  readonly tokens: JoinTokens
  readonly things: AttestedThings
  readonly passing: PassingEntries
  readonly issuer: Issuer
  readonly entries: EntryRegistry
  readonly authorities: Authorities
  readonly changes: ChangeFeed
  /** Its bundles are told like the own one. */
  readonly federation: Pick<Federation, 'onChange'>
  readonly clock: Clock
  /** For changes that operators make. */
  readonly observer: Observer
  /** For attestation, where strangers are refused. */
  readonly refusals: Observer
}

/** Opens what a server knows about agents on other hosts. @throws {@link AimsError} `operation.*` */
export function openNodes(options: NodesOptions): Nodes {
  const { config, storage, verifiers, things, clock, changes, entries, authorities } = options
  const { trustDomain } = config
  const session = createEvidenceSession({ trustDomain, verifiers, clock })
  const store = openAgentStore(storage.db, storage.seal)
  const agents = createAgentRegistry({ store, things, observer: options.observer })
  agents.onChange(changes.notify)
  const attestation = createNodeAttestation({
    trustDomain,
    policies: config['agents.attestation'],
    verifiers,
    session,
    registry: agents,
    things,
    passing: options.passing,
    issuer: options.issuer,
    ttl: config['agents.ttl'],
    clock,
    observer: options.refusals,
  })
  const bundles = [authorities, options.federation]
  const entryChanges = createEntryChanges({ entries, bundles, revision: changes.revision })
  return { agents, attestation, session, tokens: options.tokens, entryChanges }
}
