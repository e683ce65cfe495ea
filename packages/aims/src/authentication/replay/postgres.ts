import type { Pool, PoolClient, PoolConfig } from 'pg'
import { AimsError } from '../../base/errors.ts'
import { createBatches, type Use } from './batches.ts'
import {
  driverCode,
  full,
  type RemoteReplayStore,
  type RemoteReplayStoreOptions,
  type RemoteSettings,
  remoteSettings,
  secretMismatch,
  unavailable,
  within,
} from './remote.ts'

/** A replay store in PostgreSQL, and how much it may take. */
export interface PostgresReplayStoreOptions extends RemoteReplayStoreOptions {
  /** Connections at most. Default 4: uses of the same moment share a statement. */
  readonly connections?: number
  /** How many keys may be remembered, looked at every half minute. Default 10,000,000. */
  readonly capacity?: number
}

const SWEEP_EVERY = 30
/** Seconds by which clocks of replicas may differ without one forgetting what the other still needs. */
const MARGIN = 60
const BATCH = 512
const PENDING = 20_000
const LOCK = 0x61696d72
const FULL = ['53100', '53200']

// Timelines end with a failover or a restore: a key of the old one may be missing in the new one.
const TIMELINE = `left(pg_walfile_name(pg_current_wal_lsn()), 8)`
const SCHEMA = `
  CREATE TABLE aims_replays (key bytea PRIMARY KEY, expires_at bigint NOT NULL);
  CREATE INDEX aims_replays_by_expiry ON aims_replays (expires_at);
  CREATE TABLE aims_replay_store (secret_check text NOT NULL, timeline text NOT NULL, forgotten bigint NOT NULL);`
const CONSUME = `
  WITH store AS (SELECT forgotten, timeline = ${TIMELINE} AS same FROM aims_replay_store),
  fresh AS (
    INSERT INTO aims_replays AS used (key, expires_at)
    SELECT new.key, new.expires_at FROM unnest($1::bytea[], $2::bigint[]) AS new (key, expires_at), store
    WHERE store.same AND new.expires_at > store.forgotten
    ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at WHERE used.expires_at < $3::float8
    RETURNING key)
  SELECT store.same, store.forgotten::float8, (SELECT array_agg(encode(key, 'hex')) FROM fresh) AS fresh FROM store`
const LOOK = `
  SELECT timeline = ${TIMELINE} AS same, forgotten::float8,
    EXISTS (SELECT FROM aims_replays WHERE key = $1::bytea AND expires_at >= $2::float8) AS used FROM aims_replay_store`
const ADOPT = `
  UPDATE aims_replay_store SET timeline = ${TIMELINE}, forgotten = greatest(forgotten, $1) WHERE timeline <> ${TIMELINE}`
// What is forgotten is announced one round earlier than it is: no statement that read the table before is still running.
const FORGET = `DELETE FROM aims_replays USING aims_replay_store AS store
  WHERE aims_replays.expires_at <= store.forgotten AND aims_replays.expires_at < $1::float8`
const ANNOUNCE = `UPDATE aims_replay_store SET forgotten = greatest(forgotten,
  coalesce((SELECT max(expires_at) FROM aims_replays WHERE expires_at < $1::float8), 0))`

/**
 * Opens a replay store in a PostgreSQL database, which processes on any number of hosts share. A key is on the disk of
 * the server before `consume` answers. Makes its two tables when they are not there yet.
 *
 * Refuses when the server is away, slow, full or read-only; and, after a failover or a restore, keys that may have been
 * used before it. A lost server that never ends its timeline cannot be noticed: replicate synchronously where that matters.
 *
 * @throws {@link AimsError} `proof.replay_store_unavailable`, `proof.replay_store_secret_mismatch`
 * @throws TypeError for options that make no sense
 */
export async function openPostgresReplayStore(options: PostgresReplayStoreOptions): Promise<RemoteReplayStore> {
  const settings = remoteSettings(options)
  const { connections = 4, capacity = 10_000_000 } = options
  for (const [name, value] of Object.entries({ connections, capacity })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new TypeError(`${name} is a positive integer`)
  }
  const pool = await makePool(options, settings, connections)
  try {
    await inSession(pool, (client) => prepare(client, settings))
  } catch (error) {
    await pool.end()
    throw refusalOf(error)
  }
  let isFull = false
  let sweptAt = settings.clock()
  const sweep = async (now: number): Promise<void> => {
    sweptAt = now
    // The next round tries again; until then the table is only larger than it had to be.
    await inSession(pool, async (client) => {
      await client.query(FORGET, [now - MARGIN])
      await client.query(ANNOUNCE, [now - MARGIN])
      const { rows } = await client.query<{ n: number }>('SELECT count(*)::float8 AS n FROM aims_replays')
      isFull = (rows[0]?.n ?? 0) >= capacity
    }).catch(() => undefined)
  }
  const consume = createBatches({
    size: BATCH,
    parallel: connections,
    pending: PENDING,
    patience: settings.timeout,
    refusal: () => unavailable('too many requests wait for the replay store'),
    run: (uses) => inSession(pool, (client) => consumeAll(client, uses, settings)),
  })
  return {
    async consume(key, expiresAt, now) {
      if (Math.abs(now - sweptAt) >= SWEEP_EVERY) void sweep(now)
      if (isFull) throw full('the replay store holds all the keys it may')
      return consume({ key: settings.hash(key), expiresAt: Math.ceil(expiresAt), now })
    },
    isFresh: (key, expiresAt, now) =>
      inSession(pool, (client) =>
        isFreshIn(client, { key: settings.hash(key), expiresAt: Math.ceil(expiresAt), now }, settings),
      ),
    close: () => pool.end(),
  }
}

