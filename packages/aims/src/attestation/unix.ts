import { existsSync, readFileSync } from 'node:fs'
import { AimsError } from '../base/errors.ts'
import { AccountNames } from './accounts.ts'
import type { AttestationResult, Attestor } from './attestor.ts'
import { ExecutableReader } from './executable.ts'
import type { PeerCredentials } from './peer-credentials.ts'
import { isErrno, ProcessHandle, parseCgroup, parseStartTime, parseStatus, systemdUnit } from './proc.ts'

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

  async function attest(peer: PeerCredentials, { now }: { readonly now: number }): Promise<AttestationResult> {
    if (peer.pid <= 0) {
      throw new AimsError('attestation.foreign_pid_namespace', 'the peer is in a PID namespace out of sight')
    }
    const process = new ProcessHandle(procRoot, peer.pid)
    try {
      const startTime = parseStartTime(process.read('stat'))
      if (startTime !== (startTimes.get(peer) ?? startTime)) throw changed()
      const status = parseStatus(process.read('status'))
      if (status.effectiveUid !== peer.uid || status.effectiveGid !== peer.gid) throw changed()
      const cgroup = parseCgroup(process.read('cgroup'))
      const unit = systemd && cgroup !== undefined ? systemdUnit(cgroup) : undefined
      const executable = await executables.read(process)

      const selectors = [
        `unix:uid:${peer.uid}`,
        ...optional('unix:user', await users.nameOf(peer.uid)),
        `unix:gid:${peer.gid}`,
        ...optional('unix:group', await groups.nameOf(peer.gid)),
      ]
      for (const gid of status.supplementaryGids) {
        selectors.push(
          `unix:supplementary_gid:${gid}`,
          ...optional('unix:supplementary_group', await groups.nameOf(gid)),
        )
      }
      selectors.push(
        ...optional('unix:path', executable.path),
        ...optional('unix:sha256', executable.sha256),
        ...optional('unix:cgroup', cgroup),
        ...optional('systemd:unit', unit),
      )

      // Everything above was true at one moment if the process still lives and still is what it was.
      if (!(await executables.isUnchanged(process, executable))) throw changed()
      const after = parseStatus(process.read('status'))
      if (after.effectiveUid !== peer.uid || after.effectiveGid !== peer.gid) throw changed()
      if (parseStartTime(process.read('stat')) !== startTime) throw changed()
      if (peer.pidfd !== undefined) requireAlive(procRoot, peer.pidfd, peer.pid)
      startTimes.set(peer, startTime)

      return {
        type: 'unix',
        selectors,
        verifiedAt: now,
        binding: 'channel',
        freshness: 'live',
        debug: false,
        warnings: [],
        attributes: { pid: String(peer.pid), start_time: startTime, pinned: String(peer.pidfd !== undefined) },
      }
    } finally {
      process.close()
    }
  }

  return { type: 'unix', attest }
}

function optional(key: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${key}:${value}`]
}

// A pidfd names the process that connected for as long as it is open. The kernel shows -1 once that process is reaped.
function requireAlive(procRoot: string, pidfd: number, pid: number): void {
  let fdinfo = ''
  try {
    fdinfo = readFileSync(`${procRoot}/self/fdinfo/${pidfd}`, 'utf8')
  } catch (error) {
    // The connection has closed meanwhile, and its pidfd with it.
    if (!isErrno(error, 'ENOENT')) throw error
  }
  const shown = /^Pid:[ \t]*(-?[0-9]+)$/m.exec(fdinfo)?.[1] ?? '-1'
  if (shown === '-1')
    throw new AimsError('attestation.process_gone', 'the process that opened the connection has ended')
  if (shown !== String(pid)) throw changed()
}

function changed(): AimsError {
  return new AimsError('attestation.process_changed', 'not the process that opened the connection, as it was then')
}
