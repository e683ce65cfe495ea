import { readlinkSync } from 'node:fs'
import { AimsError } from '../../base/errors.ts'
import type { AttestationResult, Attestor } from '../attestor.ts'
import type { PeerCredentials } from '../peer-credentials.ts'
import { hasControlCharacter, ProcessHandle, parseStartTime } from '../proc.ts'
import { type ContainerIdentity, cgroupPaths, containerOf } from './container-id.ts'
import { dockerEngine, type EngineContainer } from './engine.ts'

/** Where the attestor of containers looks. */
export interface DockerAttestorOptions {
  /** The Unix socket of the Docker Engine. Absent: only what the kernel says, for containerd and CRI-O. */
  readonly socketPath?: string
  /** Names of environment variables that become selectors. Default none: they may hold secrets, and selectors are recorded. */
  readonly environment?: readonly string[]
  /** Default `/proc`. */
  readonly procRoot?: string
}

const MAX_SELECTOR = 1024
const MAX_LABELS = 256

/**
 * Makes the attestor of containers on this machine: the kernel says in whose control group the peer of a socket is, the
 * Docker Engine what was started there.
 *
 * Selectors: `docker:image_config_digest:sha256:...` (what was started), `docker:image_digest:NAME@sha256:...` (where a
 * registry has it), `docker:image_id:NAME` (the name it was started by, which may mean another image by now),
 * `docker:label:KEY:VALUE`, `docker:env:NAME=VALUE`, `k8s:pod-uid:UID`. For a process in no container there is none.
 *
 * The peer must be in the control group of the first process of that container, and still be there after the engine was asked:
 * a workload that makes a control group with the name of another container does not become it.
 *
 * Labels and environment are the word of whoever may start containers. Does not check signatures of images.
 *
 * @throws {@link AimsError} `attestation.container_ambiguous`, `.container_mismatch`, `.engine_unavailable`,
 *   `.foreign_pid_namespace`, `.process_gone`, `.process_changed`, `.process_malformed`
 */
export function dockerAttestor(options: DockerAttestorOptions = {}): Attestor<PeerCredentials> {
  const { socketPath, environment = [], procRoot = '/proc' } = options
  const engine = socketPath === undefined ? undefined : dockerEngine(socketPath)
  const variables = new Set(environment)

  async function attest({ pid }: PeerCredentials, { now }: { readonly now: number }): Promise<AttestationResult> {
    if (pid <= 0)
      throw new AimsError('attestation.foreign_pid_namespace', 'the peer is in a PID namespace out of sight')
    const peer = new ProcessHandle(procRoot, pid)
    try {
      const startTime = parseStartTime(peer.read('stat'))
      const before = identityOf(peer)
      const container = before === undefined ? undefined : await engine?.container(before.containerId)
      const selectors: string[] = before?.podUid === undefined ? [] : [`k8s:pod-uid:${before.podUid}`]
      const warnings: string[] = []
      if (before !== undefined && container !== undefined) {
        requireMember(peer, before, container, procRoot)
        const digests = (await engine?.repositoryDigests(container.image)) ?? []
        selectors.push(...selectorsOf(container, digests, variables))
      } else if (before !== undefined && engine !== undefined) {
        warnings.push('the process is in a container that the engine does not know')
      }
      // What was looked up is still about this process, in this place.
      if (identityOf(peer)?.containerId !== before?.containerId) throw changed()
      if (parseStartTime(peer.read('stat')) !== startTime) throw changed()
      return {
        type: 'docker',
        selectors,
        verifiedAt: now,
        binding: 'channel',
        freshness: 'live',
        debug: false,
        attributes: {
          pid: String(pid),
          start_time: startTime,
          ...(before === undefined ? {} : { 'container-id': before.containerId }),
          ...(container === undefined ? {} : { 'image-digest': container.image }),
        },
        warnings,
      }
    } finally {
      peer.close()
    }
  }

  return { type: 'docker', attest }
}

function identityOf(process: ProcessHandle): ContainerIdentity | undefined {
  return containerOf(process.read('cgroup'), process.read('mountinfo'))
}

// The first process of the container is where the engine put it; the peer must be there, or below.
function requireMember(
  peer: ProcessHandle,
  identity: ContainerIdentity,
  { isRunning, pid }: EngineContainer,
  procRoot: string,
): void {
  if (!isRunning || pid <= 0) throw mismatch('the container of the process does not run')
  let first: ProcessHandle
  try {
    first = new ProcessHandle(procRoot, pid)
  } catch {
    throw mismatch('the first process of the container has ended')
  }
  try {
    const isInside =
      identity.source === 'cgroup' ? isBelow(peer, first, identity.containerId) : isSameNamespace(peer, first, procRoot)
    if (!isInside) throw mismatch('the process is not in the container that its control group is named after')
  } finally {
    first.close()
  }
}

function isBelow(peer: ProcessHandle, first: ProcessHandle, containerId: string): boolean {
  const places = new Map(cgroupPaths(first.read('cgroup')).map(({ hierarchy, path }) => [hierarchy, path]))
  const named = cgroupPaths(peer.read('cgroup')).filter(({ path }) => path.includes(containerId))
  return (
    named.length > 0 &&
    named.every(({ hierarchy, path }) => {
      const place = places.get(hierarchy)
      return place !== undefined && place !== '/' && (path === place || path.startsWith(`${place}/`))
    })
  )
}

// Where the control group says nothing, the namespace of processes must: the first process has made its own.
function isSameNamespace(peer: ProcessHandle, first: ProcessHandle, procRoot: string): boolean {
  const own = peer.readLink('ns/pid')
  return own !== undefined && own === first.readLink('ns/pid') && own !== readlinkSync(`${procRoot}/self/ns/pid`)
}

function selectorsOf(
  container: EngineContainer,
  digests: readonly string[],
  variables: ReadonlySet<string>,
): readonly string[] {
  const environment = container.environment.filter((one) => variables.has(one.slice(0, one.indexOf('='))))
  return [
    `docker:image_config_digest:${container.image}`,
    ...digests.map((digest) => `docker:image_digest:${digest}`),
    ...(container.imageName === '' ? [] : [`docker:image_id:${container.imageName}`]),
    ...[...container.labels].slice(0, MAX_LABELS).map(([key, value]) => `docker:label:${key}:${value}`),
    ...environment.map((one) => `docker:env:${one}`),
  ].filter((selector) => selector.length <= MAX_SELECTOR && !hasControlCharacter(selector))
}

function mismatch(what: string): AimsError {
  return new AimsError('attestation.container_mismatch', what)
}

function changed(): AimsError {
  return new AimsError('attestation.process_changed', 'not the process that opened the connection, as it was then')
}
