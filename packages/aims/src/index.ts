// AIMS in one import: the six verbs, in the order in which a request meets them, and their types. Each layer has more
// under a subpath of its own: aims/identifiers ... aims/compliance.

// attest(Evidence) -> AttestationResult
export type { AttestationResult, Attestor } from './attestation/attestor.ts'
export { unixAttestor } from './attestation/unix.ts'
// verify(Request) -> Principal. aims/node, aims/express and aims/hono call it for you.
export { type Authenticator, createAuthenticator } from './authentication/authenticate.ts'
// prove(credential, Request) -> Proof. aims/fetch and aims/node attach proofs by themselves.
export { mtlsAgent } from './authentication/mtls/client.ts'
export type { Principal } from './authentication/principal.ts'
export { createMemoryReplayStore } from './authentication/replay/memory.ts'
export type { AuthenticatorOptions, IncomingRequest } from './authentication/request.ts'
export { createWpt, type ProofRequest, proofHeaders } from './authentication/wpt/create.ts'
// authorize(Principal, Action) -> Decision, by a policy set.
export { authorize } from './authorization/authorize.ts'
export { type Authorizer, createAuthorizer } from './authorization/authorizer.ts'
export { createCedarEngine } from './authorization/cedar-engine.ts'
export type { Decision } from './authorization/decision.ts'
export { type AccessRequest, httpAction, serviceResource, toolCall } from './authorization/request.ts'
// Every refusal.
export { AimsError, type AimsErrorCode } from './base/errors.ts'
// audit(AuditEvent) -> AuditRecord, in a log that outsiders can check.
export type { AuditEvent, Observer } from './base/event.ts'
// Whom it is about.
export { isBelow, isExactly, isMemberOf, isOneOf } from './identifiers/matcher.ts'
export { parseSpiffeId, type SpiffeId, type TrustDomain, type WorkloadId } from './identifiers/spiffe-id.ts'
export { parseTrustDomain } from './identifiers/trust-domain.ts'
export { AuditLog } from './monitoring/log.ts'
export type { AuditRecord } from './monitoring/record.ts'
export { remoteObserver } from './monitoring/remote-observer.ts'
export { verifyLog } from './monitoring/verify.ts'
export { loadPolicyDirectory } from './policy/policy-directory.ts'
// issue(AttestationResult) -> a credential. Workloads connect to what others run; issuers are for those who run it.
export { createIssuer, type Issuer } from './provisioning/issuer.ts'
export { connectWorkload, type Workload, type WorkloadOptions } from './provisioning/workload-api/sources/workload.ts'