async function makePool(
  { connection }: PostgresReplayStoreOptions,
  { timeout }: RemoteSettings,
  max: number,
): Promise<Pool> {
  const { default: pg } = await import('pg').catch((cause: unknown) => {
    throw unavailable('the package pg is not installed', cause)
  })
  const { host = 'localhost', port = 5432, user, password, database, tls } = connection
  const config: PoolConfig = {
    host,
    port,
    max,
    application_name: 'aims-replay-store',
    connectionTimeoutMillis: timeout,
    query_timeout: timeout,
    statement_timeout: timeout,
    keepAlive: true,
    allowExitOnIdle: true,
    options: '-c synchronous_commit=on -c default_transaction_isolation=read\\ committed',
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
    ...(tls === undefined ? {} : { ssl: { ...tls, rejectUnauthorized: true } }),
  }
  const pool = new pg.Pool(config)
  // A connection that is lost refuses the statement it was for; there is nobody else to tell.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

// A connection whose statement failed is not used again: it may still be busy with it.
async function inSession<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  try {
    const client = await pool.connect()
    try {
      const result = await work(client)
      client.release()
      return result
    } catch (error) {
      client.release(true)
      throw error
    }
  } catch (error) {
    throw refusalOf(error)
  }
}

async function prepare(client: PoolClient, { check }: RemoteSettings): Promise<void> {
  await client.query('BEGIN')
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  const { rows: found } = await client.query<{ is: boolean }>(
    `SELECT to_regclass('aims_replay_store') IS NOT NULL AS is`,
  )
  if (found[0]?.is !== true) {
    await client.query(SCHEMA)
    await client.query(`INSERT INTO aims_replay_store VALUES ($1, ${TIMELINE}, 0)`, [check])
  }
  const { rows } = await client.query<{ secret_check: string }>('SELECT secret_check FROM aims_replay_store')
  if (rows.length !== 1 || rows[0]?.secret_check !== check) throw secretMismatch()
  await client.query('COMMIT')
}

interface Known {
  /** The server is the one of the last time. */
  readonly same: boolean
  readonly forgotten: number
}

interface Answer extends Known {
  readonly fresh: readonly string[] | null
}

async function consumeAll(
  client: PoolClient,
  uses: readonly Use[],
  settings: RemoteSettings,
): Promise<(use: Use) => boolean> {
  const keys = uses.map(({ key }) => key)
  const expiries = uses.map(({ expiresAt }) => expiresAt)
  const earliest = Math.min(...uses.map(({ now }) => now))
  const asked = client.query<Answer>(CONSUME, [keys, expiries, earliest])
  const answer = await requireSame(client, (await within(settings.timeout, asked)).rows[0], settings)
  const fresh = new Set(answer.fresh)
  return ({ key, expiresAt }) => {
    if (fresh.has(key.toString('hex'))) return true
    requireRemembered(answer, expiresAt)
    return false
  }
}

async function isFreshIn(client: PoolClient, { key, expiresAt, now }: Use, settings: RemoteSettings): Promise<boolean> {
  const asked = client.query<Known & { readonly used: boolean }>(LOOK, [key, now])
  const answer = await requireSame(client, (await within(settings.timeout, asked)).rows[0], settings)
  if (answer.used !== false) return false
  requireRemembered(answer, expiresAt)
  return true
}

async function requireSame<T extends Known>(
  client: PoolClient,
  answer: T | undefined,
  { clock, longestLife }: RemoteSettings,
): Promise<T> {
  if (answer?.same === true) return answer
  await client.query(ADOPT, [Math.ceil(clock() + longestLife)])
  throw unavailable('the replay store has changed its server and may have lost what it knew')
}

// After a failover, or when the clock of a replica jumped ahead, keys that were forgotten would look new.
function requireRemembered({ forgotten }: Known, expiresAt: number): void {
  if (!(expiresAt > forgotten)) throw unavailable('the replay store has already forgotten that time')
}

function refusalOf(error: unknown): AimsError {
  if (AimsError.is(error)) return error
  if (FULL.includes(driverCode(error))) return full('the replay store has no more room', error)
  return unavailable('the replay store did not answer', error)
}
