import type { Socket } from 'node:net'
import { createTokenBuckets, type TokenBuckets } from 'aims/base'
import type { Configuration } from '../config/settings.ts'
import type { Caller } from '../http/route.ts'
import { RateLimited } from './rate-limited.ts'

/** Who shares a limit. Each caller of a kind has a bucket of its own. */
export type LimitedKind = 'anonymous' | 'workload' | 'agent'

/** Bounds how often each caller may ask, so that none takes the server, or the disk of its log, from the others. */
export interface RequestLimits {
  /** @param caller - `undefined`: who proved nothing that holds. @throws {@link RateLimited} */
  admit(caller: Caller | undefined, socket: Pick<Socket, 'remoteAddress'>): void
}

/**
 * Makes the limits of a server. Whoever proved an identity has a bucket under that name, whatever address it comes from;
 * strangers have one for each address. Administrators and the agent of this host have none.
 *
 * @see security-and-reliability G24
 */
export function createRequestLimits(
  config: Pick<Configuration, 'limits.anonymous' | 'limits.workload' | 'limits.agent'>,
  clock?: () => number,
): RequestLimits {
  const buckets = (rate: number): TokenBuckets =>
    createTokenBuckets({ rate, ...(clock === undefined ? {} : { clock }) })
  const byKind: { readonly [kind in LimitedKind]: TokenBuckets } = {
    anonymous: buckets(config['limits.anonymous']),
    workload: buckets(config['limits.workload']),
    agent: buckets(config['limits.agent']),
  }
  return {
    admit(caller, socket) {
      const [kind, key] = bucketOf(caller, socket.remoteAddress)
      const wait = kind === undefined ? 0 : byKind[kind].take(key)
      if (wait > 0) throw new RateLimited(wait)
    },
  }
}

function bucketOf(
  caller: Caller | undefined,
  address: string | undefined,
): readonly [kind: LimitedKind | undefined, key: string] {
  if (caller === undefined || caller.method === 'none') return ['anonymous', networkOf(address)]
  const { name, access, agent } = caller
  if (agent !== undefined) return ['agent', name]
  return [access.has('admin') || access.has('agent') ? undefined : 'workload', name]
}

/** What one subscriber has of addresses: one of version 4, 2^64 of version 6. */
export function networkOf(address: string | undefined): string {
  if (address === undefined) return ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address
  const [left = '', right] = (address.split('%', 1)[0] ?? '').split('::')
  const groups = left === '' ? [] : left.split(':')
  const after = right === undefined || right === '' ? [] : right.split(':')
  const missing = right === undefined ? 0 : 8 - groups.length - after.length
  const all = [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...after]
  return all.slice(0, 4).join(':')
}
