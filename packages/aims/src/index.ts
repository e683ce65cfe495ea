// AIMS in one import. The verbs, in the order in which a request meets them:
//
//   attest     unixAttestor          evidence -> AttestationResult
//   issue      createIssuer          AttestationResult -> a credential; workloads get theirs by connectWorkload
//   prove      proofHeaders, ...     a credential and a request -> a proof; aims/fetch and aims/node attach it by themselves
//   verify     createAuthenticator   a request -> Principal; an adapter for each framework calls it, e.g. aims/express
//   authorize  createAuthorizer      Principal and action -> Decision, by the policies of loadPolicyDirectory
//   audit      AuditLog              AuditEvent -> AuditRecord, in a log that outsiders check with verifyLog
//
// Below in the order of folders. Each layer has more under a subpath of its own: aims/identifiers ... aims/compliance.

export type { AttestationResult, Attestor } from './attestation/attestor.ts'
export { unixAttestor } from './attestation/unix.ts'
export { type Authenticator, createAuthenticator } from './authentication/authenticate.ts'
export { mtlsAgent } from './authentication/mtls/client.ts'
export type { Principal } from './authentication/principal.ts'
export { createMemoryReplayStore } from './authentication/replay/memory.ts'
export type { AuthenticatorOptions, IncomingRequest } from './authentication/request.ts'
export { createWpt, type ProofRequest, proofHeaders } from './authentication/wpt/create.ts'
export { authorize } from './authorization/authorize.ts'
export { type Authorizer, createAuthorizer } from './authorization/authorizer.ts'
export { createCedarEngine } from './authorization/cedar-engine.ts'
export type { Decision } from './authorization/decision.ts'
export { type AccessRequest, httpAction, serviceResource, toolCall } from './authorization/request.ts'
export { apiClient } from './base/api-client.ts'
export { AimsError, type AimsErrorCode } from './base/errors.ts'
export { type AuditEvent, noObserver, type Observer } from './base/event.ts'
export { stderrObserver } from './base/stderr-observer.ts'
export { isBelow, isExactly, isMemberOf, isOneOf } from './identifiers/matcher.ts'
export { parseSpiffeId, type SpiffeId, type TrustDomain, type WorkloadId } from './identifiers/spiffe-id.ts'
export { parseTrustDomain } from './identifiers/trust-domain.ts'
export { AuditLog } from './monitoring/log.ts'
export type { AuditRecord } from './monitoring/record.ts'
export { remoteObserver } from './monitoring/remote-observer.ts'
export { verifyLog } from './monitoring/verify.ts'
export { loadPolicyDirectory } from './policy/policy-directory.ts'
export { type Connected, type ConnectOptions, connect } from './provisioning/connect/connect.ts'
export { createIssuer, type Issuer } from './provisioning/issuer.ts'
export { connectWorkload, type Workload, type WorkloadOptions } from './provisioning/workload-api/sources/workload.ts'
