import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { chmodSync, copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type AuditEvent,
  apiClient,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  systemClock,
  WorkloadKey,
} from 'aims/base'
import { limitRefusals, remoteObserver } from 'aims/monitoring'
import { adminClient } from './admin-client.ts'
import { loadConfig } from './config/config.ts'
import type { Configuration } from './config/settings.ts'
import { type RunningServer, startServer } from './server.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-server-'))
const running = new Set<RunningServer>()
after(async () => {
  for (const server of running) await server.close()
  rmSync(root, { recursive: true })
})

let number = 0
async function config(change: { readonly [key: string]: JsonValue } = {}): Promise<Configuration> {
  number += 1
  const dataDirectory = join(root, String(number))
  return loadConfig({ env: {}, overrides: { trustDomain: 'example.com', dataDirectory, 'listen.port': 0, ...change } })
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

async function api(
  server: RunningServer,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
): Promise<JsonObject> {
  const client = apiClient({ socketPath: server.socketPath })
  try {
    const answer = await client.send({ method, path, ...(body === undefined ? {} : { body }) })
    return isJsonObject(answer) ? answer : {}
  } finally {
    client.close()
  }
}

const who = { owner: 'test', purpose: 'test' }
const bot = { id: 'bot', spiffeId: 'spiffe://example.com/agent/bot', selectors: ['unix:uid:1000'], ...who }
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }
const jwk = () => WorkloadKey.generate().publicKey.export({ format: 'jwk' })

test('a new server makes its keys, takes an entry, issues for it, and has all of it in its log', async () => {
  const server = await start(await config())
  const entry = await api(server, 'POST', '/v1/entries', bot)
  assert.equal(entry.x509Ttl, 3600)
  const issued = await api(server, 'POST', '/v1/agent/x509-svids', { entryId: 'bot', posture, publicKey: jwk() })
  assert.match(String(issued.serialNumber), /^[0-9a-f]{32,34}$/)
  const { records } = await api(server, 'GET', '/v1/audit/records?agent=spiffe://example.com/agent/bot')
  assert.deepEqual(
    (records as JsonObject[]).map(({ type }) => type),
    ['provisioning.issued'],
  )
  const created = await api(server, 'GET', '/v1/audit/records?type=provisioning.entry-created')
  const [record] = created.records as JsonObject[]
  assert.deepEqual({ ...(record?.agent as object) }, { id: `unix:uid:${process.geteuid?.()}`, method: 'unix' })
  await stop(server)
})

// The key of a workload on this host is not used before it is certified: what is wrong with it must show without that.
test('a key that is none gets no credential', async () => {
  const server = await start(await config())
  await api(server, 'POST', '/v1/entries', bot)
  const { y, ...half } = jwk()
  for (const path of ['/v1/agent/x509-svids', '/v1/agent/wits']) {
    const refused = (publicKey: object, code: string) =>
      assert.rejects(api(server, 'POST', path, { entryId: 'bot', posture, publicKey }), { code })
    await refused({ ...half, y: half.x }, 'key.malformed')
    await refused(half, 'key.malformed')
    await refused({ ...half, y, d: half.x }, 'key.private')
    await refused({ ...half, y, alg: 'ES384' }, 'key.alg_mismatch')
  }
  await stop(server)
})

test('a profile whose last day has passed is told of at the start', async () => {
  const lines: string[] = []
  const settings = await config({ profiles: { 'aims-00': '2020-01-31', 's2s-03-compat': '2999-12-31' } })
  const server = await startServer(settings, { log: (line) => lines.push(line) })
  await server.close()
  assert.deepEqual(lines, [
    'aims server: profile aims-00 is off: its last day was 2020-01-31. Give it a later one, or take it out',
  ])
})

test('a restart keeps keys, entries, log and the revision, and goes on', async () => {
  const settings = await config()
  const first = await start(settings)
  await api(first, 'POST', '/v1/entries', bot)
  const before = await api(first, 'GET', '/v1/agent/entries')
  await stop(first)
  const second = await start(settings)
  const after = await api(second, 'GET', '/v1/agent/entries')
  assert.deepEqual(after, before)
  assert.equal(second.logKey, first.logKey)
  const issued = await api(second, 'POST', '/v1/agent/wits', { entryId: 'bot', posture, publicKey: jwk() })
  assert.equal(String(issued.token).split('.').length, 3)
  await stop(second)
})

