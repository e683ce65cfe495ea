export {
  ATTESTATION_TYPES,
  type AttestationResult,
  type AttestationType,
  type Attestor,
  type BindingStrength,
  type Freshness,
  type TcbState,
} from './attestor.ts'
export {
  type AwsNitroTrust,
  awsNitroVerifier,
  type NitroClaims,
} from './aws-nitro/aws-nitro.ts'
export type { NitroPolicy } from './aws-nitro/policy.ts'
export { AWS_NITRO_ROOTS } from './aws-nitro/roots.ts'
export { bindingAudience, bindingDigest, type Challenge, type ExpectedBinding } from './binding.ts'
export { type CollateralSource, collateralOf, firstOf } from './collateral.ts'
export {
  type Authenticated,
  appraised,
  attestEvidence,
  authenticateEvidence,
  type EvidenceContext,
  type EvidenceVerifier,
} from './evidence.ts'
export {
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
  releasePeerCredentials,
} from './peer-credentials.ts'
export { type UnixAttestorOptions, unixAttestor } from './unix.ts'
export { findUnixSelectorProblem } from './unix-selectors.ts'
