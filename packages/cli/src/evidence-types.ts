import {
  type AttestationType,
  AWS_IID_CERTIFICATES,
  AWS_IID_LEGACY_CERTIFICATES,
  AWS_NITRO_ROOTS,
  AZURE_ROOTS,
  type AzureCloud,
  awsIidCollateral,
  awsIidVerifier,
  awsNitroVerifier,
  azureCollateral,
  azureCvmVerifier,
  azureMsiCollateral,
  azureMsiVerifier,
  azureVerifier,
  type CollateralFile,
  type CollateralSource,
  type DcapTrust,
  dcapCollateral,
  type EvidenceVerifier,
  firstOf,
  gcpCollateral,
  gcpVerifier,
  githubCollateral,
  githubVerifier,
  kubernetesCollateral,
  kubernetesVerifier,
  sgxVerifier,
  snpCollateral,
  snpVerifier,
  tdxVerifier,
  tpmCollateral,
  tpmFilesVerifier,
} from 'aims/attestation'
import { stsVerifier } from './evidence-sts.ts'

/** What a command line says about whom to trust. */
export interface EvidenceTrust {
  /** Files by the names that verifiers ask for, then what the loose files were recognised as. */
  readonly collateral: CollateralSource
  /** The loose files themselves, for types whose evidence has several. */
  readonly files: readonly CollateralFile[]
  /** `--root`: SHA-256 fingerprints, hex. Absent: those of the vendor, where AIMS has them built in. */
  readonly roots?: ReadonlySet<string>
  readonly settings: EvidenceSettings
}

/** Options that only some types have. */
export interface EvidenceSettings {
  /** `--region`. Absent: every region. */
  readonly regions?: readonly string[]
  /** `--issuer`. */
  readonly issuers?: readonly string[]
  /** `--tenant`. */
  readonly tenants?: readonly string[]
  /** `--cluster`. */
  readonly cluster?: string
  /** `--cloud`. */
  readonly clouds?: readonly AzureCloud[]
  /** `--legacy`. */
  readonly legacy?: true
  /** `--online`. */
  readonly online?: true
  /** `--accept-unrated-tcb`. */
  readonly acceptUnratedTcb?: true
}

/** How the command line judges one type of evidence. */
export interface EvidenceType {
  readonly type: AttestationType
  /** Other names people use for it. */
  readonly aliases: readonly string[]
  readonly proves: string
  readonly binds: string
  /** `text`: the platform takes a nonce of characters. `audience`: it signs an audience instead. Default: bytes. */
  readonly nonce?: 'text' | 'audience'
  /** Recognises files by their content. Absent: the type needs none. */
  collateral?(files: readonly CollateralFile[]): CollateralSource
  verifier(trust: EvidenceTrust): EvidenceVerifier
}

/** The longest life that the API server of Kubernetes can be asked for. */
const MAX_SECONDS = 2 ** 32