// One row per change of an entry that is refused.
// [identifiers.wimse-id.15] [identifiers.wimse-id.16] [identifiers.aims.01] [identifiers.aims.02] [identifiers.aims.04]
test('entries are one per SPIFFE ID, keep it, and never pass it on', async () => {
  const server = await start(await config())
  await api(server, 'POST', '/v1/entries', bot)
  const refused = (method: 'POST' | 'PUT' | 'DELETE' | 'GET', path: string, body: object | undefined, code: string) =>
    assert.rejects(api(server, method, path, body), { code })
  await refused('POST', '/v1/entries', bot, 'provisioning.entry_exists')
  await refused('POST', '/v1/entries', { ...bot, id: 'two' }, 'provisioning.subject_taken')
  const misspelt = { id: 'misspelt', spiffeId: 'spiffe://example.com/agent/misspelt', selectors: ['unix:uuid:1000'] }
  await refused('POST', '/v1/entries', misspelt, 'provisioning.malformed_selector')
  await refused(
    'POST',
    '/v1/entries',
    { ...bot, id: 'x', spiffeId: 'spiffe://example.com/aims/server' },
    'provisioning.invalid_subject',
  )
  await refused('POST', '/v1/entries', { ...bot, id: 'x', spifeId: 'y' }, 'provisioning.unknown_member')
  const nobodys = { ...bot, id: 'x', spiffeId: 'spiffe://example.com/agent/x', purpose: '' }
  await refused('POST', '/v1/entries', nobodys, 'provisioning.purpose_missing')
  await refused('PUT', '/v1/entries/bot?revision=1', { ...bot, owner: '' }, 'provisioning.owner_missing')
  await refused('PUT', '/v1/entries/bot?revision=2', bot, 'provisioning.revision_conflict')
  await refused('PUT', '/v1/entries/bot', bot, 'operation.request_malformed')
  await refused(
    'PUT',
    '/v1/entries/bot?revision=1',
    { ...bot, spiffeId: 'spiffe://example.com/b' },
    'provisioning.subject_fixed',
  )
  await refused('DELETE', '/v1/entries/none', undefined, 'provisioning.entry_not_found')
  const updated = await api(server, 'PUT', '/v1/entries/bot?revision=1', { ...bot, owner: 'team' })
  assert.equal(updated.revision, 2)
  await api(server, 'DELETE', '/v1/entries/bot')
  await refused('GET', '/v1/entries/bot', undefined, 'provisioning.entry_not_found')
  await refused('POST', '/v1/entries', bot, 'provisioning.entry_exists')
  await refused('POST', '/v1/entries', { ...bot, id: 'new' }, 'provisioning.subject_retired')
  await api(server, 'POST', '/v1/entries?reuseRetired=true', { ...bot, id: 'new' })
  await stop(server)
})

test('an agent that waits hears of a change at once', async () => {
  const server = await start(await config())
  const { revision } = await api(server, 'GET', '/v1/agent/entries')
  const waiting = api(server, 'GET', `/v1/agent/entries?after=${String(revision)}`)
  await api(server, 'POST', '/v1/entries', bot)
  const changed = await waiting
  assert.notEqual(changed.revision, revision)
  assert.equal((changed.entries as JsonObject[]).length, 1)
  await stop(server)
})

// [credentials.bundle.16]
test('a rotation publishes the new key, signs with it when told to, and keeps the old one in the bundle', async () => {
  const server = await start(await config())
  const keys = async () =>
    ((await api(server, 'GET', '/v1/keys')).keys as JsonObject[]).filter(({ purpose }) => purpose === 'x509-ca')
  const sequence = async () => Number((await api(server, 'GET', '/v1/bundle')).spiffe_sequence)
  const before = await sequence()
  await api(server, 'POST', '/v1/keys/rotate', { purpose: 'x509-ca' })
  assert.deepEqual(
    (await keys()).map(({ state }) => state),
    ['active', 'prepared'],
  )
  assert.equal(await sequence(), before + 1)
  await api(server, 'POST', '/v1/keys/rotate', { purpose: 'x509-ca', immediately: true })
  assert.deepEqual(
    (await keys()).map(({ state }) => state),
    ['retired', 'active'],
  )
  const bundle = (await api(server, 'GET', '/v1/bundle')).keys as JsonObject[]
  assert.equal(bundle.filter(({ use }) => use === 'x509-svid').length, 2)
  await assert.rejects(api(server, 'POST', '/v1/keys/rotate', { purpose: 'audit-log' }), {
    code: 'operation.request_malformed',
  })
  await stop(server)
})

