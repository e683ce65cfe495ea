import {
  type Attestor,
  combinedAttestor,
  dockerAttestor,
  type PeerCredentials,
  type UnixAttestorOptions,
  unixAttestor,
} from 'aims/attestation'

/** What of the configuration says how workloads are attested. */
export interface WorkloadAttestorConfiguration {
  /** Socket of the Docker Engine. Absent: workloads get no selectors of containers. */
  readonly 'agent.docker.socket'?: string | undefined
  /** Environment variables of containers that become selectors. Default none. */
  readonly 'agent.docker.environment'?: readonly string[]
}

/** The attestor of workloads on this machine: as processes, and as containers where an engine is configured. */
export function workloadAttestor(
  config: WorkloadAttestorConfiguration,
  options: UnixAttestorOptions = {},
): Attestor<PeerCredentials> {
  const { 'agent.docker.socket': socketPath, 'agent.docker.environment': environment = [] } = config
  const unix = unixAttestor(options)
  if (socketPath === undefined) return unix
  const { procRoot } = options
  const where = procRoot === undefined ? {} : { procRoot }
  return combinedAttestor(unix, dockerAttestor({ socketPath, environment, ...where }))
}
