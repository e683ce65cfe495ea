import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { answerOf, eventuallyTrue } from '../../../../../test/support/eventually.ts'
import { freePort } from '../../../../../test/support/free-port.ts'
import { relay } from '../../../../../test/support/relay.ts'
import { replayStoreContract } from '../../../../../test/support/replay-store-contract.ts'
import {
  postgresStatement,
  startPostgres,
  type TestServer,
  withoutPostgres,
} from '../../../../../test/support/servers.ts'
import { openPostgresReplayStore, type PostgresReplayStoreOptions } from './postgres.ts'
import type { RemoteReplayStore } from './remote.ts'

const AWAY = { code: 'proof.replay_store_unavailable' }
const skip = withoutPostgres
const secret = randomBytes(32)
const PATIENT = 30_000
const cleanup: (() => unknown)[] = []
after(async () => {
  for (const one of cleanup.reverse()) await one()
})

let started: Promise<TestServer> | undefined
const server = async (): Promise<TestServer> => {
  started ??= startPostgres().then((one) => {
    cleanup.push(() => one.remove())
    return one
  })
  return started
}

interface Place {
  readonly port: number
  readonly database: string
}

let databases = 0
async function database(): Promise<Place> {
  const { port } = await server()
  databases += 1
  const name = `test_${databases}`
  await postgresStatement(`CREATE DATABASE ${name}`, { port, database: 'postgres' })
  return { port, database: name }
}

async function open(
  place: Place,
  change: Partial<PostgresReplayStoreOptions> = {},
  user = 'aims',
): Promise<RemoteReplayStore> {
  const connection = { host: '127.0.0.1', user, ...place }
  const store = await openPostgresReplayStore({ connection, secret, timeout: PATIENT, ...change })
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await store.close()
    isOpen = false
  }
  cleanup.push(close)
  return { ...store, close }
}

// Emptied between uses: a database for each would take too long.
let contract: Promise<{ readonly place: Place; readonly store: RemoteReplayStore }> | undefined
replayStoreContract(
  'postgres',
  async () => {
    contract ??= database().then(async (place) => ({ place, store: await open(place) }))
    const { place, store } = await contract
    await postgresStatement('TRUNCATE aims_replays; UPDATE aims_replay_store SET forgotten = 0', place)
    return store
  },
  { skip },
)

// [authentication.aims.05]
test('two stores with one secret use up keys for each other, and keys are not readable', { skip }, async () => {
  const place = await database()
  const [one, other] = await Promise.all([open(place), open(place)])
  const keys = Array.from({ length: 2000 }, (_, i) => `key ${i}`)
  const answers = await Promise.all([one, other].flatMap((store) => keys.map((key) => store.consume(key, 100, 10))))
  assert.equal(answers.filter((fresh) => fresh).length, keys.length)
  const again = await Promise.all(keys.map((key) => one.consume(key, 100, 10)))
  assert.ok(again.every((fresh) => fresh === false))
  const rows = await postgresStatement("SELECT encode(key, 'escape') AS key FROM aims_replays", place)
  assert.equal(rows.length, keys.length)
  assert.ok(!JSON.stringify(rows).includes('key 1'))
})

test('another secret is refused, and not taken for a second store', { skip }, async () => {
  const place = await database()
  await open(place)
  await assert.rejects(open(place, { secret: randomBytes(32) }), { code: 'proof.replay_store_secret_mismatch' })
})

test('expired keys are deleted, and what was forgotten never becomes fresh', { skip }, async () => {
  const place = await database()
  const store = await open(place, { clock: () => 1000 })
  for (let i = 0; i < 50; i += 1) assert.equal(await store.consume(`old ${i}`, 1060, 1000), true)
  for (const now of [1300, 1400]) await store.consume(`at ${now}`, now + 60, now)
  await eventuallyTrue(async () => {
    const [{ n }] = (await postgresStatement('SELECT count(*)::int AS n FROM aims_replays', place)) as [{ n: number }]
    return n <= 2
  })
  await assert.rejects(store.consume('old 1', 1060, 1001), AWAY)
  for (const ask of ['isFresh', 'consume'] as const) {
    await assert.rejects(store[ask]('another of that time', 1060, 1001), AWAY)
  }
  assert.equal(await store.consume('new', 1061, 1001), true)
})

test('a store that holds all it may refuses', { skip }, async () => {
  const place = await database()
  const store = await open(place, { clock: () => 1000, capacity: 10 })
  for (let i = 0; i < 10; i += 1) assert.equal(await store.consume(`key ${i}`, 5000, 1000), true)
  // Looked at when time has passed.
  await answerOf(() => store.consume('later', 5000, 1040))
  await eventuallyTrue(async () => {
    return (await answerOf(() => store.consume(`more`, 5000, 1041))) === 'proof.replay_store_full'
  })
})

