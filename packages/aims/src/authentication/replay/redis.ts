import type { RedisClientOptions } from '@redis/client'
import { AimsError } from '../../base/errors.ts'
import {
  full,
  type RemoteReplayStore,
  type RemoteReplayStoreOptions,
  type RemoteSettings,
  remoteSettings,
  secretMismatch,
  unavailable,
  within,
} from './remote.ts'

/** A replay store in Redis or Valkey, and what it does about what they may lose. */
export interface RedisReplayStoreOptions extends RemoteReplayStoreOptions {
  /** In front of all names of keys, e.g. for two services that share a server. Default `aims-replay:`. */
  readonly prefix?: string
  /**
   * How many replicas of the server must have a key before `consume` answers. Default 0: a failover may lose the last
   * moments, and then keys of before are refused for `longestLife`.
   */
  readonly replicas?: number
  /**
   * Takes a store without anything in it for a new one. Without it, one that is empty may have lost everything: keys that
   * could have been used before are refused for `longestLife`.
   */
  readonly acceptEmpty?: true
}

/** Seconds a key is kept beyond its end, so that replicas whose clocks differ agree on it. */
const MARGIN = 60
const PENDING = 20_000

// Who finds a server that is not the one of the last time notes it, with the time from which it knows everything.
const ADOPT = `
local known = redis.call('HMGET', KEYS[1], 'check', 'run', 'until')
if known[1] and known[1] ~= ARGV[1] then return 'secret' end
if known[2] ~= ARGV[2] or ARGV[5] == 'again' then
  local from = (known[1] or ARGV[4] ~= 'accept') and ARGV[3] or '0'
  if known[3] and tonumber(known[3]) > tonumber(from) then from = known[3] end
  redis.call('HSET', KEYS[1], 'check', ARGV[1], 'run', ARGV[2], 'until', from)
end
return 'ok'`
// With nothing to keep it is a look, and writes only so that a replica, which may know too little, refuses it.
const CONSUME = `
local at = tonumber(redis.call('TIME')[1])
local known = redis.call('HMGET', KEYS[1], 'run', 'until')
if known[1] ~= ARGV[1] then return {'lost', at} end
local used = redis.call('GET', KEYS[2])
if used and tonumber(used) >= tonumber(ARGV[3]) then return {'used', at} end
if tonumber(ARGV[2]) <= tonumber(known[2]) then return {'forgotten', at} end
if ARGV[4] == '' then redis.call('PERSIST', KEYS[1])
else redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4]) end
return {'fresh', at}`

/** The connection and what it was found to be. */
interface Session {
  /** Names the process of the server. */
  readonly run: string
  /** Seconds by which its clock is ahead of our monotonic one. */
  ahead: number
}

/**
 * Opens a replay store in Redis (6 or later) or Valkey, which processes on any number of hosts share.
 *
 * Refuses when the server is away, slow, full, a replica, or may evict keys that are still needed (`maxmemory-policy` other
 * than `noeviction`). Redis answers before a key is on a disk or a replica: after each restart, failover, loss and jump of
 * its clock, keys that may have been used before are refused for `longestLife`. A server that is cut off and goes on answering
 * while another has taken over is not noticed: `min-replicas-to-write 1` on it, or `replicas`, avoids that.
 *
 * @throws {@link AimsError} `proof.replay_store_unavailable`, `proof.replay_store_secret_mismatch`
 * @throws TypeError for options that make no sense
 */
