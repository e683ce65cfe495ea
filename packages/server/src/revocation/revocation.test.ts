import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import {
  AimsError,
  apiClient,
  exportPublicJwk,
  importVerificationKey,
  isJsonObject,
  type JsonObject,
  noObserver,
  systemClock,
  WorkloadKey,
} from 'aims/base'
import {
  bundleSource,
  holdWit,
  MAX_REVOCATIONS,
  parseBundle,
  type Revocation,
  verifyRevocationList,
} from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { type FollowedRevocations, followRevocations, identityServer } from 'aims/provisioning'
import { loadConfig } from '../config/config.ts'
import type { Configuration } from '../config/settings.ts'
import { type RunningServer, startServer } from '../server.ts'
import { openRevocations } from './revocations.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-revocation-'))
const running = new Set<RunningServer>()
const following = new Set<FollowedRevocations>()
after(async () => {
  for (const one of following) one.close()
  for (const server of running) await server.close()
  rmSync(root, { recursive: true })
})

let number = 0
async function config(): Promise<Configuration> {
  number += 1
  const dataDirectory = join(root, String(number))
  return loadConfig({ env: {}, overrides: { trustDomain: 'example.com', dataDirectory, 'listen.port': 0 } })
}
async function start(settings: Configuration, clock = systemClock): Promise<RunningServer> {
  const server = await startServer(settings, { clock, log: () => undefined })
  running.add(server)
  return server
}
async function stop(server: RunningServer): Promise<void> {
  running.delete(server)
  await server.close()
}
async function api(server: RunningServer, method: 'GET' | 'POST', path: string, body?: object): Promise<JsonObject> {
  const client = apiClient({ socketPath: server.socketPath })
  try {
    const answer = await client.send({ method, path, ...(body === undefined ? {} : { body }) })
    return isJsonObject(answer) ? answer : {}
  } finally {
    client.close()
  }
}

const trustDomain = parseTrustDomain('example.com')
const BOT = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
const AUDIENCE = 'https://api.example.com'
const bot = { id: 'bot', spiffeId: BOT, selectors: ['unix:uid:1000'], owner: 'team', purpose: 'tests' }
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }
const bundlesOf = (server: RunningServer) => bundleSource(parseBundle(server.bundle(), trustDomain).bundle)

async function witOf(server: RunningServer, key = WorkloadKey.generate()) {
  const publicKey = key.publicKey.export({ format: 'jwk' })
  const { token, expiresAt } = await api(server, 'POST', '/v1/agent/wits', { entryId: 'bot', posture, publicKey })
  return holdWit({ subject: BOT, profile: 'wimse', hint: '', token: String(token), expiresAt: Number(expiresAt), key })
}

function verifier(server: RunningServer, { overHttps = false } = {}) {
  const bundles = bundlesOf(server)
  const address = { trustDomain, server: `https://127.0.0.1:${server.port}`, bundle: Buffer.from(server.bundle()) }
  const way = overHttps
    ? identityServer({ ...address, clock: systemClock })
    : apiClient({ socketPath: server.socketPath })
  const revocations = followRevocations({
    server: way,
    trustDomain,
    bundles,
    maxStaleness: 30,
    onFailure: () => undefined,
  })
  following.add(revocations)
  const service = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 10_000 }),
    observer: noObserver,
    revocations,
  })
  const ask = (wit: Awaited<ReturnType<typeof witOf>>) => {
    const request = { method: 'GET', target: '/', audience: AUDIENCE }
    return service.authenticate({
      ...request,
      headers: Object.entries(proofHeaders(wit, request, { now: systemClock() })),
    })
  }
  const changed = () => new Promise<void>((resolve) => void revocations.onChange(resolve))
  return { revocations, ask, changed }
}

// [provisioning.aims.07]
test('a revocation reaches every verifier that follows, and what is issued afterwards is good', async () => {
  const server = await start(await config())
  await api(server, 'POST', '/v1/entries', bot)
  const wit = await witOf(server)
  const verifiers = [verifier(server), verifier(server), verifier(server, { overHttps: true })]
  await Promise.all(verifiers.map(({ revocations }) => revocations.ready()))
  for (const { ask } of verifiers) assert.equal((await ask(wit)).id, BOT)

  const begun = performance.now()
  const heard = Promise.all(verifiers.map(({ changed }) => changed()))
  await api(server, 'POST', '/v1/revocations', { type: 'subject', value: BOT, reason: 'lost laptop' })
  await heard
  const took = performance.now() - begun
  for (const { ask } of verifiers) await assert.rejects(ask(wit), { code: 'credential.revoked' })
  console.log(`from the revocation to the last of ${verifiers.length} verifiers: ${took.toFixed(1)} ms`)

  // The entry stays: it is a newer one, so that agents ask again, and what they get counts from now on.
  const { revision } = await api(server, 'GET', '/v1/entries/bot')
  assert.equal(revision, 2)
  const fresh = await witOf(server)
  for (const { ask } of verifiers) assert.equal((await ask(fresh)).id, BOT)
  const { records } = await api(server, 'GET', '/v1/audit/records?type=provisioning.revoked')
  const told = (records as JsonObject[]).map(({ resource, remediation }) => [
    (resource as JsonObject).id,
    (remediation as JsonObject).cause,
  ])
  assert.deepEqual(told, [[BOT, 'lost laptop']])
  await stop(server)
})

