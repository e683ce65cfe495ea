export { type Authenticator, createAuthenticator } from './authenticate.ts'
export type { TrustedProxy } from './by-forwarding.ts'
export { type Carried, type RawHeaders, readCarriage } from './carriage.ts'
export {
  createMemoryHighWaterMark,
  type HighWaterMark,
} from './high-water/high-water-mark.ts'
export { openSqliteHighWaterMark, type SqliteHighWaterMark } from './high-water/sqlite.ts'
export type { ResponseSigner, ResponseSigning } from './http-signature/responses.ts'
export type { SignatureProfile } from './http-signature/shapes.ts'
export {
  type AnsweredRequest,
  type MessageSigningOptions,
  type SignableRequest,
  type SignableResponse,
  type SignatureHeaders,
  type SignedRequest,
  signRequest,
  signResponse,
} from './http-signature/sign.ts'
export {
  type RequestSignatureExpectations,
  type SignedRequestExpectations,
  type VerifiedRequestSignature,
  verifyRequestSignature,
} from './http-signature/verify-request.ts'
export {
  type IncomingResponse,
  type ResponseExpectations,
  type VerifiedResponse,
  verifyResponse,
} from './http-signature/verify-response.ts'
export {
  ENVELOPE_CLAIM,
  MESSAGE_FIELDS,
  MESSAGE_PROOF_TYP,
  type MessageHeader,
  type QueuedMessage,
} from './message/message.ts'
export { type MessageProof, type MessageProofOptions, proveMessage } from './message/prove.ts'
export {
  createMessageVerifier,
  type MessageSource,
  type MessageVerifier,
  type MessageVerifierOptions,
  type VerifiedMessage,
} from './message/verify.ts'
export { requireLiveCertificate } from './mtls/chain.ts'
export {
  type ClientTlsOptions,
  clientTlsOptions,
  MtlsAgent,
  type MtlsAgentOptions,
  mtlsAgent,
} from './mtls/client.ts'
export { peerCertificatesOf, type TlsVersion } from './mtls/material.ts'
export { type PeerRules, peerPrincipal } from './mtls/peers.ts'
export {
  type RotatingServer,
  type RotatingServerOptions,
  rotatingServer,
  type ServerTlsOptions,
  serverTlsOptions,
} from './mtls/server.ts'
export {
  AUTHENTICATION_METHODS,
  type AuthenticationAssurance,
  type AuthenticationMethod,
  assumePrincipal,
  type Covers,
  type Principal,
  type PrincipalFacts,
} from './principal.ts'
export { type ProblemResponse, problemFor } from './problem.ts'
export type {
  CompatProfileRule,
  CurrentProfileRule,
  ProfilePolicy,
  ProfileRule,
  ProofProfile,
} from './profile-policy.ts'
export {
  createMemoryReplayStore,
  type MemoryReplayStore,
  type MemoryReplayStoreOptions,
  openMemoryReplayStore,
} from './replay/memory.ts'
export { openPostgresReplayStore, type PostgresReplayStoreOptions } from './replay/postgres.ts'
export { openRedisReplayStore, type RedisReplayStoreOptions } from './replay/redis.ts'
export type { RemoteReplayStore, RemoteReplayStoreOptions, StoreConnection } from './replay/remote.ts'
export type { ReplayStore } from './replay/replay-store.ts'
export { openSqliteReplayStore, type SqliteReplayStore, type SqliteReplayStoreOptions } from './replay/sqlite.ts'
export type { AuthenticatorOptions, IncomingRequest, UnseenBody } from './request.ts'
export type { RouteRequirements } from './route.ts'
export type { Watch, WatchedCaller } from './watch.ts'
export { BODY_DIGEST_CLAIM, bodyDigest } from './wpt/body-digest.ts'
export {
  createWpt,
  type ProofHeaders,
  type ProofOptions,
  type ProofRequest,
  type ProvingWit,
  proofHeaders,
} from './wpt/create.ts'
export {
  type ProofExpectations,
  type RequiredBinding,
  type VerifiedProof,
  verifyWpt,
  type WptExpectations,
} from './wpt/verify.ts'
