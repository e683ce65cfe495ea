import { opendirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { PeerCredentials } from 'aims/attestation'
import { AimsError } from 'aims/base'
import { type LookBudget, lookBudget } from './look-budget.ts'

/** The one process that has the other end of a connection on this machine. */
export interface LoopbackPeer {
  readonly credentials: PeerCredentials
  /** @throws {@link AimsError} `attestation.peer_unreadable`, when it has no longer */
  requireStill(): void
}

/**
 * Finds the process at the other end of a TCP connection over 127.0.0.1: the kernel's table of connections has the socket,
 * and /proc who holds it. It must be exactly one: with two nobody could say which of them asks.
 *
 * Reads /proc of the processes of that user, for which this process must be of the same user, or root.
 *
 * @throws {@link AimsError} `attestation.peer_unreadable`
 * @see proc_pid_net(5), proc_pid_fd(5)
 */
export function loopbackPeer(socket: Socket, budget: LookBudget = lookBudget(), procRoot = '/proc'): LoopbackPeer {
  const { remotePort, localPort, remoteAddress, localAddress } = socket
  const isLoopback = remoteAddress === '127.0.0.1' && localAddress === '127.0.0.1'
  if (!isLoopback || remotePort === undefined || localPort === undefined)
    throw unreadable('not a connection over 127.0.0.1')
  const row = socketBetween(readFileSync(`${procRoot}/self/net/tcp`, 'latin1'), remotePort, localPort)
  if (row === undefined) throw unreadable('the kernel does not know the connection')
  const link = `socket:[${row.inode}]`
  const { uid } = row
  const look = (): readonly number[] => budget.spend(uid, () => holdersOf(procRoot, uid, link, budget.maxLooked))
  const holders = look()
  const [pid] = holders
  if (pid === undefined || holders.length > 1) throw unreadable('not exactly one process holds the connection')
  return {
    credentials: { pid, ...idsOf(procRoot, pid) },
    requireStill() {
      const now = look()
      if (now.length !== 1 || now[0] !== pid) throw unreadable('the connection has gone to another process')
    },
  }
}

/** The row of the table whose local end is `from` and whose other end is `to`, both on 127.0.0.1. */
export function socketBetween(
  table: string,
  from: number,
  to: number,
): { readonly uid: number; readonly inode: string } | undefined {
  const end = (port: number): string => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const start = `${end(from)} ${end(to)} `
  for (const line of table.split('\n')) {
    const [, ends = '', uid, inode = '0'] =
      /^ *[0-9]+: ([0-9A-F]{8}:[0-9A-F]{4} [0-9A-F]{8}:[0-9A-F]{4} )[0-9A-F]{2} \S+ \S+ \S+ +([0-9]+) +[0-9]+ ([0-9]+) /.exec(
        line,
      ) ?? []
    // A socket that nobody holds any more has no inode.
    if (ends === start && inode !== '0') return { uid: Number(uid), inode }
  }
  return undefined
}

function processesOf(procRoot: string, uid: number): readonly number[] {
  return readdirSync(procRoot)
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return idsOf(procRoot, pid).uid === uid
      } catch {
        // It has ended.
        return false
      }
    })
}

// The processes of a user that hold a socket. Whoever holds more than is looked at cannot be told from others.
function holdersOf(procRoot: string, uid: number, link: string, maxLooked: number): readonly number[] {
  let left = maxLooked
  const count = (): void => {
    left -= 1
    if (left < 0) throw unreadable(`the processes of that user hold more than ${maxLooked} descriptors: use the socket`)
  }
  return processesOf(procRoot, uid).filter((pid) => holds(procRoot, pid, link, count))
}

function holds(procRoot: string, pid: number, link: string, count: () => void): boolean {
  const directory = `${procRoot}/${pid}/fd`
  try {
    const listed = opendirSync(directory)
    try {
      for (let one = listed.readSync(); one !== null; one = listed.readSync()) {
        count()
        if (linkOf(`${directory}/${one.name}`) === link) return true
      }
    } finally {
      listed.closeSync()
    }
    return false
  } catch (error) {
    if (AimsError.is(error)) throw error
    const isGone = error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')
    if (isGone) return false
    // Who cannot look everywhere cannot say that there is only one.
    throw unreadable('a process of that user does not show what it holds')
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function idsOf(procRoot: string, pid: number): { readonly uid: number; readonly gid: number } {
  const status = readFileSync(`${procRoot}/${pid}/status`, 'latin1')
  const effective = (name: string): number => Number(new RegExp(`^${name}:\\t[0-9]+\\t([0-9]+)`, 'm').exec(status)?.[1])
  const [uid, gid] = [effective('Uid'), effective('Gid')]
  if (!Number.isSafeInteger(uid) || !Number.isSafeInteger(gid)) throw unreadable('a process without ids')
  return { uid, gid }
}

function unreadable(why: string): AimsError {
  return new AimsError('attestation.peer_unreadable', `the peer of the port cannot be told: ${why}`)
}
