import { readFileSync } from 'node:fs'
import { type EvidenceCollector, spiffeCollector } from 'aims/attestation'
import { AimsError } from 'aims/base'
import type { BundleSource } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import { collectorsOf, type Workload } from 'aims/provisioning'

/** What an agent on another host than its server must know. The keys are those of the configuration file. */
export interface RemoteConfiguration {
  readonly trustDomain?: string
  /** `https://HOST:PORT`. Absent: the server is on this host, and is found by its socket. */
  readonly 'agent.server'?: string | undefined
  /** File with the SPIFFE bundle of the trust domain. */
  readonly 'agent.bundle'?: string | undefined
  /** The type of evidence that this machine shows. */
  readonly 'agent.attestation'?: string
  /** SPIFFE ID of a server that shows an X.509-SVID of the trust domain of `agent.workloadApi`. */
  readonly 'agent.serverId'?: string | undefined
  /** Workload API of another trust domain that knows this agent. */
  readonly 'agent.workloadApi'?: string | undefined
  readonly 'agent.joinTokenFile'?: string | undefined
  readonly 'agent.certificate'?: string | undefined
  readonly 'agent.key'?: string | undefined
  /** Where the agent's own key and SVID are kept, so that it need not be attested after a restart. Absent: nowhere. */
  readonly 'agent.dataDirectory'?: string | undefined
}

/** The same, complete. */
export interface RemoteSettings {
  readonly trustDomain: TrustDomain
  readonly server: string
  readonly bundle: string | BundleSource
  readonly serverId?: SpiffeId
  readonly collector: EvidenceCollector
  readonly dataDirectory: string | undefined
}

type Environment = { readonly [name: string]: string | undefined }

/**
 * Reads the settings of an agent on another host; `undefined` when the server is on this one.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function remoteSettings(
  config: RemoteConfiguration,
  env: Environment,
  foreign: ForeignWorkload | undefined,
): RemoteSettings | undefined {
  const { 'agent.server': server, trustDomain = '' } = config
  if (server === undefined) return undefined
  const dataDirectory = config['agent.dataDirectory']
  return {
    trustDomain: parseTrustDomain(trustDomain),
    server,
    ...serverTrust(config, foreign),
    collector: collectorFor(config, env, foreign),
    dataDirectory,
  }
}

/** What another trust domain says about this agent, by its Workload API. */
export type ForeignWorkload = Pick<Workload, 'x509' | 'bundles'>

// By whose word the server is who it says.
function serverTrust(
  { 'agent.bundle': bundle, 'agent.serverId': text }: RemoteConfiguration,
  foreign: ForeignWorkload | undefined,
): Pick<RemoteSettings, 'bundle' | 'serverId'> {
  if (text !== undefined) {
    if (foreign === undefined)
      throw invalid('agent.serverId', 'set agent.workloadApi: its bundles vouch for the server')
    return { bundle: foreign.bundles, serverId: serverIdOf(text) }
  }
  if (bundle !== undefined) return { bundle }
  throw invalid('agent.bundle', 'the bundle of the trust domain is needed: without one there is nobody to believe')
}

function serverIdOf(text: string): SpiffeId {
  try {
    return parseWorkloadSpiffeId(text)
  } catch (cause) {
    throw invalid('agent.serverId', 'a SPIFFE ID with a path is needed', cause)
  }
}

function collectorFor(
  config: RemoteConfiguration,
  env: Environment,
  foreign: ForeignWorkload | undefined,
): EvidenceCollector {
  const { 'agent.attestation': type = 'join-token' } = config
  if (type === 'spiffe') {
    if (foreign === undefined) throw invalid('agent.attestation', 'spiffe: set agent.workloadApi')
    return spiffeCollector(() => foreign.x509.x509Svid())
  }
  const files = {
    AIMS_JOIN_TOKEN_FILE: config['agent.joinTokenFile'],
    AIMS_MACHINE_CERTIFICATE: config['agent.certificate'],
    AIMS_MACHINE_KEY: config['agent.key'],
  }
  const given = Object.entries(files).filter(([, path]) => path !== undefined)
  try {
    const [collector] = collectorsOf([type], { ...env, ...Object.fromEntries(given) })
    if (collector !== undefined) return collector
  } catch (cause) {
    throw invalid('agent.attestation', AimsError.is(cause) ? withKeys(cause.message) : 'not usable', cause)
  }
  throw invalid('agent.attestation', 'a type of evidence is needed')
}

// Whoever reads this has a file before him: its keys are said beside the variables.
function withKeys(message: string): string {
  return message.replace(/AIMS_[A-Z_]+/g, (variable) => {
    const key = KEYS.get(variable)
    return key === undefined ? variable : `${key} (or ${variable})`
  })
}

const KEYS: ReadonlyMap<string, string> = new Map([
  ['AIMS_JOIN_TOKEN_FILE', 'agent.joinTokenFile'],
  ['AIMS_MACHINE_CERTIFICATE', 'agent.certificate'],
  ['AIMS_MACHINE_KEY', 'agent.key'],
])

/** Reads the bundle, so that a wrong path is told at the start. @throws {@link AimsError} `operation.config_invalid` */
export function requireReadable(path: string | BundleSource): void {
  if (typeof path !== 'string') return
  try {
    readFileSync(path)
  } catch (cause) {
    throw invalid('agent.bundle', `${path}: cannot be read`, cause)
  }
}

function invalid(key: string, reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.config_invalid', `"${key}": ${reason}`, { cause })
}