// [provisioning.aims.07] [identifiers.aims.04]
test('a retired agent gets nothing more, is refused, and stays known for ever', async () => {
  const server = await start(await config())
  await api(server, 'POST', '/v1/entries', bot)
  const wit = await witOf(server)
  const { revocations, ask, changed } = verifier(server)
  await revocations.ready()
  await ask(wit)
  const heard = changed()
  await api(server, 'POST', '/v1/retirements', { spiffeId: BOT, reason: 'replaced' })
  await heard
  await assert.rejects(ask(wit), { code: 'credential.revoked' })
  await assert.rejects(witOf(server), { code: 'provisioning.entry_not_found' })
  await assert.rejects(api(server, 'POST', '/v1/entries', { ...bot, id: 'bot2' }), {
    code: 'provisioning.subject_retired',
  })
  const known = await api(server, 'GET', `/v1/retirements?spiffeId=${BOT}`)
  assert.equal((known.entry as JsonObject).owner, 'team')
  // Again, as after a crash in between: the end is the same.
  assert.equal((await api(server, 'POST', '/v1/retirements', { spiffeId: BOT })).spiffeId, BOT)
  await stop(server)
})

const storeOf = (kept: Revocation[]): Parameters<typeof openRevocations>[0]['store'] => ({
  sequence: () => kept.length,
  list: () => kept,
  put: (more) => void kept.push(...more),
  purge: () => undefined,
})

test('a revocation that the log does not take did not happen, and says so', async () => {
  const kept: Revocation[] = []
  let told = 0
  const revocations = openRevocations({
    trustDomain,
    store: storeOf(kept),
    clock: systemClock,
    observer: { record: () => Promise.reject(new AimsError('audit.unavailable', 'the disk is full')) },
    signer: () => WorkloadKey.generate(),
    longestLife: () => 3600,
  })
  revocations.onChange(() => {
    told += 1
  })
  const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c' }
  await assert.rejects(revocations.revoke({ type: 'subject', value: BOT }, actor), { code: 'audit.unavailable' })
  assert.deepEqual([kept.length, told], [0, 0])
  assert.equal(revocations.statusOf({ subject: BOT, issuedAt: 0, kind: 'wit' }, 0), 'good')
})

// A sub-agent that is made while the record is written, and in a later second, would be younger than the revocation.
for (const isStored of [true, false]) {
  test(`who is being revoked is refused here before the record ${isStored ? 'is stored' : 'fails, and no longer'}`, async () => {
    const kept: Revocation[] = []
    const record = Promise.withResolvers<void>()
    let now = 1_700_000_000.9
    const revocations = openRevocations({
      trustDomain,
      store: storeOf(kept),
      clock: () => now,
      observer: { record: () => record.promise },
      signer: () => WorkloadKey.generate(),
      longestLife: () => 3600,
    })
    const held = { subject: BOT, kind: 'x509-svid', issuedAt: now - 60 } as const
    const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c' }
    const revoked = revocations.revoke({ type: 'subject', value: BOT }, actor)
    await new Promise(setImmediate)
    now += 1
    revocations.purge()
    assert.equal(revocations.statusOf(held, now), 'revoked')
    assert.equal(revocations.notBefore(`${BOT}/sub/reader`), 1_700_000_001)
    assert.equal(kept.length, 0)
    if (isStored) {
      record.resolve()
      await revoked
    } else {
      record.reject(new AimsError('audit.unavailable', 'the disk is full'))
      await assert.rejects(revoked, { code: 'audit.unavailable' })
    }
    assert.equal(revocations.statusOf(held, now), isStored ? 'revoked' : 'good')
  })
}

test('a full list refuses a revocation rather than to forget one', async () => {
  const full = Array.from({ length: MAX_REVOCATIONS }, (_, index) => {
    return { type: 'token' as const, value: `t${index}`, expiresAt: Number.MAX_SAFE_INTEGER }
  })
  const revocations = openRevocations({
    trustDomain,
    store: { sequence: () => 1, list: () => full, put: () => undefined, purge: () => undefined },
    clock: systemClock,
    observer: noObserver,
    signer: () => WorkloadKey.generate(),
    longestLife: () => 3600,
  })
  const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c' }
  const revoke = revocations.revoke({ type: 'token', value: 'one-more' }, actor)
  await assert.rejects(revoke, { code: 'provisioning.revocations_full' })
})