// As a gateway or an agent bounds what strangers make it refuse.
test('a service that reports tells also how many refusals it has left out', async () => {
  const server = await start(await config())
  const client = apiClient({ socketPath: server.socketPath })
  let now = 1_700_000_000
  const observer = limitRefusals(remoteObserver(client), { name: 'events-api', clock: () => now, perWindow: 2 })
  const refused = (n: number): AuditEvent => ({
    type: 'authentication.refused',
    resource: { type: 'http', id: '/' },
    action: 'GET',
    decision: 'deny',
    reasons: ['proof.expired'],
    correlationId: `refused-${n}`,
  })
  for (let n = 0; n < 5; n += 1) await observer.record(refused(n))
  now += 61
  await observer.flush()
  const told = await Promise.all(
    ['authentication.refused', 'monitoring.refusals-limited', 'monitoring.refusals-omitted'].map((type) =>
      adminClient(client).listRecords({ type }),
    ),
  )
  assert.deepEqual(
    told.map(({ length }) => length),
    [2, 1, 1],
  )
  const [omitted] = told[2] ?? []
  assert.deepEqual([omitted?.details?.omitted, omitted?.details?.reporter], [3, `unix:uid:${process.geteuid?.()}`])
  client.close()
  await stop(server)
})

test('an event that a caller reports carries the name of the caller, which it cannot choose', async () => {
  const server = await start(await config())
  const event = {
    type: 'authentication.refused',
    resource: { type: 'service', id: 'spiffe://example.com/service/events-api' },
    action: 'POST',
    decision: 'deny',
    correlationId: 'c1',
  }
  const { index } = await api(server, 'POST', '/v1/audit/events', event)
  const { records } = await api(server, 'GET', '/v1/audit/records?correlationId=c1')
  const [record] = records as JsonObject[]
  assert.deepEqual({ ...(record?.details as JsonObject) }, { reporter: `unix:uid:${process.geteuid?.()}` })
  const proof = await api(server, 'GET', `/v1/audit/records/${String(index)}`)
  assert.match(String(proof.receipt), /^c2sp.org\/tlog-proof@v1\n/)
  const refused = (change: object, code: string) =>
    assert.rejects(api(server, 'POST', '/v1/audit/events', { ...event, ...change }), { code })
  await refused({ details: { reporter: 'spiffe://example.com/other' } }, 'operation.request_malformed')
  await refused({ type: 'provisioning.issued' }, 'operation.not_permitted')
  await refused({ type: 'monitoring.log-opened' }, 'operation.not_permitted')
  await refused({ type: 'authentication' }, 'operation.not_permitted')
  await refused({ index: 0 }, 'audit.unknown_field')
  await refused({ decision: 'maybe' }, 'audit.invalid_field')
  await stop(server)
})

test('the API describes all its routes', async () => {
  const server = await start(await config())
  const document = await api(server, 'GET', '/v1/openapi.json')
  assert.equal(document.openapi, '3.1.0')
  const paths = Object.keys(document.paths as object)
  for (const path of ['/v1/entries/{id}', '/v1/agent/wits', '/v1/audit/events', '/v1/openapi.json']) {
    assert.ok(paths.includes(path), path)
  }
  await stop(server)
})

// What keeps a server from starting, each with its own code.
const cannotStart: readonly (readonly [string, (settings: Configuration) => unknown, string])[] = [
  [
    'the key-encryption key can be read by others',
    (c) => chmodSync(c.keyEncryptionKeyFile, 0o644),
    'operation.key_file_mode',
  ],
  [
    'the key-encryption key is gone',
    (c) => renameSync(c.keyEncryptionKeyFile, `${c.keyEncryptionKeyFile}.away`),
    'operation.key_file_missing',
  ],
  [
    'the key-encryption key is another one',
    (c) => writeFileSync(c.keyEncryptionKeyFile, Buffer.alloc(32, 7)),
    'operation.key_file_wrong',
  ],
  ['the data directory is open to others', (c) => chmodSync(c.dataDirectory, 0o755), 'operation.data_directory_open'],
  [
    'the store is from a newer version',
    (c) => sql(c, 'store.sqlite', 'PRAGMA user_version = 99'),
    'storage.newer_version',
  ],
  ['the log is from a newer version', (c) => sql(c, 'log.sqlite', 'PRAGMA user_version = 99'), 'storage.newer_version'],
  [
    'an entry was written into the database',
    (c) => sql(c, 'store.sqlite', `UPDATE entries SET body = replace(body, 'uid:1000', 'uid:0')`),
    'operation.store_damaged',
  ],
  [
    'a stored key was exchanged',
    (c) =>
      sql(
        c,
        'store.sqlite',
        `UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE purpose = 'jwt') WHERE purpose = 'wit'`,
      ),
    'operation.store_damaged',
  ],
  [
    'an entry was deleted from the database',
    (c) => sql(c, 'store.sqlite', 'DELETE FROM entries'),
    'operation.store_damaged',
  ],
  [
    'an authority got another certificate in the database',
    (c) => sql(c, 'store.sqlite', `UPDATE keys SET certificate = x'3000' WHERE purpose = 'x509-ca'`),
    'operation.store_damaged',
  ],
  [
    'the store is no database',
    (c) => writeFileSync(join(c.dataDirectory, 'store.sqlite'), 'x'.repeat(8192)),
    'storage.corrupt',
  ],
  ['a file lies where the socket belongs', (c) => writeFileSync(c['api.socket'], ''), 'operation.socket_foreign'],
]

