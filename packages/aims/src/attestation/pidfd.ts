import { readFileSync } from 'node:fs'
import { AimsError } from '../base/errors.ts'
import { isErrno } from './proc.ts'

/**
 * Checks that the process a pidfd names still has this PID. The pidfd names it for as long as it is open; the kernel shows
 * -1 once that process is reaped.
 *
 * @throws {@link AimsError} `attestation.process_gone`, `attestation.process_changed`
 */
export function requireAlive(procRoot: string, pidfd: number, pid: number): void {
  let fdinfo = ''
  try {
    fdinfo = readFileSync(`${procRoot}/self/fdinfo/${pidfd}`, 'utf8')
  } catch (error) {
    // It was closed meanwhile, as its connection was.
    if (!isErrno(error, 'ENOENT')) throw error
  }
  const shown = /^Pid:[ \t]*(-?[0-9]+)$/m.exec(fdinfo)?.[1] ?? '-1'
  if (shown === '-1') throw new AimsError('attestation.process_gone', 'the process has ended')
  if (shown !== String(pid)) throw changed()
}

/** The refusal of a process that is not the one that was first looked at, or not as it was then. */
export function changed(): AimsError {
  return new AimsError('attestation.process_changed', 'not the process that was first looked at, as it was then')
}
