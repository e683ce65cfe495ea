export {
  type Appraisal,
  type AppraisalPolicy,
  appraise,
  type Combination,
  type EvidenceVerifiers,
  readAppraisalPolicy,
} from './appraisal/appraisal.ts'
export { assuranceOf, compareAssurance } from './appraisal/assurance.ts'
export {
  ATTESTATION_TYPES,
  type AttestationResult,
  type AttestationType,
  type Attestor,
  type BindingStrength,
  type Freshness,
  type TcbState,
} from './attestor.ts'
export type { AwsIidTrust } from './aws-iid/authenticate.ts'
export { awsIidVerifier } from './aws-iid/aws-iid.ts'
export { awsIidCollateral } from './aws-iid/collateral.ts'
export type { IidClaims } from './aws-iid/document.ts'
export type { IidPolicy } from './aws-iid/policy.ts'
export { AWS_IID_CERTIFICATES, AWS_IID_LEGACY_CERTIFICATES, type RegionCertificates } from './aws-iid/roots.ts'
export { type AwsNitroTrust, awsNitroVerifier, type NitroClaims } from './aws-nitro/aws-nitro.ts'
export type { NitroPolicy } from './aws-nitro/policy.ts'
export { AWS_NITRO_ROOTS } from './aws-nitro/roots.ts'
export { type AwsStsTrust, awsStsVerifier, type StsClaims } from './aws-sts/aws-sts.ts'
export { stsHosts } from './aws-sts/endpoints.ts'
export type { StsPolicy } from './aws-sts/policy.ts'
export type { AwsCredentials } from './aws-sts/sigv4.ts'
export { type AzureTrust, azureCollateral, azureIssuerAddresses, azureVerifier } from './azure/azure.ts'
export { AZURE_CLOUDS, type AzureCloud } from './azure/certificate.ts'
export type { AzureClaims } from './azure/document.ts'
export { azureNonce } from './azure/nonce.ts'
export type { AzurePolicy } from './azure/policy.ts'
export { AZURE_ROOTS } from './azure/roots.ts'
export type { AzureCvmTrust } from './azure-cvm/authenticate.ts'
export { type AzureCvmClaims, azureCvmVerifier } from './azure-cvm/azure-cvm.ts'
export type { AzureCvmPolicy } from './azure-cvm/policy.ts'
export { type AzureMsiTrust, azureMsiCollateral, azureMsiVerifier } from './azure-msi/azure-msi.ts'
export type { AzureMsiClaims } from './azure-msi/claims.ts'
export type { AzureMsiPolicy } from './azure-msi/policy.ts'
export { type AzureResource, parseAzureResource } from './azure-msi/resource-id.ts'
export {
  bindingAudience,
  bindingDigest,
  type Challenge,
  checkBoundAudience,
  checkBoundData,
  type ExpectedBinding,
} from './binding.ts'
export {
  type CollateralFile,
  type CollateralSource,
  collateralOf,
  createHighestSeen,
  firstOf,
  type HighestSeen,
} from './collateral.ts'
export { type CollateralDirectory, collateralDirectory, highestSeenFile } from './collateral-directory.ts'
export { awsIidCollector, awsInstanceCredentials, type MetadataOptions } from './collect/aws-imds.ts'
export { type AwsStsCollectorOptions, awsStsCollector } from './collect/aws-sts.ts'
export { azureCollector } from './collect/azure-imds.ts'
export { type AzureMsiCollectorOptions, azureMsiCollector } from './collect/azure-msi.ts'
export type {
  CollectorChallenge,
  EvidenceCollector,
} from './collect/collector.ts'
export { collectTsmReport, type TsmFiles, type TsmReport, type TsmRequest } from './collect/configfs-tsm.ts'
export { type GcpCollectorOptions, gcpCollector } from './collect/gcp.ts'
export { type GithubCollectorOptions, githubCollector } from './collect/github.ts'
export { joinTokenCollector } from './collect/join-token.ts'
export {
  type InClusterOptions,
  inClusterApi,
  type KubernetesCollectorOptions,
  kubernetesCollector,
} from './collect/kubernetes.ts'
export {
  type KubernetesApiClient,
  type KubernetesApiOptions,
  type KubernetesTokenRequest,
  kubernetesApiClient,
  kubernetesExchange,
} from './collect/kubernetes-api.ts'
export { metadataExchange } from './collect/metadata.ts'
export { spiffeCollector } from './collect/spiffe.ts'
export { type TdxCollectorOptions, tdxCollector } from './collect/tdx.ts'
export { TpmSigner } from './collect/tpm/signer.ts'
export { type TpmCollector, type TpmCollectorOptions, tpmCollector } from './collect/tpm/tpm-collector.ts'
export { type MachineCertificate, x509PopCollector } from './collect/x509-pop.ts'
export type { DcapTcb, DcapTrust } from './dcap/authenticate.ts'
export { dcapCollateral } from './dcap/files.ts'
export { type DcapTee, dcapCollateralNames, type PckCa } from './dcap/names.ts'
export type { DcapPlatform } from './dcap/pck.ts'
export type { DcapPolicy } from './dcap/policy.ts'
export type { SgxReport, TdReport } from './dcap/report-body.ts'
export { INTEL_SGX_ROOT_CA } from './dcap/roots.ts'
export type { MeasuredEvent } from './dcap/rtmr.ts'
export { type SgxClaims, type SgxPolicy, sgxVerifier } from './dcap/sgx.ts'
export type { TcbStatus } from './dcap/tcb-status.ts'
export { type TdxClaims, type TdxPolicy, tdxVerifier } from './dcap/tdx.ts'
export { type DockerAttestorOptions, dockerAttestor } from './docker/docker.ts'
export {
  type Authenticated,
  appraised,
  attestEvidence,
  authenticatedEvidence,
  authenticateEvidence,
  type EvidenceContext,
  type EvidenceUse,
  type EvidenceVerifier,
  type Preparation,
} from './evidence.ts'
export { type Exchange, type ExchangeRequest, type ExchangeResponse, exchangeThrough } from './exchange.ts'
export type { GcpClaims } from './gcp/claims.ts'
export { type GcpTrust, gcpCollateral, gcpVerifier } from './gcp/gcp.ts'
export type { GcpPolicy } from './gcp/policy.ts'
export type { GithubClaims } from './github/claims.ts'
export { type GithubTrust, githubCollateral, githubVerifier } from './github/github.ts'
export type { GithubPolicy } from './github/policy.ts'
export {
  type ConsumedToken,
  createJoinToken,
  type JoinTokenClaims,
  type JoinTokenPolicy,
  type JoinTokenStore,
  joinTokenHash,
  joinTokenVerifier,
} from './join-token/join-token.ts'
export type { KubernetesClaims, KubernetesIdentity } from './kubernetes/claims.ts'
export {
  type KubernetesCluster,
  type KubernetesTrust,
  kubernetesCollateral,
  kubernetesVerifier,
} from './kubernetes/kubernetes.ts'
export type { KubernetesPolicy } from './kubernetes/policy.ts'
export type { KubernetesApi, TokenReviewRequest } from './kubernetes/review.ts'
export {
  type AcceptedManifest,
  appraiseManifest,
  type ManifestPolicy,
  readManifestPolicy,
  requireBoundManifest,
} from './manifest/appraise-manifest.ts'
export {
  type ContentDigest,
  type Manifest,
  type ManifestPart,
  signManifest,
  type VerifiedManifest,
  verifyManifest,
} from './manifest/manifest.ts'
export {
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
  releasePeerCredentials,
} from './peer-credentials.ts'
export { type LocatedProcess, loadProcessLocator, type ProcessLocator } from './process-locator.ts'
export { AMD_HOST, type AmdRefresh, amdTasks, type SnpChip } from './refresh/amd.ts'
export { INTEL_HOSTS, type IntelRefresh, intelTasks } from './refresh/intel.ts'
export {
  azureKeys,
  GITHUB_KEYS,
  GOOGLE_KEYS,
  hostOf,
  type KeySet,
  keySetTask,
  kubernetesKeys,
} from './refresh/key-sets.ts'
export { unverifiedDcapNeeds, unverifiedSnpNeeds } from './refresh/needs.ts'
export {
  type FreshFile,
  type RefreshOptions,
  type RefreshOutcome,
  type RefreshTask,
  refreshCollateral,
} from './refresh/refresh.ts'
export type { SnpTrust } from './sev-snp/authenticate.ts'
export { snpCollateral } from './sev-snp/files.ts'
export { snpCollateralNames } from './sev-snp/names.ts'
export type { SnpMinimumTcb, SnpPolicy } from './sev-snp/policy.ts'
export { SNP_PRODUCTS, type SnpProduct } from './sev-snp/product.ts'
export type { SnpFirmware, SnpGuestPolicy, SnpPlatformInfo, SnpReport } from './sev-snp/report.ts'
export { AMD_SNP_INTERMEDIATES, AMD_SNP_ROOTS } from './sev-snp/roots.ts'
export { type SnpClaims, snpVerifier } from './sev-snp/sev-snp.ts'
export type { SnpTcb } from './sev-snp/tcb.ts'
export type { SnpEndorsementKey } from './sev-snp/vek.ts'
export { combinedAttestor } from './several.ts'
export { type SpiffeClaims, type SpiffePolicy, type SpiffeTrust, spiffeVerifier } from './spiffe/spiffe.ts'
export type { TpmPolicy } from './tpm/appraise.ts'
export type { TpmClock } from './tpm/attest.ts'
export type { TpmClaims, TpmKnownKey, TpmKnownKeys, TpmTrust } from './tpm/authenticate.ts'
export type { TpmCertificateTrust } from './tpm/certificates.ts'
export type { GceInstance } from './tpm/instance.ts'
export { type PackedTpmFiles, packTpmFiles, tpmCollateral, tpmFilesVerifier } from './tpm/loose/pack.ts'
export type { PcrSelection, PcrValues } from './tpm/pcrs.ts'
export { checkTpmProgress, type TpmProgress } from './tpm/progress.ts'
export { TPM_VENDOR_CAS, type TpmVendor, tpmVendorRoots } from './tpm/roots.ts'
export { type TpmVerifier, tpmVerifier } from './tpm/tpm.ts'
export { type UnixAttestorOptions, unixAttestor } from './unix.ts'
export { findUnixSelectorProblem } from './unix-selectors.ts'
export { type X509PopClaims, type X509PopPolicy, type X509PopTrust, x509PopVerifier } from './x509-pop/x509-pop.ts'