for (const [what, prepare, code] of cannotStart) {
  test(`a server does not start when ${what}`, async () => {
    const settings = await config()
    const server = await start(settings)
    await api(server, 'POST', '/v1/entries', bot)
    await stop(server)
    await prepare(settings)
    await assert.rejects(start(settings), { code })
  })
}

async function sql(settings: Configuration, file: string, statement: string): Promise<void> {
  const { DatabaseSync } = await import('node:sqlite')
  const db = new DatabaseSync(join(settings.dataDirectory, file))
  db.exec(statement)
  db.close()
}

test('a second server does not start in the data directory of the first, nor on its port', async () => {
  const settings = await config()
  const server = await start(settings)
  await assert.rejects(start(settings), { code: 'storage.locked' })
  await assert.rejects(start(await config({ 'listen.port': server.port })), { code: 'operation.port_busy' })
  await assert.rejects(start(await config({ 'listen.host': '192.0.2.1' })), { code: 'operation.address_unavailable' })
  await assert.rejects(start(await config({ 'api.socket': settings['api.socket'] })), { code: 'operation.socket_busy' })
  await stop(server)
})

test('a failed start leaves nothing behind that keeps the next one from starting', async () => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => blocker.once('listening', resolve))
  const address = blocker.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const settings = await config({ 'listen.port': port })
  await assert.rejects(start(settings), { code: 'operation.port_busy' })
  blocker.close()
  await stop(await start(settings))
})

test('a data directory belongs to one trust domain and one log', async () => {
  const settings = await config()
  await stop(await start(settings))
  const { dataDirectory } = settings
  await assert.rejects(start(await config({ dataDirectory, trustDomain: 'other.example' })), {
    code: 'operation.config_invalid',
  })
  await assert.rejects(start(await config({ dataDirectory, 'log.origin': 'other' })), {
    code: 'operation.config_invalid',
  })
})

test('a clock that went back by more than a minute is refused, and one that went back less is not', async () => {
  const settings = await config()
  await stop(await start(settings))
  await assert.rejects(
    start(settings, () => systemClock() - 62),
    {
      code: 'operation.clock_went_back',
      message: /6\d s behind.*wait: from \d{4}-\d\d-\d\dT[\d:.]+Z on the server starts$/,
    },
  )
  await stop(await start(settings, () => systemClock() - 50))
})

test('a copy of an older log under the same store is no log of this server', async () => {
  const settings = await config()
  const other = await config()
  await stop(await start(settings))
  await stop(await start(other))
  copyFileSync(join(other.dataDirectory, 'log.sqlite'), join(settings.dataDirectory, 'log.sqlite'))
  await assert.rejects(start(settings), { code: 'audit.wrong_key' })
})

test('stopping lets a request under way end and refuses new ones', async () => {
  const server = await start(await config())
  const { revision } = await api(server, 'GET', '/v1/agent/entries')
  const waiting = apiClient({ socketPath: server.socketPath })
  const path = `/v1/agent/entries?after=${String(revision)}`
  const arrived = new Promise<void>((resolve) => {
    subscribe('http.server.request.start', (message) => {
      if (isStartOf(message, path)) resolve()
    })
  })
  const pending = waiting.send({ method: 'GET', path })
  await arrived
  await stop(server)
  assert.equal(await pending, undefined)
  await assert.rejects(api(server, 'GET', '/healthz'), { code: 'operation.server_unreachable' })
})

function isStartOf(message: unknown, path: string): boolean {
  return (message as { readonly request: { readonly url?: string } }).request.url === path
}
