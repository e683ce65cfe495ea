export { type AgentConfiguration, type AgentOptions, type RunningAgent, startAgent } from './agent.ts'
export { type EgressConfiguration, type EgressSettings, egressSettings, secretFiles } from './egress/configuration.ts'
export type { Network } from './egress/destinations.ts'
export { type BrokerBackend, type BrokerOptions, type RunningBroker, startEgress } from './egress/egress-server.ts'
export { type BrokerRule, parseBrokerRules, type RuleCredential, type SecretPlace } from './egress/rules.ts'
export { HeldSecret } from './egress/secrets/held-secret.ts'
export {
  deleteSecret,
  listSecrets,
  openSecrets,
  putSecret,
  type SecretFiles,
  type SecretInfo,
  type SecretReader,
} from './egress/secrets/secret-store.ts'
export { WorkloadApiServer, type WorkloadApiServerOptions } from './workload-api/server.ts'
export type {
  ChangeScope,
  WorkloadBackend,
  WorkloadIdentity,
  WorkloadJwtSvid,
  WorkloadSnapshot,
} from './workload-backend.ts'
