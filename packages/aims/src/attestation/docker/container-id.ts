import { AimsError } from '../../base/errors.ts'

/** The container that a process is in, as its control groups tell. */
export interface ContainerIdentity {
  /** 64 hex digits. */
  readonly containerId: string
  /** UID of the Kubernetes pod, with hyphens. */
  readonly podUid?: string
  /** Where it was read: the kernel writes `cgroup`; `mountinfo` is shaped by whoever may mount in the container. */
  readonly source: 'cgroup' | 'mountinfo'
}

const CONTAINER_ID = /\b[0-9a-f]{64}\b/
const POD_UID = /pod([0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})(?![0-9a-f])/

/**
 * Reads which container a process is in; `undefined` when in none. `mountinfo` counts only where `cgroup` names no container at
 * all: a workload can mount the control group of another one, but not move itself there. Lines with the UID of a pod
 * stand above lines without.
 *
 * @param cgroup - `/proc/<pid>/cgroup`.
 * @param mountinfo - `/proc/<pid>/mountinfo`.
 * @throws {@link AimsError} `attestation.container_ambiguous` when two lines name two containers or two pods
 */
export function containerOf(cgroup: string, mountinfo: string): ContainerIdentity | undefined {
  const own = merge(cgroupPaths(cgroup).map(({ path }) => containerInPath(path)))
  if (own !== undefined) return { ...own, source: 'cgroup' }
  const mounted = merge(mountedRoots(mountinfo).map(containerInPath))
  return mounted === undefined ? undefined : { ...mounted, source: 'mountinfo' }
}

/** One line of `/proc/<pid>/cgroup`. */
export interface CgroupPath {
  /** Hierarchy and controllers, e.g. `0:` for version 2. */
  readonly hierarchy: string
  readonly path: string
}

/** The lines of `/proc/<pid>/cgroup`; the path may hold colons. */
export function cgroupPaths(cgroup: string): readonly CgroupPath[] {
  return cgroup.split('\n').flatMap((line) => {
    const [, hierarchy, path] = /^([0-9]+:[^:]*):(\/.*)$/.exec(line) ?? []
    return hierarchy === undefined || path === undefined ? [] : [{ hierarchy, path }]
  })
}

type Found = Omit<ContainerIdentity, 'source'>

// Of a pod the outermost, and the container right in it: what is below is the workload's own doing. Without a pod the
// innermost, as containers run in containers; the caller compares it with the first process of that container.
function containerInPath(path: string): Found | undefined {
  const segments = path.split('/')
  const pod = segments.findIndex((segment) => POD_UID.test(segment))
  const candidates = pod === -1 ? segments.reverse() : segments.slice(pod + 1)
  const containerId = candidates.map((segment) => CONTAINER_ID.exec(segment)?.[0]).find((id) => id !== undefined)
  if (containerId === undefined) return undefined
  const podUid = pod === -1 ? undefined : POD_UID.exec(segments[pod] ?? '')?.[1]?.replaceAll('_', '-')
  return podUid === undefined ? { containerId } : { containerId, podUid }
}

function merge(lines: readonly (Found | undefined)[]): Found | undefined {
  const found = lines.filter((line) => line !== undefined)
  const inPods = found.filter(({ podUid }) => podUid !== undefined)
  const counted = inPods.length > 0 ? inPods : found
  const pods = new Set(counted.map(({ podUid }) => podUid))
  const containers = new Set(counted.map(({ containerId }) => containerId))
  if (pods.size > 1 || containers.size > 1) {
    throw new AimsError('attestation.container_ambiguous', 'the control groups of the process name several containers')
  }
  return counted[0]
}

// Roots of mounted control groups. @see proc_pid_mountinfo(5)
function mountedRoots(mountinfo: string): readonly string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [mount = '', type = ''] = line.split(' - ')
    const root = mount.split(' ')[3]
    return root !== undefined && /^cgroup2? /.test(`${type} `) ? [root] : []
  })
}