interface Room {
  readonly names: (index: number) => string
  readonly root?: typeof BOT
  /** How many the list takes, at least and at most. */
  readonly takes: readonly [number, number]
}
const ROOMS: readonly (readonly [string, Room])[] = [
  ['an agent, by number', { names: (i) => `${BOT}/sub/s${i}`, root: BOT, takes: [256, 256] }],
  ['an agent, by length', { names: (i) => `${BOT}/sub/${'x'.repeat(1900)}${i}`, root: BOT, takes: [1, 60] }],
  ['an operator, by length', { names: (i) => `${BOT}/${'x'.repeat(1900)}${i}`, takes: [700, 800] }],
]
for (const [who, { names, root: byRoot, takes }] of ROOMS) {
  test(`${who}, cannot make the list longer than what verifiers read`, async () => {
    const rows = new Map<string, Revocation>()
    const signer = WorkloadKey.generate()
    const revocations = openRevocations({
      trustDomain,
      store: {
        sequence: () => rows.size,
        list: () => [...rows.values()],
        put: (more) => {
          for (const one of more) rows.set(one.value, one)
        },
        purge: () => undefined,
      },
      clock: systemClock,
      observer: noObserver,
      signer: () => signer,
      longestLife: () => 3600,
    })
    const actor = { name: 'a', method: 'mtls', correlationId: 'c' }
    const by = byRoot === undefined ? {} : { byAgent: { root: byRoot, longestLife: 3600 } }
    const revoke = (value: string) => revocations.revoke({ type: 'subject', value, ...by }, actor)
    let refused: unknown
    for (let i = 0; i < 1000 && refused === undefined; i += 1) {
      await revoke(names(i)).catch((error: unknown) => {
        refused = error
      })
    }
    assert.equal(AimsError.is(refused) && refused.code, 'provisioning.revocations_full')
    assert.ok(rows.size >= takes[0] && rows.size <= takes[1], `${rows.size}`)
    // What is listed already takes no more room.
    await revoke(names(0))
    const witAuthorities = new Map([[signer.kid, importVerificationKey({ ...exportPublicJwk(signer.publicKey) })]])
    const bundle = { ...parseBundle('{"keys":[]}', trustDomain).bundle, witAuthorities }
    const expected = { trustDomain, bundles: bundleSource(bundle), now: systemClock() }
    assert.equal(verifyRevocationList(await revocations.list(), expected).revocations.length, rows.size)
    if (byRoot === undefined) {
      // Of many at a time, of which the last has no room, none is taken.
      const [size, last] = [rows.size, { type: 'subject', value: names(1000) } as const]
      const many = revocations.revokeAll([{ type: 'subject', value: names(0) }, last], actor)
      await assert.rejects(many, { code: 'provisioning.revocations_full' })
      assert.equal(rows.size, size)
      return
    }
    const others = parseWorkloadSpiffeId('spiffe://example.com/agent/bot2')
    const other = { type: 'subject', value: `${others}/sub/a`, byAgent: { root: others, longestLife: 60 } } as const
    await revocations.revoke(other, actor)
  })
}

const REFUSED: readonly (readonly [string, object, string])[] = [
  ['another trust domain', { type: 'subject', value: 'spiffe://other.example/a' }, 'provisioning.invalid_revocation'],
  [
    'the server itself',
    { type: 'subject', value: 'spiffe://example.com/aims/server' },
    'provisioning.invalid_revocation',
  ],
  ['no identity', { type: 'subject', value: 'bot' }, 'identifier.wrong_scheme'],
  ['a serial in upper case', { type: 'certificate', value: 'AB' }, 'provisioning.invalid_revocation'],
  ['a thumbprint that is none', { type: 'key', value: 'abc' }, 'provisioning.invalid_revocation'],
  ['an id with blanks', { type: 'token', value: 'a b' }, 'provisioning.invalid_revocation'],
  ['another type', { type: 'device', value: 'a' }, 'operation.request_malformed'],
  ['nothing', { type: 'token' }, 'operation.request_malformed'],
]
test('what cannot be revoked is refused, and the list stays as it was', async () => {
  const server = await start(await config())
  for (const [what, body, code] of REFUSED) {
    await assert.rejects(api(server, 'POST', '/v1/revocations', body), { code }, what)
  }
  await assert.rejects(api(server, 'POST', '/v1/retirements', { spiffeId: BOT }), {
    code: 'provisioning.entry_not_found',
  })
  await assert.rejects(api(server, 'GET', `/v1/retirements?spiffeId=${BOT}`), { code: 'provisioning.entry_not_found' })
  const { list } = await api(server, 'GET', '/v1/revocations')
  const expected = { trustDomain, bundles: bundlesOf(server), now: systemClock() }
  assert.deepEqual(verifyRevocationList(String(list), expected).revocations, [])
  await stop(server)
})

