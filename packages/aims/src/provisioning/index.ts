export { type AgentGroup, type AttestedAgent, isAgentGroup, isServedBy } from './agent-group.ts'
export {
  type BrokerJwtRequest,
  type ErrorInfo,
  encodeErrorStatus,
  type KubernetesReference,
  kubernetesReference,
  pidReference,
  REFERENCE_TYPES,
  type WorkloadRequest,
} from './broker/messages.ts'
export { BROKER_API, BROKER_HEADER } from './broker/service.ts'
export { collectorsOf } from './connect/collectors.ts'
export { type Connected, type ConnectedVia, type ConnectOptions, connect, type Environment } from './connect/connect.ts'
export { type DownstreamProofPurpose, downstreamProofNonce } from './downstream/proof.ts'
export {
  CREDENTIAL_TYPES,
  type CredentialType,
  DEFAULT_TTLS,
  type EntryRules,
  entryToJson,
  parseEntry,
  type RegistrationEntry,
  type TtlRule,
  type TtlRules,
} from './entry.ts'
export { type AgentProofPurpose, agentProofNonce } from './evidence/agent-proof.ts'
export {
  type AgentAttestationOptions,
  type AgentIdentity,
  attestAgent,
  renewAgent,
} from './evidence/agent-svid.ts'
export { connectByEvidence, type EvidenceConnectOptions } from './evidence/connect-evidence.ts'
export { type KeyProofSubject, signKeyProof, verifyKeyProof } from './evidence/key-proof.ts'
export { type IdentityServer, type IdentityServerOptions, identityServer } from './evidence/server.ts'
export { type BundleFetchOptions, type FetchedBundle, fetchBundle, refuseForeignBundle } from './federation/fetch.ts'
export { type FollowedBundle, type FollowOptions, followBundle, refreshInterval } from './federation/follow.ts'
export {
  bootstrapOf,
  type FederationProfile,
  type FederationRelationship,
  parseFederationRelationship,
} from './federation/relationship.ts'
export { GrpcError, type GrpcStatus, GrpcStream } from './grpc/grpc-stream.ts'
export { type CallListener, Http2Sessions } from './grpc/http2-sessions.ts'
export {
  type AuthorityKeys,
  type ConfirmationKey,
  type ConfirmationRegistry,
  createIssuer,
  type IssuanceRequest,
  type Issuer,
  type IssuerOptions,
  type KeyBindings,
  type KeyedIssuanceRequest,
  type Posture,
} from './issuer.ts'
export { isMatch, matchEntries } from './match.ts'
export { noIdentityChecks } from './nearest.ts'
export { AGENT_PREFIXES, isAgent, requireAgentRules } from './registration/agent-rules.ts'
export { createEntryIndex, type EntryIndex } from './registration/entry-index.ts'
export {
  type EntryPlan,
  isInScope,
  type PlanInput,
  type PlannedChange,
  type PlanProblem,
  type PlanWarning,
  type PruneScope,
  planEntries,
} from './registration/plan.ts'
export { type SelectorStrength, selectorStrength } from './registration/selector-strength.ts'
export {
  type FollowedRevocations,
  type FollowRevocationsOptions,
  followRevocations,
} from './revocations/follow.ts'
export {
  REVOCATIONS_SERVICE,
  type RevocationListRequest,
  type RevocationListResponse,
  type RevocationRelay,
  type SeenRevocations,
} from './revocations/relay.ts'
export type { DiscoveryRequest, DiscoveryResponse, RejectionDetail } from './sds/messages.ts'
export { encodeSecret, SECRET_TYPE, type SecretContent, type TrustDomainAuthorities } from './sds/secret.ts'
export { SECRET_DISCOVERY } from './sds/service.ts'
export { isSelector } from './selector.ts'
export type { SpireTrust } from './spire/bundle.ts'
export type {
  NewDownstreamX509CaRequest,
  NewDownstreamX509CaResponse,
  SpireBundle,
  SpireJwtKey,
  SpireX509Authority,
} from './spire/messages.ts'
export { type SpireServer, type SpireServerOptions, spireServer } from './spire/server.ts'
export { SPIRE_SERVER_API } from './spire/service.ts'
export { isSubAgentOf } from './sub-agents/below.ts'
export { type ConnectedSpawner, type ConnectSpawnerOptions, connectSpawner } from './sub-agents/connect.ts'
export { parseSubAgentLimits, type SubAgentLimits } from './sub-agents/limits.ts'
export {
  createSubAgentMint,
  MAX_BATCH,
  type MintedSubAgent,
  type MintRequest,
  type SubAgentBatch,
  type SubAgentMint,
  type SubAgentMintOptions,
  type SubAgentOrder,
  type SubAgentRegister,
  type SubAgentRoot,
} from './sub-agents/mint.ts'
export {
  createSpawner,
  type Spawner,
  type SpawnerOptions,
  type SpawnOptions,
  type SubAgent,
} from './sub-agents/spawn.ts'
export { signerOfChain, signerOfToken, signersOf } from './trust/signers.ts'
export { type FederatedBundles, readFederated, readStanding } from './trust/state.ts'
export type { AnyMessage } from './workload-api/any.ts'
export {
  type JwtSvidQuery,
  type Watcher,
  WorkloadApiClient,
  type WorkloadApiClientOptions,
} from './workload-api/client.ts'
export { ENDPOINT_VARIABLE, type Endpoint, parseEndpoint } from './workload-api/endpoint.ts'
export { FrameReader, frameMessage } from './workload-api/grpc-framing.ts'
export type {
  EmptyRequest,
  JwtBundlesResponse,
  JwtSvidMessage,
  JwtSvidRequestMessage,
  JwtSvidResponse,
  ValidateJwtSvidRequest,
  ValidateJwtSvidResponse,
  WitBundlesResponse,
  WitSvidMessage,
  WitSvidRequest,
  WitSvidResponse,
  X509BundlesResponse,
  X509SvidMessage,
  X509SvidResponse,
} from './workload-api/messages.ts'
export type { MessageCodec } from './workload-api/protobuf.ts'
export {
  readWits,
  type TokenBundles,
  type ValidatedJwtSvid,
  type X509Bundles,
  type X509Context,
} from './workload-api/responses.ts'
export { GRPC_STATUS, type Procedure, SECURITY_HEADER, WORKLOAD_API } from './workload-api/service.ts'
export { WorkloadBundleSource } from './workload-api/sources/bundles.ts'
export type { ConnectedIdentity, IdentityOptions } from './workload-api/sources/identity.ts'
export { WorkloadJwtSource } from './workload-api/sources/jwt.ts'
export type { ChooseIdentity, SourceOptions, Subscription } from './workload-api/sources/subscription.ts'
export { WorkloadWitSource } from './workload-api/sources/wit.ts'
export { connectWorkload, type Workload, type WorkloadOptions } from './workload-api/sources/workload.ts'
export { WorkloadX509Source } from './workload-api/sources/x509.ts'
