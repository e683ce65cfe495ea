import { readFileSync } from 'node:fs'
import {
  type AttestationType,
  AWS_IID_CERTIFICATES,
  AWS_IID_LEGACY_CERTIFICATES,
  AWS_NITRO_ROOTS,
  AZURE_CLOUDS,
  AZURE_ROOTS,
  type AzureCloud,
  awsIidVerifier,
  awsNitroVerifier,
  awsStsVerifier,
  azureCvmVerifier,
  azureMsiVerifier,
  azureVerifier,
  type CollateralSource,
  collateralDirectory,
  type EvidenceVerifier,
  exchangeThrough,
  firstOf,
  gcpVerifier,
  githubVerifier,
  inClusterApi,
  type KubernetesCluster,
  kubernetesApiClient,
  kubernetesExchange,
  kubernetesVerifier,
  sgxVerifier,
  snpVerifier,
  spiffeVerifier,
  stsHosts,
  TPM_VENDOR_CAS,
  type TpmVendor,
  tdxVerifier,
  tpmCollateral,
  tpmVendorRoots,
  tpmVerifier,
  x509PopVerifier,
} from 'aims/attestation'
import { type JsonObject, outbound, parsePem } from 'aims/base'
import { parseBundle, type TrustBundle } from 'aims/credentials'
import { parseTrustDomain, type TrustDomain } from 'aims/identifiers'
import { highestSeen, rememberingTpm } from './remembering.ts'
import { revocationListFile } from './revocation-list-file.ts'
import {
  type Field,
  type Fields,
  fingerprintsField,
  flagField,
  listField,
  namedField,
  pathField,
  readFields,
  textField,
  type Values,
} from './verifier-settings.ts'
import type { VerifierSurroundings } from './verifiers.ts'

/** A type of evidence that can be switched on. */
export interface VerifierType {
  readonly type: AttestationType
  readonly settings: Fields
  /** @throws {@link Error} with the reason, lower case */
  create(settings: JsonObject, surroundings: VerifierSurroundings): EvidenceVerifier
}

const COLLATERAL = pathField(
  'the directory `collateral` of the data directory',
  'Directory of what the vendor publishes; `aims attest refresh` fills it.',
)
const vendorRoots = (whose: string): Field<ReadonlySet<string>> =>
  fingerprintsField(`those of ${whose}`, 'Root certificates that are trusted.')
const DCAP = {
  roots: vendorRoots('Intel'),
  collateral: COLLATERAL,
  acceptUnratedTcb: flagField('false', 'DANGEROUS: accept quotes without the collateral that rates their firmware.'),
}

