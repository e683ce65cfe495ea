export { type ExtAuthzOptions, startExtAuthz } from './ext-authz/server.ts'
export { CALLER_FIELDS, isReservedField } from './fields.ts'
export {
  FORWARD_AUTH_PROXIES,
  type ForwardAuthOptions,
  type ForwardAuthProxy,
  startForwardAuth,
} from './forward-auth.ts'
export { type Authorization, createGate, type Gate, type GateOptions, type Verdict } from './gate.ts'
export { startHealth } from './health.ts'
export type { GatewayTls, ListenAddress, RunningGateway } from './listen.ts'
export type { GatewayRoute } from './routes.ts'
export type { ServiceAddress, ServiceOptions } from './service.ts'
export { type SidecarOptions, startSidecar } from './sidecar.ts'
