import {
  AMD_HOST,
  amdTasks,
  azureKeys,
  type CollateralDirectory,
  type DcapTee,
  GITHUB_KEYS,
  GOOGLE_KEYS,
  hostOf,
  INTEL_HOSTS,
  intelTasks,
  type KeySet,
  keySetTask,
  kubernetesKeys,
  type RefreshTask,
  SNP_PRODUCTS,
  type SnpProduct,
  unverifiedDcapNeeds,
  unverifiedSnpNeeds,
} from 'aims/attestation'
import { UsageError } from '../../exit.ts'
import { readInput, readToken } from '../../input.ts'

/** What of the command line says what is fetched. */
export interface NeedsOptions {
  readonly evidence: readonly string[]
  readonly fmspc: readonly string[]
  readonly product: readonly string[]
  readonly tenant: readonly string[]
  readonly cluster?: string
  readonly keysUrl?: string
  readonly token?: string
  readonly service?: string
}

/** What is fetched for a type, and from where. */
export interface Needs {
  readonly tasks: readonly RefreshTask[]
  readonly hosts: readonly string[]
}

type Planner = (options: NeedsOptions, directory: CollateralDirectory) => Needs

/** Types whose collateral is published, and how it is known what of it is wanted: named, needed by evidence, or at hand. */
export const PLANNERS: { readonly [type: string]: Planner } = {
  sgx: (options, directory) => intel('sgx', options, directory),
  tdx: (options, directory) => intel('tdx', options, directory),
  'sev-snp': amd,
  gcp: () => keySets([GOOGLE_KEYS]),
  github: (options) =>
    keySets([options.keysUrl === undefined ? GITHUB_KEYS : { ...GITHUB_KEYS, url: options.keysUrl }]),
  'azure-msi': ({ tenant }, directory) =>
    keySets([...new Set([...tenant, ...atHand(directory, /^azure\/([0-9a-f-]{36})\/jwks\.json$/)])].map(azureKeys)),
  kubernetes: ({ cluster, keysUrl, token }) => {
    if (cluster === undefined || keysUrl === undefined)
      throw new UsageError('kubernetes needs --cluster and --keys-url')
    return keySets([kubernetesKeys(cluster, keysUrl, token === undefined ? undefined : readToken(token))])
  },
}

function intel(tee: DcapTee, options: NeedsOptions, directory: CollateralDirectory): Needs {
  const { service } = options
  const needed = options.evidence.map((path) => unverifiedDcapNeeds(readInput(path))).filter((one) => one.tee === tee)
  const known = atHand(directory, new RegExp(`^intel/${tee}/tcb/([0-9a-f]{12})\\.json$`))
  const given = options.fmspc.map((fmspc) => fmspc.toLowerCase())
  const fmspcs = [...new Set([...given, ...needed.map(({ fmspc }) => fmspc), ...known])]
  const own = service === undefined ? {} : { service, rootCrl: `${service}/sgx/certification/v4/rootcacrl` }
  const hosts = service === undefined ? INTEL_HOSTS : [authorityOf(service)]
  return { tasks: intelTasks({ tees: [tee], fmspcs, ...own }), hosts }
}

function amd(options: NeedsOptions, directory: CollateralDirectory): Needs {
  const { service } = options
  const named = options.product.map(readProduct)
  const needed = options.evidence.flatMap((path) => {
    const chip = unverifiedSnpNeeds(readInput(path), named[0])
    return chip === undefined ? [] : [chip]
  })
  const known = atHand(directory, /^amd\/([a-z]+)\/cert_chain$/).map(readProduct)
  const products = [...new Set([...named, ...needed.map(({ product }) => product), ...known])]
  if (products.length === 0) throw new UsageError('sev-snp needs --product or --evidence')
  const own = service === undefined ? {} : { service }
  const hosts = service === undefined ? [AMD_HOST] : [authorityOf(service)]
  return { tasks: amdTasks({ products, chips: needed, ...own }), hosts }
}

function keySets(sets: readonly KeySet[]): Needs {
  return { tasks: sets.map(keySetTask), hosts: sets.map(hostOf) }
}

function atHand(directory: CollateralDirectory, form: RegExp): readonly string[] {
  return directory.list().flatMap((name) => form.exec(name)?.[1] ?? [])
}

function readProduct(name: string): SnpProduct {
  const product = SNP_PRODUCTS.find((one) => one.toLowerCase() === name.toLowerCase())
  if (product === undefined) throw new UsageError(`--product takes one of ${SNP_PRODUCTS.join(', ')}`)
  return product
}

function authorityOf(service: string): string {
  const [, authority] = /^https:\/\/([^/]+)$/.exec(service) ?? []
  if (authority === undefined) throw new UsageError('--service takes an https origin, e.g. https://pccs.example:8081')
  return authority
}