/** The types that can be switched on, and their settings. A type that is not configured is off. */
export const VERIFIER_TYPES: readonly VerifierType[] = [
  define(
    'tpm',
    {
      vendors: listField<TpmVendor>(
        'none',
        'Makers whose TPMs are trusted.',
        Object.keys(TPM_VENDOR_CAS) as TpmVendor[],
      ),
      roots: fingerprintsField('none', 'Further certificates that end a chain. One of `vendors`, `roots` is needed.'),
      authorities: pathField('none', 'File with the certificates of CAs of makers, roots and those below, PEM.'),
      requireRevocationLists: flagField('false', 'Refuse a chain in which a revocation list is not at hand.'),
      collateral: COLLATERAL,
    },
    ({ vendors = [], roots = new Set<string>(), requireRevocationLists = false, authorities, collateral }, around) => {
      const all = new Set([...tpmVendorRoots(...vendors), ...roots])
      if (all.size === 0) throw new Error('vendors or roots must be named')
      const files = authorities === undefined ? [] : [{ name: 'authorities', bytes: readFileSync(authorities) }]
      const known = firstOf(tpmCollateral(files), source(collateral, around))
      const trust = { roots: all, requireRevocationLists, collateral: known }
      return rememberingTpm(tpmVerifier(trust), around.memory)
    },
  ),
  define('sgx', DCAP, (values, around) => sgxVerifier(dcapTrust(values, around))),
  define('tdx', DCAP, (values, around) => tdxVerifier(dcapTrust(values, around))),
  define(
    'sev-snp',
    {
      roots: vendorRoots('AMD'),
      requireRevocationList: flagField('false', 'Refuse when the revocation list of the root is not at hand.'),
      collateral: COLLATERAL,
    },
    ({ collateral, ...rest }, around) => snpVerifier({ ...rest, collateral: source(collateral, around) }),
  ),
  define(
    'kubernetes',
    {
      clusters: namedField('needed', 'The clusters, by a name of your choice.', {
        issuer: textField('any, with a warning', 'Exactly the `iss` of its tokens.'),
        server: textField('none', '`https://HOST:PORT` of its API server, which then confirms every token.'),
        ca: pathField('none', 'With `server`: the authority of the API server, PEM.'),
        tokenFile: pathField('none', 'With `server`: the token of a service account that may review tokens.'),
        inCluster: flagField('false', 'The cluster that this server runs in confirms every token.'),
        acceptUnboundAudience: textField('none', 'Also accept tokens with this audience, as bearer documents.'),
      }),
      collateral: COLLATERAL,
    },
    ({ clusters = {}, collateral }, around) =>
      kubernetesVerifier({
        clusters: Object.fromEntries(Object.entries(clusters).map(([name, one]) => [name, cluster(one, around)])),
        collateral: source(collateral, around),
      }),
  ),
  define(
    'aws-iid',
    {
      regions: listField('all', 'Regions whose documents are accepted.'),
      legacy: flagField('false', 'DANGEROUS: also the forms with DSA or RSA of 1024 bits.'),
      collateral: COLLATERAL,
    },
    ({ regions, legacy = false, collateral }, around) =>
      awsIidVerifier({
        certificates: ofRegions(AWS_IID_CERTIFICATES, regions),
        ...(legacy ? { legacyCertificates: ofRegions(AWS_IID_LEGACY_CERTIFICATES, regions) } : {}),
        collateral: source(collateral, around),
      }),
  ),
  define(
    'aws-sts',
    { regions: listField('needed', 'Regions whose endpoints may be asked. The server asks AWS at each issuance.') },
    ({ regions }) => {
      if (regions === undefined) throw new Error('regions must be named')
      const sts = outbound({ purposes: { sts: { hosts: stsHosts(regions) } } })
      return awsStsVerifier({ regions, exchange: exchangeThrough(sts, 'sts') })
    },
  ),
  define('aws-nitro', { roots: vendorRoots('AWS') }, ({ roots = AWS_NITRO_ROOTS }) => awsNitroVerifier({ roots })),
  define('gcp', { collateral: COLLATERAL }, ({ collateral }, around) =>
    gcpVerifier({ collateral: source(collateral, around) }),
  ),
  define(
    'azure',
    {
      roots: vendorRoots('Microsoft and DigiCert'),
      clouds: listField<AzureCloud>('`public`', 'Clouds of Azure.', Object.keys(AZURE_CLOUDS) as AzureCloud[]),
      collateral: COLLATERAL,
    },
    ({ roots = AZURE_ROOTS, clouds, collateral }, around) =>
      azureVerifier({
        roots,
        ...(clouds === undefined ? {} : { clouds }),
        collateral: source(collateral, around),
      }),
  ),
  define(
    'azure-msi',
    {
      audience: textField('needed', 'The application id URI of this server, for which tokens are asked.'),
      tenants: listField('needed', 'Directories whose identities are accepted, UUIDs.'),
      collateral: COLLATERAL,
    },
    ({ audience, tenants, collateral }, around) => {
      if (audience === undefined || tenants === undefined) throw new Error('audience and tenants must be named')
      return azureMsiVerifier({ audience, tenants, collateral: source(collateral, around) })
    },
  ),
  define('azure-cvm', { collateral: COLLATERAL }, ({ collateral }, around) =>
    azureCvmVerifier({
      snp: { collateral: source(collateral, around) },
      tdx: { collateral: source(collateral, around), seen: highestSeen(around.memory) },
    }),
  ),
  define(
    'x509-pop',
    {
      authorities: pathField('needed', 'PEM file of the CAs whose machine certificates are trusted.'),
      revocationLists: pathField(
        'none: revocation is not looked at',
        'File of CRLs, PEM or one as DER, of every CA in the chains; read again when it changes. A CRL that is stale refuses all.',
      ),
    },
    ({ authorities, revocationLists }) => {
      if (authorities === undefined) throw new Error('authorities must be named')
      const blocks = parsePem(readFileSync(authorities, 'latin1'))
      if (blocks.length === 0) throw new Error('"authorities": a PEM file with certificates is needed')
      const trust = { authorities: blocks.map(({ bytes }) => bytes) }
      if (revocationLists === undefined) return x509PopVerifier(trust)
      const lists = revocationListFile(revocationLists)
      // A wrong path is told at the start.
      lists()
      return x509PopVerifier({ ...trust, revocationLists: lists })
    },
  ),
  define(
    'spiffe',
    {
      trustDomains: namedField('needed', 'Trust domains of others whose X.509-SVIDs are accepted, by name.', {
        bundle: pathField(
          'the bundle of the federation, or of the Workload API of `listen.workloadApi`',
          'File with the SPIFFE bundle; read anew at every piece of evidence.',
        ),
      }),
    },
    ({ trustDomains }, { trustDomain: own, bundles }) => {
      const named = Object.entries(trustDomains ?? {}).map(
        ([name, { bundle }]) => [parseTrustDomain(name), bundle] as const,
      )
      if (named.length === 0) throw new Error('trustDomains must be named')
      const files = new Map(named)
      if (files.has(own)) throw new Error('what this server issues is no evidence for it')
      const bundleFor = (domain: TrustDomain): TrustBundle | undefined => {
        const file = files.get(domain)
        return file === undefined ? bundles.bundleFor(domain) : readBundleFile(file, domain)
      }
      return spiffeVerifier({ trustDomains: [...files.keys()], bundles: { bundleFor } })
    },
  ),
  define(
    'github',
    {
      issuer: textField('that of github.com', 'Exactly the `iss` of the tokens, for an enterprise or its own server.'),
      collateral: COLLATERAL,
    },
    ({ issuer, collateral }, around) =>
      githubVerifier({ ...(issuer === undefined ? {} : { issuer }), collateral: source(collateral, around) }),
  ),
]

