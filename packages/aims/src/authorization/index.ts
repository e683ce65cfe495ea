export { authorize } from './authorize.ts'
export { type Authorizer, type AuthorizerOptions, createAuthorizer } from './authorizer.ts'
export { createCedarEngine } from './cedar-engine.ts'
export type { Decision } from './decision.ts'
export type { Evaluation, PolicyEngine, PolicySource } from './engine.ts'
export { type CanonicalPath, canonicalPath } from './path.ts'
export {
  type AccessRequest,
  type Action,
  type HttpMethod,
  httpAction,
  type RequestFacts,
  type Resource,
  serviceResource,
  toolCall,
  type UserReference,
} from './request.ts'
export { CEDAR_SCHEMA, SCHEMA_VERSION } from './schema.ts'
