import { AimsError } from '../base/errors.ts'
import type { PeerCredentials } from './peer-credentials.ts'
import { requireAlive } from './pidfd.ts'
import { ProcessHandle, parseStartTime, parseStatus } from './proc.ts'

/** A process that somebody else named, pinned so that its PID cannot pass to another unnoticed. */
export interface LocatedProcess {
  /** What the kernel says of it now. Release them with `releasePeerCredentials`. */
  readonly credentials: PeerCredentials
  /** @throws {@link AimsError} `attestation.process_gone` once it has ended, also before its parent has noticed */
  requireRunning(): void
}

/** Finds processes of this machine, as this process sees them. */
export interface ProcessLocator {
  /** @throws {@link AimsError} `attestation.process_gone`, when there is no such process */
  locate(pid: number): LocatedProcess
}

// The same on all architectures, as all system calls since Linux 5.1.
const PIDFD_OPEN = 434
const ENOSYS = 38

/**
 * Loads the locator of this machine: `pidfd_open` of the kernel, called through koffi, and /proc.
 *
 * Where the kernel has no pidfd (before 5.3) the time at which the process was started stands for it.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`
 * @see pidfd_open(2)
 */
export async function loadProcessLocator(procRoot = '/proc'): Promise<ProcessLocator> {
  if (process.platform !== 'linux') {
    throw new AimsError('attestation.provider_unavailable', 'processes are looked up on Linux only')
  }
  const openPidfd = await loadPidfdOpen()
  return {
    locate(pid) {
      const pidfd = openPidfd(pid)
      const { effectiveUid: uid, effectiveGid: gid, startTime } = look(procRoot, pid)
      const requireRunning = (): void => {
        if (look(procRoot, pid).startTime !== startTime) throw gone()
        if (pidfd !== undefined) requireAlive(procRoot, pidfd, pid)
      }
      return { credentials: { pid, uid, gid, ...(pidfd === undefined ? {} : { pidfd }) }, requireRunning }
    },
  }
}

function look(procRoot: string, pid: number): ReturnType<typeof parseStatus> & { readonly startTime: string } {
  const handle = new ProcessHandle(procRoot, pid)
  try {
    return { ...parseStatus(handle.read('status')), startTime: parseStartTime(handle.read('stat')) }
  } finally {
    handle.close()
  }
}

async function loadPidfdOpen(): Promise<(pid: number) => number | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const syscall: (number: number, pid: number, flags: number) => number = koffi
      .load(null)
      .func('long syscall(long number, long pid, long flags)')
    return (pid) => {
      const pidfd = syscall(PIDFD_OPEN, pid, 0)
      if (pidfd >= 0) return pidfd
      if (koffi.errno() === ENOSYS) return undefined
      // Also for a thread, which is no process.
      throw gone()
    }
  } catch (cause) {
    throw new AimsError('attestation.provider_unavailable', 'koffi cannot be loaded', { cause })
  }
}

function gone(): AimsError {
  return new AimsError('attestation.process_gone', 'there is no such process')
}
