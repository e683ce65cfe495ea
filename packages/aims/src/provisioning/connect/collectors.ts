import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ATTESTATION_TYPES, type AttestationType } from '../../attestation/attestor.ts'
import { awsIidCollector, awsInstanceCredentials } from '../../attestation/collect/aws-imds.ts'
import { awsStsCollector } from '../../attestation/collect/aws-sts.ts'
import { azureCollector } from '../../attestation/collect/azure-imds.ts'
import { azureMsiCollector } from '../../attestation/collect/azure-msi.ts'
import type { EvidenceCollector } from '../../attestation/collect/collector.ts'
import { gcpCollector } from '../../attestation/collect/gcp.ts'
import { githubCollector } from '../../attestation/collect/github.ts'
import { joinTokenCollector } from '../../attestation/collect/join-token.ts'
import { kubernetesCollector } from '../../attestation/collect/kubernetes.ts'
import { metadataExchange } from '../../attestation/collect/metadata.ts'
import { tdxCollector } from '../../attestation/collect/tdx.ts'
import { tpmCollector } from '../../attestation/collect/tpm/tpm-collector.ts'
import { x509PopCollector } from '../../attestation/collect/x509-pop.ts'
import { exchangeThrough } from '../../attestation/exchange.ts'
import { AimsError } from '../../base/errors.ts'
import { outbound } from '../../base/outbound.ts'
import type { Environment } from './connect.ts'

/** How a type of evidence is collected on the machine this process runs on. */
interface LocalCollector {
  readonly type: AttestationType
  /**
   * Whether the environment says that this machine has it, without asking anybody. Absent: only when it is named, because
   * to find out means to ask the network, or a device.
   */
  isHere?(environment: Environment): boolean
  create(environment: Environment): EvidenceCollector
}

const metadata = (): { readonly exchange: ReturnType<typeof metadataExchange> } => ({ exchange: metadataExchange() })

/** In the order in which they are looked for. */
const COLLECTORS: readonly LocalCollector[] = [
  {
    type: 'github',
    isHere: (env) => isSet(env.ACTIONS_ID_TOKEN_REQUEST_URL) && isSet(env.ACTIONS_ID_TOKEN_REQUEST_TOKEN),
    create: (env) => githubCollector({ env, exchange: githubExchange(env.ACTIONS_ID_TOKEN_REQUEST_URL) }),
  },
  {
    type: 'kubernetes',
    isHere: (env) => isSet(env.KUBERNETES_SERVICE_HOST),
    create: (env) =>
      kubernetesCollector({
        env,
        ...named('cluster', env.AIMS_KUBERNETES_CLUSTER),
        ...named('projectedToken', env.AIMS_KUBERNETES_TOKEN),
      }),
  },
  {
    type: 'tpm',
    create: (env) => tpmCollector({ ...named('address', env.AIMS_TPM), ...named('selection', env.AIMS_TPM_PCRS) }),
  },
  {
    type: 'join-token',
    create: (env) => {
      const { AIMS_JOIN_TOKEN: token } = env
      const path = isSet(token) ? undefined : needed(env, 'AIMS_JOIN_TOKEN_FILE')
      return joinTokenCollector(() => (path === undefined ? token : readFile(path)))
    },
  },
  {
    type: 'x509-pop',
    isHere: (env) => isSet(env.AIMS_MACHINE_CERTIFICATE) && isSet(env.AIMS_MACHINE_KEY),
    create: (env) => {
      const [certificates, key] = [needed(env, 'AIMS_MACHINE_CERTIFICATE'), needed(env, 'AIMS_MACHINE_KEY')]
      return x509PopCollector(() => ({ certificates: Buffer.from(readFile(certificates)), key: readFile(key) }))
    },
  },
  { type: 'tdx', create: () => tdxCollector({ name: () => randomUUID() }) },
  { type: 'gcp', create: () => gcpCollector(metadata()) },
  { type: 'azure', create: () => azureCollector(metadata()) },
  {
    type: 'azure-msi',
    create: (env) => azureMsiCollector({ ...metadata(), resource: needed(env, 'AIMS_AZURE_RESOURCE') }),
  },
  { type: 'aws-iid', create: () => awsIidCollector(metadata()) },
  {
    type: 'aws-sts',
    create: (env) =>
      awsStsCollector({ credentials: () => awsInstanceCredentials(metadata()), region: needed(env, 'AWS_REGION') }),
  },
]

// Nobody can show these of himself: the kernel and the container engine are asked by whoever is on the same host.
const SEEN_BY_AGENTS: ReadonlySet<string> = new Set<AttestationType>(['unix', 'docker'])

/** The types that are found without a word, in order. */
export const FOUND_TYPES: readonly AttestationType[] = COLLECTORS.flatMap(({ type, isHere }) => {
  return isHere === undefined ? [] : [type]
})

/** The collectors of evidence that the environment shows. Asks nobody. */
export function findCollectors(environment: Environment): readonly EvidenceCollector[] {
  return COLLECTORS.filter(({ isHere }) => isHere?.(environment) === true).map(({ create }) => create(environment))
}

/**
 * The collectors of these types.
 *
 * @throws {@link AimsError} `provisioning.no_evidence` for a type that cannot be collected here, or lacks a variable
 */
export function collectorsOf(types: readonly string[], environment: Environment): readonly EvidenceCollector[] {
  return types.map((type) => {
    const found = COLLECTORS.find((one) => one.type === type)
    if (found !== undefined) return found.create(environment)
    if (SEEN_BY_AGENTS.has(type)) {
      const fix = 'give this process the socket of that agent, and name it in SPIFFE_ENDPOINT_SOCKET'
      throw new AimsError('provisioning.no_evidence', `${type} is what an agent sees of processes on its host: ${fix}`)
    }
    const known = COLLECTORS.map((one) => one.type).join(', ')
    const isType = ATTESTATION_TYPES.some((one) => one === type)
    const why = isType ? `evidence of ${type} needs a collector of your own` : 'AIMS_EVIDENCE names no type of evidence'
    throw new AimsError('provisioning.no_evidence', `${why}; built in are ${known}`)
  })
}

const LOOPBACK = /^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?\//

// GitHub's own runners ask a host of GitHub's choice: the address comes with the job, and only it is reached.
function githubExchange(address = ''): ReturnType<typeof exchangeThrough> {
  if (LOOPBACK.test(address)) return metadataExchange()
  const hosts = URL.canParse(address) ? [new URL(address).host] : []
  return exchangeThrough(outbound({ purposes: { github: { hosts } } }), 'github')
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new AimsError('attestation.collection_failed', `${path}: cannot be read`, { cause })
  }
}

function needed(environment: Environment, name: string): string {
  const value = environment[name]
  if (value !== undefined && value !== '') return value
  throw new AimsError('provisioning.no_evidence', `${name} is not set, which this type of evidence needs`)
}

function named<Name extends string>(name: Name, value: string | undefined): { readonly [N in Name]?: string } {
  return isSet(value) ? ({ [name]: value } as { readonly [N in Name]: string }) : {}
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}
