import { closeSync, constants, openSync, readFileSync, readlinkSync } from 'node:fs'
import { AimsError } from '../base/errors.ts'

/** What `/proc/<pid>/status` says that matters here. */
export interface ProcessIdentity {
  readonly effectiveUid: number
  readonly effectiveGid: number
  readonly supplementaryGids: readonly number[]
}

/**
 * One process, held by a handle on its directory under /proc. Once the process has ended every read fails, also when
 * its PID went to another: the handle belongs to the process, not to the number.
 */
export class ProcessHandle {
  readonly #fd: number

  /** @throws {@link AimsError} `attestation.process_gone` */
  constructor(procRoot: string, pid: number) {
    this.#fd = orGone(() => openSync(`${procRoot}/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY))
  }

  /** A path that reaches `name` of exactly this process. */
  path(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`
  }

  /** @throws {@link AimsError} `attestation.process_gone` */
  read(name: string): string {
    return orGone(() => readFileSync(this.path(name), 'utf8'))
  }

  /** The target of a symbolic link, or nothing when this process may not look. @throws `attestation.process_gone` */
  readLink(name: string): string | undefined {
    try {
      return readlinkSync(this.path(name))
    } catch (error) {
      if (isErrno(error, 'EACCES') || isErrno(error, 'EPERM')) return undefined
      throw gone(error)
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Clock ticks between boot and the start of the process, field 22 of `stat`. As text: it is only ever compared. */
export function parseStartTime(stat: string): string {
  // The name of the program, field 2, is chosen by the process and may hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0] ?? ''
  const startTime = fields[19] ?? ''
  if (!/^[0-9]+$/.test(startTime)) throw malformed()
  if (state === 'Z' || state === 'X') throw new AimsError('attestation.process_gone', 'the process has ended')
  return startTime
}

/** Reads the effective ids (second of `Uid:` and `Gid:`) and the supplementary groups. */
export function parseStatus(status: string): ProcessIdentity {
  return {
    effectiveUid: idAt(field(status, UID), 1),
    effectiveGid: idAt(field(status, GID), 1),
    supplementaryGids: field(status, GROUPS).map((_, at, ids) => idAt(ids, at)),
  }
}

/** The path of the unified cgroup (version 2), or of the `name=systemd` hierarchy (version 1). */
export function parseCgroup(cgroup: string): string | undefined {
  let systemd: string | undefined
  for (const line of cgroup.split('\n')) {
    const [, controllers, path] = /^[0-9]+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined || hasControlCharacter(path)) continue
    if (controllers === 'name=systemd') systemd = path
    // Version 2 is mounted but unused where everything lies at its root and version 1 rules.
    else if (controllers === '' && (path !== '/' || systemd === undefined)) return path
  }
  return systemd
}

/**
 * The systemd unit that a cgroup path belongs to: the first component below the slices. Units that a user manager made
 * below it are the user's own doing and not looked at.
 */
export function systemdUnit(cgroup: string): string | undefined {
  const component = cgroup.split('/').find((name) => name !== '' && !name.endsWith('.slice'))
  return component !== undefined && /^[A-Za-z0-9:_.@\\-]+\.(?:service|scope)$/.test(component) ? component : undefined
}

/** True for text that has no business in a selector: it would only serve to fool readers of a log. */
export function hasControlCharacter(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text)
}

/** True when `error` is the system's error of that name. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

const UID = /^Uid:[ \t]*([0-9 \t]*)$/m
const GID = /^Gid:[ \t]*([0-9 \t]*)$/m
const GROUPS = /^Groups:[ \t]*([0-9 \t]*)$/m

function field(status: string, line: RegExp): readonly string[] {
  const match = line.exec(status)
  if (match === null) throw malformed()
  return (match[1] ?? '').split(/[ \t]+/).filter((id) => id !== '')
}

function idAt(ids: readonly string[], at: number): number {
  const id = Number(ids[at])
  if (!Number.isSafeInteger(id)) throw malformed()
  return id
}

function orGone<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw gone(error)
  }
}

function gone(cause: unknown): AimsError {
  if (isErrno(cause, 'ENOENT') || isErrno(cause, 'ESRCH')) {
    return new AimsError('attestation.process_gone', 'the process that opened the connection has ended')
  }
  return new AimsError('attestation.process_malformed', 'a file of the process cannot be read', { cause })
}

function malformed(): AimsError {
  return new AimsError('attestation.process_malformed', 'a file of the process is not as the kernel documents it')
}
