import { readFileSync } from 'node:fs'
import type { EvidenceCollector } from 'aims/attestation'
import { AimsError } from 'aims/base'
import { parseTrustDomain, type TrustDomain } from 'aims/identifiers'
import { collectorsOf } from 'aims/provisioning'

/** What an agent on another host than its server must know. The keys are those of the configuration file. */
export interface RemoteConfiguration {
  readonly trustDomain?: string
  /** `https://HOST:PORT`. Absent: the server is on this host, and is found by its socket. */
  readonly 'agent.server'?: string | undefined
  /** File with the SPIFFE bundle of the trust domain. */
  readonly 'agent.bundle'?: string | undefined
  /** The type of evidence that this machine shows. */
  readonly 'agent.attestation'?: string
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
  readonly bundle: string
  readonly collector: EvidenceCollector
  readonly dataDirectory: string | undefined
}

type Environment = { readonly [name: string]: string | undefined }

/**
 * Reads the settings of an agent on another host; `undefined` when the server is on this one.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function remoteSettings(config: RemoteConfiguration, env: Environment): RemoteSettings | undefined {
  const { 'agent.server': server, 'agent.bundle': bundle, trustDomain = '' } = config
  if (server === undefined) return undefined
  if (bundle === undefined) {
    throw invalid('agent.bundle', 'the bundle of the trust domain is needed: without one there is nobody to believe')
  }
  const dataDirectory = config['agent.dataDirectory']
  return {
    trustDomain: parseTrustDomain(trustDomain),
    server,
    bundle,
    collector: collectorFor(config, env),
    dataDirectory,
  }
}

function collectorFor(config: RemoteConfiguration, env: Environment): EvidenceCollector {
  const { 'agent.attestation': type = 'join-token' } = config
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
    throw invalid('agent.attestation', AimsError.is(cause) ? cause.message : 'not usable', cause)
  }
  throw invalid('agent.attestation', 'a type of evidence is needed')
}

/** Reads the bundle, so that a wrong path is told at the start. @throws {@link AimsError} `operation.config_invalid` */
export function requireReadable(path: string): void {
  try {
    readFileSync(path)
  } catch (cause) {
    throw invalid('agent.bundle', `${path}: cannot be read`, cause)
  }
}

function invalid(key: string, reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.config_invalid', `"${key}": ${reason}`, { cause })
}
