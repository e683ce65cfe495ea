import { readFileSync } from 'node:fs'
import {
  createMemoryReplayStore,
  openPostgresReplayStore,
  openRedisReplayStore,
  openSqliteReplayStore,
  type ReplayStore,
  type StoreConnection,
} from 'aims/authentication'
import { FailedError, UsageError } from '../exit.ts'
import type { ReplayServer } from './setting-values.ts'
import type { GatewayConfiguration } from './settings.ts'

/** A store that is given back at the end. */
export interface OpenReplays extends ReplayStore {
  close(): Promise<void> | void
}

/** Used proofs that are kept at once, in memory. */
const CAPACITY = 1_000_000

/**
 * Opens the store of used proofs that the configuration names: memory, a file, or a server that gateways on many hosts share.
 *
 * @throws {@link AimsError} `proof.replay_store_*`, `storage.*`
 * @throws UsageError for a server without a secret, FailedError for a file that cannot be read
 */
export async function openReplays(config: GatewayConfiguration): Promise<OpenReplays> {
  const { 'gateway.replayStore': store, 'gateway.acceptEmptyReplayStore': acceptEmpty } = config
  if (store === undefined) {
    return { ...createMemoryReplayStore({ capacity: CAPACITY }), close: () => undefined }
  }
  if (store.kind === 'file') return openSqliteReplayStore(store.path)
  const options = { connection: connectionOf(store, config), secret: secretOf(config) }
  if (store.kind === 'postgres') return await openPostgresReplayStore(options)
  return await openRedisReplayStore({ ...options, ...(acceptEmpty ? { acceptEmpty } : {}) })
}

// To another machine by TLS: who can change an answer of the store can use every proof twice.
function connectionOf(
  { host, port, user, database, isLocal }: ReplayServer,
  { 'gateway.replayPassword': password, 'gateway.replayAuthorities': authorities }: GatewayConfiguration,
): StoreConnection {
  return {
    host,
    port,
    ...(user === undefined ? {} : { user }),
    ...(database === undefined ? {} : { database }),
    ...(password === undefined
      ? {}
      : {
          password: read(password)
            .toString()
            .replace(/\r?\n$/, ''),
        }),
    ...(isLocal && authorities === undefined
      ? {}
      : { tls: authorities === undefined ? {} : { ca: read(authorities) } }),
  }
}

function secretOf({ 'gateway.replaySecret': path }: GatewayConfiguration): Buffer {
  if (path === undefined) {
    throw new UsageError(
      'gateway.replaySecret is needed with a server: a file of at least 32 random bytes, the same for all gateways that share it',
    )
  }
  return read(path)
}

function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new FailedError('operation.input_unreadable', `cannot read ${path}: ${reason}`, { cause })
  }
}
