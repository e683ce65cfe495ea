export type { Caller } from '../admit.ts'
export type { AdapterOptions } from '../incoming.ts'
export type { ToolFacts, ToolRules } from './access-request.ts'
export { callerOf, delegationChainOf, type McpAuthInfo, type McpContext } from './caller.ts'
export { type ConnectedMcp, type ConnectMcpOptions, connectMcp } from './connect.ts'
export { credentialParameters, isCredentialName, requireNoCredentials } from './credential-arguments.ts'
export type { McpEndpoint, McpMessage, McpMessageExtra, McpTransport } from './messages.ts'
export type { MetadataOptions } from './metadata.ts'
export {
  type McpHttpHandler,
  type McpHttpRequest,
  type McpListener,
  type ProtectMcpOptions,
  protectMcp,
} from './protect.ts'
export { type ProvingTransportOptions, provingTransport } from './proving-transport.ts'
export type { ReachableAs } from './rebinding.ts'
export { type WithAimsOptions, withAims } from './with-aims.ts'
