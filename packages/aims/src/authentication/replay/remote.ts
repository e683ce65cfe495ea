import { createHmac } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { DEFAULT_CLOCK_SKEW } from '../../credentials/lifetime.ts'
import { DEFAULT_MAX_LIFETIME } from '../wpt/verify.ts'
import type { ReplayStore } from './replay-store.ts'

/** Where a shared store is, and who asks. */
export interface StoreConnection {
  /** A host name, an address, or the path of a Unix socket (for PostgreSQL: of its directory). Default `localhost`. */
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly password?: string
  /** The database: for PostgreSQL its name, for Redis its number. */
  readonly database?: string
  /** Connect by TLS, with these options: `{}` for the authorities of the system, or `{ ca }`. The server is always verified. */
  readonly tls?: ConnectionOptions
  /** Connect without TLS although others could change what the store answers. Always allowed to this machine itself. */
  readonly acceptPlaintext?: true
}

/** What replay stores on a server have in common. */
export interface RemoteReplayStoreOptions {
  readonly connection: StoreConnection
  /**
   * At least 32 random bytes, the same for all replicas: keys are stored as an HMAC under it, so that who reads the store
   * learns nothing. A store that was made with another secret is refused.
   */
  readonly secret: Uint8Array
  /** Milliseconds to wait for the store; after that the request is refused. Default 1000. */
  readonly timeout?: number
  /**
   * Seconds a proof may live at most, with all skew: `maxLifetime` of the authenticators and twice their `clockSkew`.
   * After a failover, which may have lost the last keys, keys that could have been used before are refused for as long.
   * Default 360.
   */
  readonly longestLife?: number
  /** Default: the machine's. */
  readonly clock?: Clock
}

/** A replay store on a server. */
export interface RemoteReplayStore extends ReplayStore {
  consume(key: string, expiresAt: number, now: number): Promise<boolean>
  isFresh(key: string, expiresAt: number, now: number): Promise<boolean>
  /** Gives the connections back. Calls that wait are refused. */
  close(): Promise<void>
}

/** The options, checked, with their defaults. */
export interface RemoteSettings {
  readonly timeout: number
  readonly longestLife: number
  readonly clock: Clock
  /** What a key is stored as: 128 bits, nothing to compute a key from. */
  readonly hash: (key: string) => Buffer
  /** Tells secrets apart and says nothing about them. */
  readonly check: string
}

const MIN_SECRET = 32
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1|\/.*)$/

/** @throws TypeError when the secret is short, a number is none, or answers could be changed on the way */
export function remoteSettings(options: RemoteReplayStoreOptions): RemoteSettings {
  const { secret, timeout = 1000, clock = systemClock } = options
  const longestLife = options.longestLife ?? DEFAULT_MAX_LIFETIME + 2 * DEFAULT_CLOCK_SKEW
  if (secret.length < MIN_SECRET) throw new TypeError(`secret has at least ${MIN_SECRET} bytes`)
  if (!Number.isSafeInteger(timeout) || timeout < 1) throw new TypeError('timeout is a number of milliseconds')
  if (!Number.isFinite(longestLife) || longestLife < 1) throw new TypeError('longestLife is a number of seconds')
  const { host = 'localhost', tls, acceptPlaintext } = options.connection
  if (tls?.rejectUnauthorized === false) throw new TypeError('the server of a replay store is verified')
  if (tls === undefined && acceptPlaintext !== true && !LOOPBACK.test(host)) {
    throw new TypeError('a replay store on another machine is reached by TLS: give connection.tls')
  }
  const key = Uint8Array.from(secret)
  const mac = (label: string, text: string): Buffer => createHmac('sha256', key).update(label).update(text).digest()
  return {
    timeout,
    longestLife,
    clock,
    hash: (text) => mac('key ', text).subarray(0, 16),
    check: mac('check', '').toString('base64url'),
  }
}

/** @param cause - Of the driver. Only its code is kept: its text may name what it was given. */
export function unavailable(message: string, cause?: unknown): AimsError {
  return new AimsError('proof.replay_store_unavailable', message, codeOnly(cause))
}

/** @param cause - Of the driver. Only its code is kept. */
export function full(message: string, cause?: unknown): AimsError {
  return new AimsError('proof.replay_store_full', message, codeOnly(cause))
}

/** The code that a driver, or the system, gave an error. */
export function driverCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[A-Za-z0-9_]{1,40}$/.test(code) ? code : ''
}

function codeOnly(cause: unknown): ErrorOptions {
  return cause === undefined ? {} : { cause: new Error(`the driver reports ${driverCode(cause) || 'an error'}`) }
}

/** @throws {@link AimsError} `proof.replay_store_secret_mismatch` */
export function secretMismatch(): AimsError {
  return new AimsError('proof.replay_store_secret_mismatch', 'the replay store was made with another secret')
}

/** Waits at most so many milliseconds. @throws {@link AimsError} `proof.replay_store_unavailable` */
export async function within<T>(timeout: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(unavailable('the replay store did not answer in time')), timeout)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
