export { type AgentConfiguration, type AgentOptions, type RunningAgent, startAgent } from './agent.ts'
export { WorkloadApiServer, type WorkloadApiServerOptions } from './workload-api/server.ts'
export type {
  WorkloadBackend,
  WorkloadIdentity,
  WorkloadJwtSvid,
  WorkloadSnapshot,
} from './workload-backend.ts'
