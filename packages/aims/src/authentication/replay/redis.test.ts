import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { answerOf, eventuallyTrue } from '../../../../../test/support/eventually.ts'
import { freePort } from '../../../../../test/support/free-port.ts'
import { relay } from '../../../../../test/support/relay.ts'
import { replayStoreContract } from '../../../../../test/support/replay-store-contract.ts'
import { redisCommand, startRedis, type TestServer, withoutRedis } from '../../../../../test/support/servers.ts'
import { openRedisReplayStore, type RedisReplayStoreOptions } from './redis.ts'
import type { RemoteReplayStore } from './remote.ts'

const AWAY = { code: 'proof.replay_store_unavailable' }
const secret = randomBytes(32)
// Long enough for a loaded machine; tests of slowness bring their own.
const PATIENT = 30_000
const cleanup: (() => unknown)[] = []
after(async () => {
  for (const one of cleanup.reverse()) await one()
})

async function redis(...settings: string[]): Promise<TestServer> {
  const server = await startRedis(settings)
  cleanup.push(() => server.remove())
  return server
}

async function open(port: number, change: Partial<RedisReplayStoreOptions> = {}): Promise<RemoteReplayStore> {
  const store = await openRedisReplayStore({
    connection: { host: '127.0.0.1', port },
    secret,
    timeout: PATIENT,
    acceptEmpty: true,
    ...change,
  })
  cleanup.push(() => store.close())
  return store
}

let started: Promise<TestServer> | undefined
const shared = (): Promise<TestServer> => (started ??= redis())
let count = 0
const fresh = async (): Promise<RemoteReplayStore> => {
  count += 1
  return open((await shared()).port, { prefix: `test ${count}:` })
}
replayStoreContract('redis', fresh, { skip: withoutRedis })

// [authentication.aims.05]
test('two stores with one secret use up keys for each other, and keys are not readable', {
  skip: withoutRedis,
}, async () => {
  const { port } = await shared()
  const [one, other] = [await open(port), await open(port)]
  assert.equal(await one.consume('wpt holder jti', 100, 10), true)
  assert.equal(await other.consume('wpt holder jti', 100, 10), false)
  const names = await redisCommand(port, 'KEYS', '*')
  assert.ok(Array.isArray(names) && names.length > 1)
  assert.ok(!JSON.stringify(names).includes('jti'))
})

test('another secret is refused, and not taken for a second store', { skip: withoutRedis }, async () => {
  const { port } = await redis()
  await open(port)
  await assert.rejects(open(port, { secret: randomBytes(32) }), { code: 'proof.replay_store_secret_mismatch' })
})

test('keys go when nobody can need them any more', { skip: withoutRedis }, async () => {
  const { port } = await redis()
  const store = await open(port)
  assert.equal(await store.consume('key', 100, 40), true)
  const [name] = (await redisCommand(port, 'KEYS', 'aims-replay:[^s]*')) as string[]
  const left = Number(await redisCommand(port, 'PTTL', name ?? ''))
  assert.ok(left > 60_000 && left <= 120_000, String(left))
})

test('a server that lost everything refuses what could have been used before, and no more', {
  skip: withoutRedis,
}, async () => {
  const server = await redis()
  const now = 1000
  const store = await open(server.port, { longestLife: 100, clock: () => now })
  assert.equal(await store.consume('old', 1060, now), true)
  await redisCommand(server.port, 'FLUSHALL')
  await assert.rejects(store.isFresh('old', 1060, now), AWAY)
  await assert.rejects(store.isFresh('old', 1060, now + 1), AWAY)
  await assert.rejects(store.consume('old', 1060, now + 1), AWAY)
  await assert.rejects(store.consume('at the limit', 1100, now + 1), AWAY)
  assert.equal(await store.consume('made after', 1101, now + 1), true)
})

test('an empty server is not taken for a new one, unless that is said', { skip: withoutRedis }, async () => {
  const server = await redis()
  const store = await open(server.port, { longestLife: 100, clock: () => 1000, acceptEmpty: undefined as never })
  await assert.rejects(store.consume('key', 1090, 1000), AWAY)
  assert.equal(await store.consume('key', 1150, 1060), true)
})