test('revocations outlive a restart, their number never falls, and rows that others took out are missed', async () => {
  const settings = await config()
  let server = await start(settings)
  await api(server, 'POST', '/v1/entries', bot)
  await api(server, 'POST', '/v1/revocations', { type: 'token', value: 'jti-1' })
  const first = Number((await api(server, 'POST', '/v1/revocations', { type: 'subject', value: BOT })).sequence)
  await stop(server)
  server = await start(settings)
  const { list } = await api(server, 'GET', '/v1/revocations')
  const read = verifyRevocationList(String(list), { trustDomain, bundles: bundlesOf(server), now: systemClock() })
  assert.deepEqual(read.revocations.map(({ value }) => value).sort(), ['jti-1', BOT])
  assert.equal(read.sequence, first)
  const second = Number((await api(server, 'POST', '/v1/revocations', { type: 'token', value: 'jti-2' })).sequence)
  assert.ok(second > first)
  await stop(server)

  const db = new DatabaseSync(join(settings.dataDirectory, 'store.sqlite'))
  db.prepare('DELETE FROM revocations WHERE id = ?').run('token jti-1')
  db.close()
  await assert.rejects(start(settings), { code: 'operation.store_damaged' })
})

test('a clock that jumps ahead and is set right makes no revocation forgotten, and one that goes back weakens none', async () => {
  let now = Math.floor(systemClock())
  const server = await start(await config(), () => now)
  const revoke = (value: string) => api(server, 'POST', '/v1/revocations', { type: 'subject', value })
  const first = await revoke(BOT)
  now += 2 * 86_400
  await revoke(`${BOT}2`)
  now -= 2 * 86_400
  const listed = async () => {
    const { list } = await api(server, 'GET', '/v1/revocations')
    return verifyRevocationList(String(list), { trustDomain, bundles: bundlesOf(server), now }).revocations
  }
  assert.deepEqual(
    (await listed()).map(({ value }) => value),
    [BOT, `${BOT}2`],
  )
  now -= 3600
  const again = await revoke(BOT)
  assert.deepEqual([again.before, again.expiresAt], [first.before, first.expiresAt])
  await stop(server)
})

test('what can mean nothing any more leaves the list, and the number stays', async () => {
  let now = Math.floor(systemClock())
  const server = await start(await config(), () => now)
  const { sequence } = await api(server, 'POST', '/v1/revocations', { type: 'token', value: 'jti-1' })
  now += 86_400 + 121 + 1
  const { list } = await api(server, 'GET', '/v1/revocations')
  const read = verifyRevocationList(String(list), { trustDomain, bundles: bundlesOf(server), now })
  assert.deepEqual([read.revocations.length, read.sequence], [0, sequence])
  await stop(server)
})

test('a revocation lasts as long as the SVID of an agent may', async () => {
  const settings = { ...(await config()), 'agents.ttl': 3 * 86_400 }
  const server = await start(settings)
  const value = 'spiffe://example.com/aims/agent/join-token/0'
  const { expiresAt } = await api(server, 'POST', '/v1/revocations', { type: 'subject', value })
  assert.ok(Number(expiresAt) >= systemClock() + 3 * 86_400)
  await stop(server)
})

test('a verifier whose server is gone refuses everybody once its list is stale', async () => {
  const server = await start(await config())
  await api(server, 'POST', '/v1/entries', bot)
  const wit = await witOf(server)
  const bundles = bundlesOf(server)
  let now = systemClock()
  const failures: string[] = []
  const failed = Promise.withResolvers<void>()
  const revocations = followRevocations({
    server: apiClient({ socketPath: server.socketPath }),
    trustDomain,
    bundles,
    maxStaleness: 15,
    clock: () => now,
    onFailure: ({ code }) => {
      failures.push(code)
      failed.resolve()
    },
  })
  following.add(revocations)
  await revocations.ready()
  await stop(server)
  await failed.promise
  const status = () => revocations.statusOf({ subject: wit.subject, issuedAt: now, kind: 'wit' }, now)
  assert.equal(status(), 'good')
  now += 20
  assert.equal(status(), 'unknown')
  assert.match(String(failures[0]), /^operation\.(?:server_unreachable|shutting_down|busy)$/)
  assert.throws(
    () => followRevocations({ server: { send: async () => null }, trustDomain, bundles, maxStaleness: 5 }),
    TypeError,
  )
})