export async function openRedisReplayStore(options: RedisReplayStoreOptions): Promise<RemoteReplayStore> {
  const settings = remoteSettings(options)
  const { prefix = 'aims-replay:', replicas = 0 } = options
  if (!Number.isSafeInteger(replicas) || replicas < 0) throw new TypeError('replicas is a number of servers')
  const { createClient } = await import('@redis/client').catch((cause: unknown) => {
    throw unavailable('the package @redis/client is not installed', cause)
  })
  const client = createClient(clientOptions(options, settings))
  const send = async (...args: string[]): Promise<unknown> => {
    try {
      return await within(settings.timeout, client.sendCommand<unknown>(args))
    } catch (error) {
      throw refusalOf(error)
    }
  }
  const marker = `${prefix}store`
  let session: Promise<Session> | undefined
  // Only the first time: a server that is found empty later has lost something.
  let acceptEmpty = options.acceptEmpty === true
  const greet = (again: 'again' | ''): void => {
    session = inspect(send, { marker, again, settings, acceptEmpty })
    acceptEmpty = false
    // Who consumes is told; until then nobody waits for it.
    session.catch(() => undefined)
  }
  client.on('ready', () => greet(''))
  // Lost connections refuse what was asked over them, and are made anew.
  client.on('error', () => {
    session = undefined
  })
  try {
    await within(settings.timeout, client.connect())
    await session
  } catch (error) {
    client.destroy()
    throw refusalOf(error)
  }
  const ask = async (key: string, until: number, now: number, kept: number | ''): Promise<boolean> => {
    if (session === undefined) throw unavailable('the replay store is away')
    const found = await session.catch((error: unknown) => {
      // Tried again by the next one who asks.
      greet('')
      throw error
    })
    const name = `${prefix}${settings.hash(key).toString('base64url')}`
    const asked = ['EVAL', CONSUME, '2', marker, name, found.run, `${until}`, `${now}`, `${kept}`]
    const [answer, at] = pairOf(await send(...asked))
    if (answer === 'lost') {
      greet('')
      throw unavailable('the replay store has lost what it knew')
    }
    if (answer === 'used') return false
    if (answer === 'forgotten') throw unavailable('the replay store has already forgotten that time')
    if (answer !== 'fresh') throw unavailable('the replay store gave an answer that is none')
    const ahead = at - performance.now() / 1000
    if (Math.abs(ahead - found.ahead) > MARGIN / 2) {
      greet('again')
      throw unavailable('the clock of the replay store has jumped')
    }
    found.ahead = ahead
    return true
  }
  return {
    async consume(key, expiresAt, now) {
      const until = Math.ceil(expiresAt)
      const kept = Math.max(1, Math.ceil((until - now + MARGIN) * 1000))
      if (!(await ask(key, until, now, kept))) return false
      if (replicas > 0 && Number(await send('WAIT', `${replicas}`, `${settings.timeout}`)) < replicas) {
        throw unavailable('too few replicas of the replay store have the key')
      }
      return true
    },
    isFresh: (key, expiresAt, now) => ask(key, Math.ceil(expiresAt), now, ''),
    async close() {
      client.destroy()
    },
  }
}

function clientOptions({ connection }: RedisReplayStoreOptions, { timeout }: RemoteSettings): RedisClientOptions {
  const { host = 'localhost', port = 6379, user, password, database, tls } = connection
  const socket = {
    connectTimeout: timeout,
    reconnectStrategy: (retries: number) => Math.min(20 * 2 ** Math.min(retries, 6), 1000),
  }
  const reached = host.startsWith('/')
    ? { ...socket, path: host }
    : tls === undefined
      ? { ...socket, host, port }
      : { ...socket, ...tls, host, port, tls: true as const, rejectUnauthorized: true }
  return {
    socket: reached,
    // What cannot be asked now is refused now, and nothing is asked twice.
    disableOfflineQueue: true,
    commandsQueueMaxLength: PENDING,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database: Number(database) }),
  }
}

interface Inspection {
  readonly marker: string
  readonly again: 'again' | ''
  readonly settings: RemoteSettings
  readonly acceptEmpty: boolean
}

async function inspect(send: (...args: string[]) => Promise<unknown>, given: Inspection): Promise<Session> {
  const { marker, again, settings, acceptEmpty } = given
  const info = new Map<string, string>()
  for (const section of ['server', 'replication', 'memory']) {
    for (const line of String(await send('INFO', section)).split('\r\n')) {
      const colon = line.indexOf(':')
      if (colon > 0) info.set(line.slice(0, colon), line.slice(colon + 1))
    }
  }
  const run = info.get('run_id')
  if (run === undefined || info.get('role') !== 'master') throw unavailable('the replay store is a replica')
  if (info.get('maxmemory_policy') !== 'noeviction') {
    throw unavailable('the replay store may evict keys: set maxmemory-policy to noeviction')
  }
  const from = `${Math.ceil(settings.clock() + settings.longestLife)}`
  const empty = acceptEmpty ? 'accept' : 'refuse'
  const adopted = await send('EVAL', ADOPT, '1', marker, settings.check, run, from, empty, again)
  if (adopted === 'secret') throw secretMismatch()
  if (adopted !== 'ok') throw unavailable('the replay store gave an answer that is none')
  const [seconds] = pairOf(await send('TIME'))
  return { run, ahead: Number(seconds) - performance.now() / 1000 }
}

function pairOf(reply: unknown): readonly [unknown, number] {
  return Array.isArray(reply) ? [reply[0], Number(reply[1])] : [undefined, Number.NaN]
}

function refusalOf(error: unknown): AimsError {
  if (AimsError.is(error)) return error
  // The first word of a reply is its kind: https://redis.io/docs/latest/develop/reference/protocol-spec/
  const isFull = error instanceof Error && /^(?:-?OOM|MISCONF)\b/.test(error.message)
  return isFull
    ? full('the replay store has no more room', error)
    : unavailable('the replay store did not answer', error)
}
