import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import type { AttestationType } from '../../attestation/attestor.ts'
import type { EvidenceCollector } from '../../attestation/collect/collector.ts'
import { AimsError } from '../../base/errors.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import { parseBundle } from '../../credentials/bundle/parse.ts'
import type { Profile } from '../../credentials/profile.ts'
import { parseSpiffeId, pathOf, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { connectByEvidence } from '../evidence/connect-evidence.ts'
import { WorkloadApiClient } from '../workload-api/client.ts'
import { ENDPOINT_VARIABLE } from '../workload-api/endpoint.ts'
import { type ConnectedIdentity, followIdentity, type IdentityOptions } from '../workload-api/sources/identity.ts'
import { collectorsOf, FOUND_TYPES, findCollectors } from './collectors.ts'

/** Environment variables. */
export type Environment = { readonly [name: string]: string | undefined }

/** Everything has a default: see {@link connect}. */
export interface ConnectOptions extends IdentityOptions {
  /** A Workload API: `unix:///run/aims/workload.sock` or `tcp://IP:PORT`. */
  readonly address?: string
  /** An identity server: `https://HOST:PORT`. Default `AIMS_SERVER`. */
  readonly server?: string
  /** SPIFFE bundle of its trust domain, path or bytes. Default the file that `AIMS_BUNDLE` names. */
  readonly bundle?: string | Uint8Array
  /** Default `AIMS_TRUST_DOMAIN`, else that of the authorities in the bundle. */
  readonly trustDomain?: TrustDomain
  /**
   * What to show: types, or collectors of your own. Default `AIMS_EVIDENCE`, types with commas between, else what the
   * environment shows. Only a type that is named here is looked for on the network.
   */
  readonly evidence?: readonly (AttestationType | EvidenceCollector)[]
  /** The manifest of this agent, signed by its launcher. */
  readonly manifest?: string
  readonly witProfile?: Profile
  /** Default `process.env`. */
  readonly env?: Environment
  /** Socket of an agent that nobody named. Default `/run/aims/workload.sock`. */
  readonly agentSocket?: string
}

/** How an identity was found. */
export type ConnectedVia =
  | {
      readonly kind: 'workload-api'
      /** Who named it: the options, `SPIFFE_ENDPOINT_SOCKET`, or nobody: the default socket is there. */
      readonly from: 'options' | 'environment' | 'default'
      readonly address: string
    }
  | {
      readonly kind: 'evidence'
      readonly from: 'options' | 'environment'
      readonly server: string
      readonly types: readonly AttestationType[]
    }

/** Who this process is, and how that was found out. */
export interface Connected extends ConnectedIdentity {
  readonly via: ConnectedVia
}

/** Where an agent opens its socket unless told otherwise. */
const AGENT_SOCKET = '/run/aims/workload.sock'

/**
 * Finds out who this process is: on a laptop, in CI, in a container, in a function. In this order, and the first that is
 * there is used, also when it then fails:
 *
 * 1. the options: `address` is a Workload API, `server` or `evidence` an identity server;
 * 2. `SPIFFE_ENDPOINT_SOCKET`;
 * 3. the default socket of an agent, when it exists;
 * 4. `AIMS_SERVER`, recognised by the bundle in `AIMS_BUNDLE`, with the evidence that `AIMS_EVIDENCE` names, else all that the
 *    environment shows of GitHub Actions, Kubernetes, and a machine certificate.
 *
 * Asks no metadata service and opens no device unless its type is named. The result says what was used (`via`).
 *
 * @throws {@link AimsError} `provisioning.nothing_to_connect`, saying what was tried; and as `connectWorkload` and
 *   `connectByEvidence`
 * @throws TypeError for options that contradict each other
 */
export async function connect(options: ConnectOptions = {}): Promise<Connected> {
  const { address, server, evidence, env = process.env, agentSocket = AGENT_SOCKET } = options
  const wantsEvidence = server !== undefined || evidence !== undefined
  if (address !== undefined && wantsEvidence) throw new TypeError('give address, or server and evidence')
  const workloadApi = async (at: string, from: 'options' | 'environment' | 'default'): Promise<Connected> => {
    const via: ConnectedVia = { kind: 'workload-api', from, address: at }
    return await followIdentity(new WorkloadApiClient({ ...options, address: at }), options, { via })
  }
  if (address !== undefined) return await workloadApi(address, 'options')
  if (wantsEvidence) return await byEvidence(options, env, 'options')
  const named = env[ENDPOINT_VARIABLE]
  if (named !== undefined && named !== '') return await workloadApi(named, 'environment')
  if (isSocket(agentSocket)) return await workloadApi(`unix://${agentSocket}`, 'default')
  if (env.AIMS_SERVER !== undefined && env.AIMS_SERVER !== '') return await byEvidence(options, env, 'environment')
  const tried = `${ENDPOINT_VARIABLE} and AIMS_SERVER are not set, and there is no socket at ${agentSocket}`
  throw nothing(tried, `start an agent, or set AIMS_SERVER and AIMS_BUNDLE`)
}

async function byEvidence(
  options: ConnectOptions,
  env: Environment,
  from: 'options' | 'environment',
): Promise<Connected> {
  const { server = env.AIMS_SERVER, bundle = env.AIMS_BUNDLE } = options
  if (server === undefined || server === '') throw nothing('evidence is named, and no server', 'set AIMS_SERVER')
  if (bundle === undefined || bundle === '') {
    // Whoever answers first would be believed.
    throw nothing(
      'AIMS_SERVER is set, and AIMS_BUNDLE is not',
      'fetch the bundle with aims bundle show, and name its file',
    )
  }
  if (typeof bundle === 'string') requireReadable(bundle)
  const collectors = collectorsFor(options, env)
  if (collectors.length === 0) {
    const tried = `AIMS_EVIDENCE is not set, and the environment shows none of ${FOUND_TYPES.join(', ')}`
    throw nothing(tried, 'name the evidence of this machine in AIMS_EVIDENCE, or give the job id-token: write')
  }
  const trustDomain = options.trustDomain ?? readTrustDomain(env.AIMS_TRUST_DOMAIN, bundle)
  const types = collectors.map(({ type }) => type)
  const via: ConnectedVia = { kind: 'evidence', from, server, types }
  return await connectByEvidence({ ...options, trustDomain, server, bundle, collectors }, { via })
}

function collectorsFor({ evidence }: ConnectOptions, env: Environment): readonly EvidenceCollector[] {
  if (evidence !== undefined) {
    return evidence.flatMap((one) => (typeof one === 'string' ? collectorsOf([one], env) : [one]))
  }
  const named = (env.AIMS_EVIDENCE ?? '').split(',').flatMap((name) => name.trim() || [])
  return named.length > 0 ? collectorsOf(named, env) : findCollectors(env)
}

// It is read again later, when the server is not recognised any more; here whoever named it still looks on.
function requireReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
  } catch {
    throw nothing(
      `the bundle ${path} is not there, or not readable`,
      'fetch it with aims bundle show, and name its file in AIMS_BUNDLE',
    )
  }
}

// The authorities say whose they are. They are believed already, so is that.
function readTrustDomain(named: string | undefined, bundle: string | Uint8Array): TrustDomain {
  if (named !== undefined && named !== '') return parseTrustDomain(named)
  const document = typeof bundle === 'string' ? readFileSync(bundle) : bundle
  // Whose it is does not matter for reading it.
  const { x509Authorities } = parseBundle(document, parseTrustDomain('unknown.invalid')).bundle
  const uris = new Set(x509Authorities.flatMap((der) => parseCertificate(der).altNames.uris))
  const [uri, ...others] = uris
  const id = uri === undefined || others.length > 0 ? undefined : parseSpiffeId(uri)
  if (id !== undefined && pathOf(id) === '') return trustDomainOf(id)
  throw nothing('the bundle does not say whose it is', 'set AIMS_TRUST_DOMAIN')
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true
}

function nothing(tried: string, fix: string): AimsError {
  return new AimsError('provisioning.nothing_to_connect', `${tried}: ${fix}`)
}