test('a server that is killed and comes back empty, or with its data, accepts nothing of before', {
  skip: withoutRedis,
}, async () => {
  for (const settings of [[], ['--appendonly', 'yes', '--appendfsync', 'always']]) {
    const server = await redis(...settings)
    const store = await open(server.port, {
      longestLife: 100,
      clock: () => 1000,
      timeout: 5000,
      acceptEmpty: undefined as never,
    })
    assert.equal(await store.consume('old', 1150, 1050), true)
    await server.kill()
    await assert.rejects(store.consume('other', 1150, 1050), AWAY)
    await server.start()
    await eventuallyTrue(() => store.consume('new', 1300, 1200))
    const again = await answerOf(() => store.consume('old', 1100, 1050))
    assert.equal(again, settings.length === 0 ? AWAY.code : false)
    await assert.rejects(store.consume('may have been used', 1100, 1050), AWAY)
  }
})

test('a server that is full, may evict, or is a replica refuses', { skip: withoutRedis }, async () => {
  const small = await redis('--maxmemory', '3mb')
  const store = await open(small.port)
  await assert.rejects(
    async () => {
      for (let i = 0; i < 100_000; i += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, j) => store.consume(`key ${i + j}`, 100, 10)))
      }
    },
    { code: 'proof.replay_store_full' },
  )
  assert.equal(await store.isFresh('key 0', 100, 10), false)
  assert.equal(await store.consume('key 0', 100, 10), false, 'a full store still knows what it has')

  const forgetful = await redis('--maxmemory-policy', 'volatile-ttl')
  await assert.rejects(open(forgetful.port), { ...AWAY, message: /noeviction/ })

  const replica = await redis('--replicaof', `127.0.0.1 ${small.port}`)
  await assert.rejects(open(replica.port), { ...AWAY, message: /replica/ })

  const demoted = await redis()
  const before = await open(demoted.port)
  await redisCommand(demoted.port, 'REPLICAOF', '127.0.0.1', `${small.port}`)
  await assert.rejects(before.isFresh('key', 100, 10), AWAY)
  await assert.rejects(before.consume('key', 100, 10), AWAY)
})

test('with replicas asked for, a key counts when they have it', { skip: withoutRedis }, async () => {
  const primary = await redis()
  const alone = await open(primary.port, { replicas: 1, timeout: 3000 })
  await assert.rejects(alone.consume('key', 100, 10), { ...AWAY, message: /replicas|in time/ })
  const replica = await redis('--replicaof', `127.0.0.1 ${primary.port}`)
  const store = await open(primary.port, { replicas: 1 })
  let tries = 0
  await eventuallyTrue(() => {
    tries += 1
    return store.consume(`key ${tries}`, 100, 10)
  })
  const names = await redisCommand(replica.port, 'KEYS', 'aims-replay:*')
  assert.ok(Array.isArray(names) && names.length > 1)
})

test('a server that is away, slow, or lost in the middle refuses in time', { skip: withoutRedis }, async () => {
  const closed = await freePort()
  await assert.rejects(open(closed, { timeout: 300 }), AWAY)
  const real = await redis()
  const proxy = await relay(real.port)
  cleanup.push(() => proxy.close())
  const store = await open(proxy.port, { timeout: 3000 })
  assert.equal(await store.consume('before', 100, 10), true)
  proxy.hold()
  await assert.rejects(store.isFresh('slow', 100, 10), AWAY)
  await assert.rejects(store.consume('slow', 100, 10), AWAY)
  proxy.cut()
  await assert.rejects(store.consume('cut', 100, 10), AWAY)
  proxy.pass()
  await eventuallyTrue(() => store.consume('after', 100, 10))
  assert.equal(await answerOf(() => store.consume('before', 100, 10)), false)
  await store.close()
  await assert.rejects(store.isFresh('closed', 100, 10), AWAY)
  await assert.rejects(store.consume('closed', 100, 10), AWAY)
})

test('what makes no sense is a mistake of the caller', async () => {
  const connection = { host: '127.0.0.1' }
  for (const options of [
    { connection, secret: randomBytes(31) },
    { connection, secret, timeout: 0 },
    { connection, secret, longestLife: Number.NaN },
    { connection, secret, replicas: -1 },
    { connection: { host: 'redis.example.com' }, secret },
    { connection: { host: 'redis.example.com', tls: { rejectUnauthorized: false } }, secret },
  ]) {
    await assert.rejects(openRedisReplayStore(options), TypeError)
  }
})
