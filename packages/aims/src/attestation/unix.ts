import { existsSync } from 'node:fs'
import { AimsError } from '../base/errors.ts'
import { AccountNames } from './accounts.ts'
import type { AttestationResult, Attestor } from './attestor.ts'
import { ExecutableReader } from './executable.ts'
import type { PeerCredentials } from './peer-credentials.ts'
import { changed, requireAlive } from './pidfd.ts'
import { ProcessHandle, type ProcessIdentity, parseCgroup, parseStartTime, parseStatus, systemdUnit } from './proc.ts'

/** Where a Unix attestor looks. The defaults are right outside tests. */
export interface UnixAttestorOptions {
  /** Default `/proc`. */
  readonly procRoot?: string
  /** Default `/etc/passwd`. */
  readonly passwdFile?: string
  /** Default `/etc/group`. */
  readonly groupFile?: string
  /** Whether systemd made the control groups. Default: whether it runs on this machine. */
  readonly systemd?: boolean
  /** Executables larger than this many bytes get no `unix:sha256` selector. Default 512 MiB. */
  readonly maxExecutableSize?: number
}

/**
 * Makes the attestor of processes on this machine: kernel peer credentials of a Unix socket plus what /proc says.
 *
 * Selectors, where they can be told: `unix:uid:1000`, `unix:user:alice`, `unix:gid:1000`, `unix:group:staff`,
 * `unix:supplementary_gid:27`, `unix:supplementary_group:sudo`, `unix:path:/usr/bin/node`, `unix:sha256:<hex>`,
 * `unix:cgroup:/system.slice/bot.service`, `systemd:unit:bot.service`.
 *
 * Attest again before each use of a long connection: a process may change its user or its program. Does not tell
 * scripts apart: for them `path` and `sha256` name the interpreter. Does not notice a socket that its owner passed on.
 * Without a pidfd (kernel before 6.5) a PID that was reused before the first attestation is not noticed either.
 *
 * @throws {@link AimsError} `attestation.foreign_pid_namespace`, `attestation.process_gone`,
 *   `attestation.process_changed`, `attestation.process_malformed`
 */
export function unixAttestor(options: UnixAttestorOptions = {}): Attestor<PeerCredentials> {
  const { procRoot = '/proc', passwdFile = '/etc/passwd', groupFile = '/etc/group' } = options
  const { systemd = existsSync('/run/systemd/system'), maxExecutableSize = 512 * 1024 * 1024 } = options
  const users = new AccountNames(passwdFile)
  const groups = new AccountNames(groupFile)
  const executables = new ExecutableReader(maxExecutableSize)
  // The process that each connection was first seen to have.
  const startTimes = new WeakMap<PeerCredentials, string>()
  // Connections of one process that are looked at together share the look at the process. It ends with reading, after
  // the last of them joined, that the process is still the same; that it is also theirs, each finds out for itself.
  const looking = new Map<string, Promise<Facts>>()

  async function attest(peer: PeerCredentials, { now }: { readonly now: number }): Promise<AttestationResult> {
    const { pid, uid, gid, pidfd } = peer
    if (pid <= 0) {
      throw new AimsError('attestation.foreign_pid_namespace', 'the peer is in a PID namespace out of sight')
    }
    const key = `${pid} ${uid} ${gid}`
    let look = looking.get(key)
    if (look === undefined) {
      look = lookAt(peer, () => looking.delete(key))
      looking.set(key, look)
    }
    const { selectors, startTime } = await look
    if (startTime !== (startTimes.get(peer) ?? startTime)) throw changed()
    // A PID has one owner at a time: had the look begun with another, that one would be gone, and the look have failed.
    if (pidfd !== undefined) requireAlive(procRoot, pidfd, pid)
    startTimes.set(peer, startTime)
    return {
      type: 'unix',
      selectors,
      verifiedAt: now,
      binding: 'channel',
      freshness: 'live',
      debug: false,
      warnings: [],
      attributes: { pid: String(pid), start_time: startTime, pinned: String(pidfd !== undefined) },
    }
  }

  async function lookAt({ pid, uid, gid, pidfd }: PeerCredentials, onEnd: () => void): Promise<Facts> {
    // Not before everybody who is to be looked at now has come.
    await undefined
    let process: ProcessHandle | undefined
    try {
      process = new ProcessHandle(procRoot, pid)
      // What a pidfd shows in the end, only the start time can show without one.
      const before = pidfd === undefined ? parseStartTime(process.read('stat')) : undefined
      requireIds(parseStatus(process.read('status')), uid, gid)
      const executable = await executables.read(process)
      if (executable === undefined) throw changed()

      // Nothing is awaited any more: what was true before the program was looked at, and still is, was true with it.
      const status = parseStatus(process.read('status'))
      requireIds(status, uid, gid)
      const cgroup = parseCgroup(process.read('cgroup'))
      const userNames = users.read()
      const groupNames = groups.read()
      const startTime = parseStartTime(process.read('stat'))
      if (startTime !== (before ?? startTime)) throw changed()
      const selectors = [
        `unix:uid:${uid}`,
        ...optional('unix:user', userNames.get(uid)),
        `unix:gid:${gid}`,
        ...optional('unix:group', groupNames.get(gid)),
        ...status.supplementaryGids.flatMap((id) => [
          `unix:supplementary_gid:${id}`,
          ...optional('unix:supplementary_group', groupNames.get(id)),
        ]),
        ...optional('unix:path', executable.path),
        ...optional('unix:sha256', executable.sha256),
        ...optional('unix:cgroup', cgroup),
        ...optional('systemd:unit', systemd && cgroup !== undefined ? systemdUnit(cgroup) : undefined),
      ]
      return { selectors, startTime }
    } finally {
      onEnd()
      process?.close()
    }
  }

  return { type: 'unix', attest }
}

interface Facts {
  readonly selectors: readonly string[]
  readonly startTime: string
}

function requireIds({ effectiveUid, effectiveGid }: ProcessIdentity, uid: number, gid: number): void {
  if (effectiveUid !== uid || effectiveGid !== gid) throw changed()
}

function optional(key: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${key}:${value}`]
}