function define<F extends Fields>(
  type: AttestationType,
  settings: F,
  make: (values: Values<F>, around: VerifierSurroundings) => EvidenceVerifier,
): VerifierType {
  return { type, settings, create: (given, around) => make(readFields(given, settings), around) }
}

// A file that cannot be read now vouches for nobody, and the next piece of evidence looks again.
function readBundleFile(file: string, domain: TrustDomain): TrustBundle | undefined {
  try {
    return parseBundle(readFileSync(file), domain).bundle
  } catch {
    return undefined
  }
}

function source(collateral: string | undefined, around: VerifierSurroundings): CollateralSource {
  return collateralDirectory(collateral ?? around.collateral)
}

function dcapTrust({ collateral, ...rest }: Values<typeof DCAP>, around: VerifierSurroundings) {
  return { ...rest, collateral: source(collateral, around), seen: highestSeen(around.memory) }
}

interface ClusterSettings {
  readonly issuer?: string
  readonly server?: string
  readonly ca?: string
  readonly tokenFile?: string
  readonly inCluster?: boolean
  readonly acceptUnboundAudience?: string
}

function cluster(settings: ClusterSettings, { env }: VerifierSurroundings): KubernetesCluster {
  const { server, ca, tokenFile, inCluster = false, ...rest } = settings
  if (inCluster) {
    const api = inClusterApi({ env })
    if (api === undefined) throw new Error('inCluster is for a server that runs in the cluster')
    return { ...rest, api }
  }
  if (server === undefined && ca === undefined && tokenFile === undefined) return rest
  if (server === undefined || ca === undefined || tokenFile === undefined) {
    throw new Error('server, ca and tokenFile belong together')
  }
  const exchange = kubernetesExchange(server, readFileSync(ca, 'latin1'))
  const token = (): string => readFileSync(tokenFile, 'latin1')
  return { ...rest, api: kubernetesApiClient({ server, exchange, token }) }
}

type ByRegion = { readonly [region: string]: readonly string[] }

// `*` stands for every region that is not named.
function ofRegions(certificates: ByRegion, regions: readonly string[] | undefined): ByRegion {
  if (regions === undefined) return certificates
  return Object.fromEntries(
    regions.map((region) => [region, [...(certificates[region] ?? []), ...(certificates['*'] ?? [])]]),
  )
}