/** Every type of evidence that is a file. A line here makes it known to `aims verify evidence` and `aims attest`. */
export const EVIDENCE_TYPES: readonly EvidenceType[] = [
  {
    type: 'tpm',
    aliases: ['tpm2', 'tpm-2.0', 'tpm20', 'vtpm'],
    proves: 'what a machine booted, and that a key cannot leave its TPM 2.0; by whose TPM, where a root is given',
    binds: 'nonce and key are in the data that the TPM signs',
    collateral: tpmCollateral,
    verifier: ({ collateral, files, roots = new Set() }) => tpmFilesVerifier({ collateral, roots }, files),
  },
  {
    type: 'sgx',
    aliases: ['intel-sgx', 'sgx-dcap', 'dcap', 'dcap-sgx'],
    proves: 'the enclave that runs on a genuine Intel processor, and how Intel rates that platform',
    binds: 'nonce and key are in the report data that the processor signs',
    collateral: dcapCollateral,
    verifier: (trust) => sgxVerifier(dcapTrust(trust)),
  },
  {
    type: 'tdx',
    aliases: ['intel-tdx', 'tdx-dcap', 'dcap-tdx'],
    proves: 'the confidential VM that runs on a genuine Intel processor, and how Intel rates that platform',
    binds: 'nonce and key are in the report data that the processor signs',
    collateral: dcapCollateral,
    verifier: (trust) => tdxVerifier(dcapTrust(trust)),
  },
  {
    type: 'aws-iid',
    aliases: ['aws', 'ec2', 'iid', 'aws-ec2', 'aws-instance-identity', 'instance-identity'],
    proves: 'account, region, instance and image of an EC2 virtual machine',
    binds: 'nothing: whoever reads the metadata service of the machine has the document; good for one first use',
    collateral: awsIidCollateral,
    verifier: ({ collateral, roots, settings: { regions, legacy } }) =>
      awsIidVerifier({
        collateral,
        certificates: ofRegions(anywhere(roots) ?? AWS_IID_CERTIFICATES, regions),
        ...(legacy === true
          ? { legacyCertificates: ofRegions(anywhere(roots) ?? AWS_IID_LEGACY_CERTIFICATES, regions) }
          : {}),
      }),
  },
  {
    type: 'aws-sts',
    aliases: ['sts', 'aws-iam', 'iam', 'sts-get-caller-identity', 'get-caller-identity'],
    proves: 'the IAM role or user that signed a request, as AWS answers it',
    binds: 'nonce and key are in a header that the request signs',
    nonce: 'audience',
    verifier: stsVerifier,
  },
  {
    type: 'aws-nitro',
    aliases: ['nitro', 'nitro-enclave', 'nitro-enclaves', 'aws-nitro-enclave', 'aws-nitro-enclaves'],
    proves: 'the image, kernel, application, role and instance of an AWS Nitro enclave, by its PCRs',
    binds: 'nonce, key and their digest are in the document that the hypervisor signs',
    verifier: ({ roots = AWS_NITRO_ROOTS }) => awsNitroVerifier({ roots }),
  },
  {
    type: 'azure',
    aliases: ['azure-imds', 'azure-attested', 'azure-attested-document', 'azure-vm', 'imds'],
    proves: 'subscription and identifier of an Azure virtual machine',
    binds: 'nonce and key are in the nonce of the document, to 160 bits',
    nonce: 'text',
    collateral: azureCollateral,
    verifier: ({ collateral, roots = AZURE_ROOTS, settings: { clouds } }) =>
      azureVerifier({ collateral, roots, ...(clouds === undefined ? {} : { clouds }) }),
  },
  {
    type: 'azure-cvm',
    aliases: ['azure-confidential-vm', 'az-snp-vtpm', 'az-tdx-vtpm', 'azure-snp', 'azure-tdx', 'hcl'],
    proves: 'hardware, paravisor, identifier and boot of an Azure confidential virtual machine',
    binds: 'nonce and key are in what the vTPM signs, whose key the hardware vouches for',
    collateral: (files) => firstOf(snpCollateral(files), dcapCollateral(files)),
    verifier: (trust) => {
      const { collateral, roots } = trust
      return azureCvmVerifier({
        snp: { collateral, ...(roots === undefined ? {} : { roots }) },
        tdx: dcapTrust(trust),
      })
    },
  },
  {
    type: 'azure-msi',
    aliases: ['msi', 'azure-managed-identity', 'managed-identity'],
    proves: 'the managed identity of an Azure resource, and which resource used it',
    binds: 'nothing: the token is for this service and good for one first use',
    nonce: 'audience',
    collateral: azureMsiCollateral,
    verifier: ({ collateral, settings: { tenants } }) =>
      azureMsiVerifier({ collateral, ...(tenants === undefined ? {} : { tenants }) }),
  },
  {
    type: 'gcp',
    aliases: ['gce', 'gcp-iit', 'google', 'google-cloud', 'gcp-identity-token'],
    proves: 'project, zone, instance and service account of a Google Compute Engine instance',
    binds: 'nonce and key are in the audience of the token',
    nonce: 'audience',
    collateral: gcpCollateral,
    verifier: ({ collateral }) => gcpVerifier({ collateral }),
  },
  {
    type: 'github',
    aliases: ['github-actions', 'gha', 'github-oidc', 'actions'],
    proves: 'repository, workflow, ref and environment of a GitHub Actions job, by numbers that do not change hands',
    binds: 'nonce and key are in the audience of the token',
    nonce: 'audience',
    collateral: githubCollateral,
    verifier: ({ collateral, settings: { issuers: [issuer] = [] } }) =>
      githubVerifier({ collateral, ...(issuer === undefined ? {} : { issuer }) }),
  },
  {
    type: 'kubernetes',
    aliases: ['k8s', 'k8s-psat', 'psat', 'kubernetes-psat'],
    proves: 'cluster, namespace, service account, pod and node of a Kubernetes pod',
    binds: 'nonce and key are in the audience of the token',
    nonce: 'audience',
    collateral: kubernetesCollateral,
    // Offline, on behalf of whoever runs the cluster: how long its tokens may live is told, not judged.
    verifier: ({ collateral, settings: { cluster = 'cluster', issuers: [issuer] = [] } }) =>
      kubernetesVerifier({
        clusters: { [cluster]: { maxTokenLifetime: MAX_SECONDS, ...(issuer === undefined ? {} : { issuer }) } },
        collateral,
      }),
  },
  {
    type: 'sev-snp',
    aliases: ['snp', 'sev', 'amd-sev-snp', 'amd-snp', 'amd'],
    proves: 'what a confidential virtual machine of AMD SEV-SNP was launched with, on which chip and firmware',
    binds: 'nonce and key are in the report that the processor signs (REPORT_DATA)',
    collateral: snpCollateral,
    verifier: ({ collateral, roots }) => snpVerifier({ collateral, ...(roots === undefined ? {} : { roots }) }),
  },
]

/** The type that a name or alias means; case, `_` and blanks do not matter. */
export function findEvidenceType(name: string): EvidenceType | undefined {
  const plain = name.toLowerCase().replaceAll(/[_ ]/g, '-')
  return EVIDENCE_TYPES.find(({ type, aliases }) => type === plain || aliases.includes(plain))
}

function dcapTrust({ collateral, roots, settings: { acceptUnratedTcb } }: EvidenceTrust): DcapTrust {
  return {
    collateral,
    ...(roots === undefined ? {} : { roots }),
    ...(acceptUnratedTcb === undefined ? {} : { acceptUnratedTcb }),
  }
}

type ByRegion = { readonly [region: string]: readonly string[] }

// `*` stands for every region that is not named.
function ofRegions(certificates: ByRegion, regions: readonly string[] | undefined): ByRegion {
  if (regions === undefined) return certificates
  return Object.fromEntries(
    regions.map((region) => [region, [...(certificates[region] ?? []), ...(certificates['*'] ?? [])]]),
  )
}

function anywhere(roots: ReadonlySet<string> | undefined): ByRegion | undefined {
  return roots === undefined ? undefined : { '*': [...roots] }
}
