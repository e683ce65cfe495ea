import type { PolicyEngine } from 'aims/authorization'
import type { Clock, Observer } from 'aims/base'
import type { Issuer } from 'aims/provisioning'
import type { EvidenceIssuance } from '../attestation/evidence-issuance.ts'
import type { ChangeFeed } from '../change-feed.ts'
import type { Configuration } from '../config/settings.ts'
import type { Downstream } from '../downstream/downstream.ts'
import type { EntryRegistry } from '../entries.ts'
import type { Federation } from '../federation/federation.ts'
import type { Route } from '../http/route.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { Metrics } from '../metrics.ts'
import { agentBan } from '../nodes/ban.ts'
import type { Nodes } from '../nodes/nodes.ts'
import { delegationsByRegistrar } from '../registration/delegation.ts'
import type { LiveInstances } from '../registration/live-instances.ts'
import type { Storage } from '../storage.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import type { StoredKeyBindings } from '../store/key-bindings.ts'
import type { TrustTeller } from '../trust.ts'
import { agentRoutes } from './agent.ts'
import { agentsRoutes } from './agents.ts'
import { attestationRoutes } from './attestation.ts'
import { attestedThingRoutes } from './attested-things.ts'
import { auditRoutes } from './audit.ts'
import { authorityRoutes } from './authorities.ts'
import { authorizationRoutes } from './authorization.ts'
import { backupRoutes } from './backups.ts'
import { downstreamRoutes } from './downstream.ts'
import { entryRoutes } from './entries.ts'
import { entryPlanRoutes } from './entry-plans.ts'
import { federationRoutes } from './federation.ts'
import { joinTokenRoutes } from './join-tokens.ts'
import { withOpenApi } from './openapi.ts'
import { operationRoutes } from './operations.ts'
import { type RevocationRoutesOptions, revocationRoutes } from './revocations.ts'
import { type SubAgentRoutesOptions, subAgentRoutes } from './sub-agents.ts'
import { trustRoute } from './trust.ts'

/** Everything the routes work with. */
export interface RouteDependencies {
  readonly config: Configuration
  readonly storage: Storage
  readonly clock: Clock
  readonly observer: Observer
  readonly entries: EntryRegistry
  readonly authorities: Authorities
  readonly issuer: Issuer
  readonly evidence: EvidenceIssuance
  readonly things: AttestedThings
  readonly nodes: Nodes
  readonly downstream: Downstream
  readonly federation: Federation
  readonly changes: ChangeFeed
  readonly engine: PolicyEngine | undefined
  readonly bindings: StoredKeyBindings
  readonly metrics: Metrics
  readonly endings: Omit<RevocationRoutesOptions, 'entries'>
  readonly subAgents: SubAgentRoutesOptions
  readonly trust: TrustTeller
  readonly live: LiveInstances
  readonly isReady: () => boolean
}

/** Of the API; goes into the OpenAPI document. */
const VERSION = '0.1.0'

/** The whole API, as one table. */
export function serverRoutes(deps: RouteDependencies): readonly Route[] {
  const { config, storage, entries, authorities, metrics, nodes, federation } = deps
  const { log } = storage
  const delegations = delegationsByRegistrar(config['entries.delegations'])
  metrics.gauge('aims_entries', 'Registration entries.', () => entries.size())
  metrics.gauge('aims_agents', 'Agents on other hosts.', () => nodes.agents.list().length)
  metrics.gauge('aims_federation_relationships', 'Other trust domains whose bundles are fetched.', () => {
    return federation.list().length
  })
  metrics.gauge('aims_federation_failing', 'Those whose last fetch brought nothing.', () => {
    return federation.list().filter(({ lastError }) => lastError !== null).length
  })
  metrics.gauge('aims_log_size', 'Records that the newest checkpoint covers.', () => log.size)
  metrics.gauge(
    'aims_ca_expires_at_seconds',
    'When the CA that signs now ends, since the epoch.',
    () => authorities.x509().expiresAt,
  )
  return withOpenApi(
    [
      ...operationRoutes({
        isReady: deps.isReady,
        metrics: metrics.render,
        openMetrics: config['listen.openMetrics'],
        status: () => ({
          version: VERSION,
          trustDomain: config.trustDomain,
          profiles: ['wimse', ...config.profiles.map(({ profile }) => profile)],
          entries: entries.size(),
          policySet: deps.engine?.version ?? null,
          keys: authorities.list(),
          log: { origin: config['log.origin'], vkey: log.vkey, size: log.size, checkpoint: log.checkpoint() },
        }),
      }),
      ...entryRoutes(entries, delegations),
      ...entryPlanRoutes(entries, delegations),
      ...authorityRoutes(authorities, deps.bindings, deps.clock),
      ...downstreamRoutes(deps.downstream, authorities),
      ...federationRoutes(federation, authorities),
      ...attestedThingRoutes(deps.things, deps.observer),
      ...agentRoutes({ ...deps, ...nodes, trustDomain: config.trustDomain }),
      ...agentsRoutes(nodes.agents, agentBan({ ...deps.endings, ...nodes, entries }), nodes.attestation, authorities),
      ...joinTokenRoutes(nodes.tokens, deps.clock, deps.observer),
      ...attestationRoutes(nodes.session, deps.evidence, deps.trust),
      trustRoute(deps.trust, entries),
      ...subAgentRoutes(deps.subAgents),
      ...revocationRoutes({ ...deps.endings, entries }),
      ...auditRoutes(log),
      ...backupRoutes(deps),
      ...authorizationRoutes(deps.engine, deps.observer),
    ],
    VERSION,
  )
}
