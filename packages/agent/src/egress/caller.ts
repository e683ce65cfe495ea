import type { AttestationResult } from 'aims/attestation'
import { AimsError } from 'aims/base'
import type { Peer } from '../workload-api/peer.ts'
import type { FieldPairs } from './fields.ts'
import type { BrokerTarget } from './target.ts'

/** The process at the other end of a connection to the broker. */
export interface BrokerCaller {
  /** How it is known: by the kernel's word about a Unix socket, or about a connection on this machine. */
  readonly method: 'unix' | 'loopback'
  /** For records: flat, and without secrets. */
  readonly facts: { readonly [name: string]: string | number | boolean }
  /** Attests the process as it is now. @throws {@link AimsError} `attestation.*` */
  attest(): Promise<AttestationResult>
  /**
   * Refuses a request that somebody was tricked into: by a name that leads here, or by a web page.
   *
   * @throws {@link AimsError} `egress.host_refused`, `egress.request_malformed`
   */
  requireHost(fields: FieldPairs, url: string, target: BrokerTarget): void
  /** Lets go of the process: its connection has closed. */
  release(): Promise<void>
}

/** Who connected to the Unix socket. */
export function unixCaller(peer: Peer): BrokerCaller {
  const { pid, uid, gid } = peer.credentials
  return {
    method: 'unix',
    facts: { pid, uid, gid },
    attest: () => peer.attest(),
    // No name leads to a Unix socket, and no web page reaches it.
    requireHost: requireOneHost,
    release: () => peer.release(),
  }
}

/**
 * Who connected to the port.
 *
 * @param stillHolds - Throws when the connection is no longer this process's alone.
 */
export function loopbackCaller(peer: Peer, port: number, stillHolds: () => void): BrokerCaller {
  const { pid, uid, gid } = peer.credentials
  const names = new Set([`localhost:${port}`, `127.0.0.1:${port}`])
  return {
    method: 'loopback',
    facts: { pid, uid, gid },
    async attest() {
      const result = await peer.attest()
      // What was attested has it now.
      stillHolds()
      return result
    },
    requireHost(fields, url, target) {
      requireOneHost(fields, url, target)
      const host = fields.find(([name]) => name === 'host')?.[1] ?? ''
      if (url.startsWith('/') && !names.has(host)) throw refused('came by another name than localhost')
      if (fields.some(isOfPage)) throw refused('comes from a web page')
    },
    release: () => peer.release(),
  }
}

// A browser sends all of Sec-Fetch-*, and no page can leave one out. The fetch of Node, which no page has, sends the mode `cors` alone.
function isOfPage([name, value]: FieldPairs[number]): boolean {
  if (name === 'sec-fetch-mode') return value !== 'cors'
  return name === 'origin' || name.startsWith('sec-fetch-')
}

// RFC 9112, section 3.2.2: a proxy goes by the target. Two that differ are a sign of smuggling.
function requireOneHost(fields: FieldPairs, url: string, { by }: BrokerTarget): void {
  if (url.startsWith('/') || 'rule' in by) return
  const host = fields.find(([name]) => name === 'host')?.[1] ?? ''
  const authority = /^https?:\/\/([^/?]+)/.exec(url)?.[1]
  if (host !== authority) throw new AimsError('egress.request_malformed', 'Host is not the host of the target')
}

function refused(how: string): AimsError {
  return new AimsError('egress.host_refused', `the request ${how}`)
}
