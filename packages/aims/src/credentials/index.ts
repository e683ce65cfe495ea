export { ASSURANCE_LEVELS, type Assurance, ATTESTATION_CLAIM, type AttestedFacts } from './attested.ts'
export type { BundleSource, TrustBundle } from './bundle/bundle.ts'
export { parseJwks, serializeJwks } from './bundle/jwks.ts'
export { type ParsedBundle, parseBundle, parseBundleMap } from './bundle/parse.ts'
export { parseAnyBundle } from './bundle/parse-any.ts'
export { parsePemBundle, serializePemBundle } from './bundle/pem.ts'
export { bundleContent, serializeBundle, serializeBundleMap } from './bundle/serialize.ts'
export { bundleSource, emptyBundle, refuseOlder, refuseRollback } from './bundle/source.ts'
export { DELEGATION_CLAIM, type Delegation } from './delegation/delegation.ts'
export { areWithin, coversRight, parseRight, parseRights, type Right } from './delegation/rights.ts'
export { decodeUnverifiedJwtSvid } from './jwt-svid/decode.ts'
export { issueJwtSvid, type JwtSvidRequest } from './jwt-svid/issue.ts'
export type { VerifiedJwtSvid } from './jwt-svid/jwt-svid.ts'
export { holdJwtSvid, type JwtSvid, type JwtSvidSource } from './jwt-svid/source.ts'
export { type JwtSvidExpectations, verifyJwtSvid } from './jwt-svid/verify.ts'
export { PROFILES, type Profile } from './profile.ts'
export { type HeldRevocations, type HeldRevocationsOptions, holdRevocations } from './revocation/hold.ts'
export { indexRevocations, type RevocationIndex } from './revocation/index-list.ts'
export {
  MAX_REVOCATION_BYTES,
  MAX_REVOCATIONS,
  type RevocationListExpectations,
  readRevocation,
  signRevocationList,
  verifyRevocationList,
} from './revocation/list.ts'
export { requireNotRevoked } from './revocation/require.ts'
export {
  REVOCATION_TYPES,
  type RevocableCredential,
  type Revocation,
  type RevocationList,
  type RevocationSource,
  type RevocationStatus,
} from './revocation/revocation.ts'
export { type CachingWitVerifierOptions, cachingWitVerifier } from './wit/cache.ts'
export type { KeyRegistry } from './wit/confirmation.ts'
export { decodeUnverifiedWit } from './wit/decode.ts'
export { type IssuedToken, issueWit, type WitRequest } from './wit/issue.ts'
export { holdWit, type Wit, type WitSource } from './wit/source.ts'
export { verifyWit, type WitExpectations, type WitRules } from './wit/verify.ts'
export type { VerifiedWit } from './wit/wit.ts'
export { createX509Authority, type X509Authority, type X509AuthorityOptions } from './x509-svid/authority.ts'
export { createCertificateRequest } from './x509-svid/certificate-request.ts'
export { type IssuedX509Svid, issueX509Svid, type X509SvidRequest } from './x509-svid/issue.ts'
export { type CaCertificateRequest, issueCaCertificate } from './x509-svid/issue-ca.ts'
export {
  decodeUnverifiedX509Svid,
  parsePemChain,
  splitDerChain,
  type UnverifiedX509Svid,
} from './x509-svid/parse.ts'
export { holdX509Svid, type X509Svid, type X509SvidSource } from './x509-svid/source.ts'
export { verifyX509Svid, type X509SvidExpectations } from './x509-svid/verify.ts'
export type { VerifiedX509Svid } from './x509-svid/x509-svid.ts'