test('after a failover or a restore, keys that could have been used before it are refused', { skip }, async () => {
  const place = await database()
  const store = await open(place, { clock: () => 1000, longestLife: 100 })
  assert.equal(await store.consume('old', 1090, 1000), true)
  // What a promoted replica looks like: the row was replicated, the timeline is another, the last key was not.
  await postgresStatement("UPDATE aims_replay_store SET timeline = 'FFFFFFFF'; TRUNCATE aims_replays", place)
  await assert.rejects(store.isFresh('old', 1090, 1000), { ...AWAY, message: /changed its server/ })
  await assert.rejects(store.isFresh('old', 1090, 1000), AWAY)
  await assert.rejects(store.consume('old', 1090, 1000), AWAY)
  await assert.rejects(store.consume('at the limit', 1100, 1000), AWAY)
  assert.equal(await store.consume('made after', 1101, 1001), true)
})

test('a server that is read-only, or does not let us write, refuses', { skip }, async () => {
  const place = await database()
  await open(place)
  await postgresStatement(`ALTER DATABASE ${place.database} SET default_transaction_read_only = on`, place)
  const readOnly = await open(place)
  await assert.rejects(readOnly.consume('key', 100, 10), AWAY)
  await postgresStatement('CREATE ROLE reader LOGIN', { ...place, database: 'postgres' })
  await assert.rejects(open(place, {}, 'reader'), AWAY)
})

test('a server that is away, slow, or lost in the middle refuses in time', { skip }, async () => {
  const closed = await freePort()
  await assert.rejects(open({ port: closed, database: 'x' }, { timeout: 300 }), AWAY)
  const place = await database()
  const proxy = await relay(place.port)
  cleanup.push(() => proxy.close())
  const store = await open({ ...place, port: proxy.port }, { timeout: 3000, connections: 1 })
  await eventuallyTrue(() => store.consume('before', 100, 10))
  proxy.hold()
  const slow = await Promise.allSettled([store.consume('slow', 100, 10), store.consume('slower', 100, 10)])
  for (const one of slow) assert.equal(one.status === 'rejected' && one.reason.code, AWAY.code)
  proxy.cut()
  await assert.rejects(store.isFresh('cut', 100, 10), AWAY)
  await assert.rejects(store.consume('cut', 100, 10), AWAY)
  proxy.pass()
  let tries = 0
  await eventuallyTrue(() => {
    tries += 1
    return store.consume(`after ${tries}`, 100, 10)
  })
  assert.equal(await store.consume('before', 100, 10), false)
})

test('a server that crashes keeps what it answered', { skip }, async () => {
  const own = await startPostgres()
  cleanup.push(() => own.remove())
  const store = await open({ port: own.port, database: 'postgres' }, { timeout: 5000 })
  await eventuallyTrue(() => store.consume('before', 100, 10))
  await own.kill()
  await assert.rejects(store.isFresh('before', 100, 10), AWAY)
  await assert.rejects(store.consume('other', 100, 10), AWAY)
  await own.start()
  let tries = 0
  await eventuallyTrue(() => {
    tries += 1
    return store.consume(`after ${tries}`, 100, 10)
  })
  assert.equal(await store.consume('before', 100, 10), false)
})

test('a driver does not get its text into an error', { skip }, async () => {
  const { port } = await server()
  const connection = { host: '127.0.0.1', port, user: 'aims', password: 'hunter2', database: 'no such database' }
  const error = await openPostgresReplayStore({ connection, secret, timeout: PATIENT }).catch((one: unknown) => one)
  assert.ok(error instanceof Error)
  assert.equal((error as { code?: string }).code, AWAY.code)
  const shown = `${error.stack} ${(error.cause as Error).stack}`
  for (const word of ['hunter2', 'no such database', secret.toString('hex')]) assert.ok(!shown.includes(word))
  assert.match(shown, /the driver reports 3D000/)
})

test('what makes no sense is a mistake of the caller', async () => {
  const connection = { host: '127.0.0.1' }
  for (const options of [
    { connection, secret: randomBytes(31) },
    { connection, secret, timeout: 1.5 },
    { connection, secret, longestLife: 0 },
    { connection, secret, connections: 0 },
    { connection, secret, capacity: Number.NaN },
    { connection: { host: 'db.example.com' }, secret },
    { connection: { host: 'db.example.com', tls: { rejectUnauthorized: false } }, secret },
  ]) {
    await assert.rejects(openPostgresReplayStore(options), TypeError)
  }
})
