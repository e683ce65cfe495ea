// An older store or log is refused until an operator accepts it, and what it forgot is named.
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, apiClient, type JsonValue, parseJsonObject } from 'aims/base'
import { parseBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AuditReader, type AuditRecord } from 'aims/monitoring'
import { eventuallyTrue } from '../../../../test/support/eventually.ts'
import { type AdminClient, adminClient } from '../admin-client.ts'
import { loadConfig } from '../config/config.ts'
import type { Configuration } from '../config/settings.ts'
import { type ServerOptions, startServer } from '../server.ts'
import { downgradeStore } from '../store/step-back.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-rollback-'))
after(() => rmSync(root, { recursive: true }))
const TRUST_DOMAIN = parseTrustDomain('example.com')
let count = 0

function config(change: { readonly [key: string]: JsonValue } = {}): Promise<Configuration> {
  const place = join(root, String(count++))
  mkdirSync(join(place, 'keys'), { recursive: true, mode: 0o700 })
  const overrides = {
    trustDomain: 'example.com',
    dataDirectory: join(place, 'data'),
    keyEncryptionKeyFile: join(place, 'keys', 'kek'),
    'listen.port': 0,
  }
  return loadConfig({ env: {}, overrides: { ...overrides, ...change } })
}

async function run(
  settings: Configuration,
  work: (admin: AdminClient, api: ApiClient) => Promise<unknown> = async () => undefined,
  options: ServerOptions = {},
): Promise<void> {
  const server = await startServer(settings, { log: () => undefined, ...options })
  const api = apiClient({ socketPath: server.socketPath })
  try {
    await work(adminClient(api), api)
  } finally {
    api.close()
    await server.close()
  }
}

const entry = (id: string) => ({
  id,
  spiffeId: `spiffe://example.com/agent/${id}`,
  selectors: ['unix:uid:1000'],
  owner: 'me',
  purpose: 'tests',
})
const create = (id: string) => (admin: AdminClient) => admin.createEntry(entry(id))
const files = ['store.sqlite', 'log.sqlite'] as const

function save({ dataDirectory }: Configuration): string {
  const copy = join(root, String(count++))
  cpSync(dataDirectory, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') })
  return copy
}

function putBack({ dataDirectory }: Configuration, copy: string, names: readonly string[] = files): void {
  for (const name of names) {
    for (const suffix of ['-wal', '-shm']) rmSync(join(dataDirectory, name + suffix), { force: true })
    copyFileSync(join(copy, name), join(dataDirectory, name))
  }
}

function events({ dataDirectory }: Configuration, type: string): readonly AuditRecord[] {
  using log = AuditReader.openFile(join(dataDirectory, 'log.sqlite'))
  return log.list({ type, limit: 10 }).map(({ record }) => record)
}

for (const [what, names, code] of [
  ['store and log', files, 'operation.store_rolled_back'],
  ['store alone', ['store.sqlite'], 'operation.store_rolled_back'],
  ['log alone', ['log.sqlite'], 'audit.rolled_back'],
] as const) {
  test(`an older ${what} is refused with ${code}, and what it forgot is named when it is accepted`, async () => {
    const settings = await config()
    await run(settings, create('bot'))
    const copy = save(settings)
    await run(settings, (admin) => admin.deleteEntry('bot'))
    putBack(settings, copy, names)
    await assert.rejects(run(settings), { name: 'AimsError', code })

    const lines: string[] = []
    await run(settings, undefined, { acceptOlderStore: true, log: (line) => lines.push(line) })
    const [accepted] = events(settings, 'operation.rollback-accepted')
    assert.ok(String(accepted?.reasons).includes(code))
    const lost = events(settings, 'operation.withdrawal-lost')
    assert.deepEqual(
      lost.map(({ action, resource }) => [action, resource.id]),
      [['provisioning.entry-deleted', 'bot']],
    )
    assert.match(
      lines.join('\n'),
      /lost by the older store: provisioning.entry-deleted bot spiffe:\/\/example.com\/agent\/bot/,
    )
    // Accepted once: the next start compares with that.
    await run(settings)
  })
}

const REVOKED = 'spiffe://example.com/agent/bot'
for (const [what, names] of [
  ['store and log', files],
  ['store alone', ['store.sqlite']],
] as const) {
  test(`an older ${what} names the keys and credentials that it takes for good again, and overtakes what others have seen`, async () => {
    const settings = await config()
    const steps = async (admin: AdminClient): Promise<string> => {
      await admin.stepAuthority({ step: 'prepare', purpose: 'wit' })
      const { id } = await admin.stepAuthority({ step: 'activate', purpose: 'wit', force: true })
      return id
    }
    let [tainted, revoked, copy] = ['', '', '']
    let seen = 0n
    const sequence = async (api: ApiClient): Promise<bigint> =>
      parseBundle(JSON.stringify(await api.send({ method: 'GET', path: '/v1/bundle' })), TRUST_DOMAIN).bundle
        .sequence ?? 0n
    await run(settings, async (admin) => {
      await create('bot')(admin)
      revoked = await steps(admin)
      tainted = await steps(admin)
      await steps(admin)
    })
    copy = save(settings)
    await run(settings, async (admin, api) => {
      await admin.stepAuthority({ step: 'taint', purpose: 'wit', id: tainted })
      await admin.stepAuthority({ step: 'taint', purpose: 'wit', id: revoked })
      await admin.stepAuthority({ step: 'revoke', purpose: 'wit', id: revoked })
      await api.send({ method: 'POST', path: '/v1/revocations', body: { type: 'subject', value: REVOKED } })
      seen = await sequence(api)
    })
    putBack(settings, copy, names)
    await assert.rejects(run(settings), { code: 'operation.store_rolled_back' })
    const work = async (_: AdminClient, api: ApiClient) => assert.ok((await sequence(api)) > seen)
    await run(settings, work, { acceptOlderStore: true })
    assert.deepEqual(
      new Set(events(settings, 'operation.withdrawal-lost').map(({ action, resource }) => `${action} ${resource.id}`)),
      new Set([
        `provisioning.key-tainted ${tainted}`,
        `provisioning.key-tainted ${revoked}`,
        `provisioning.key-revoked ${revoked}`,
        `provisioning.revoked ${REVOKED}`,
      ]),
    )
  })
}

test('changes that no agent sees count, too: a join token that was used up or revoked does not come back', async () => {
  const settings = await config()
  const remembered = () => parseJsonObject(readFileSync(settings['rollback.file'], 'utf8').split('\n')[0] ?? '')
  await run(settings)
  const [copy, before] = [save(settings), remembered()]
  const server = await startServer(settings)
  const api = apiClient({ socketPath: server.socketPath })
  await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name: 'host-1' } })
  api.close()
  await server.close()
  assert.equal(remembered().revision, before.revision)
  putBack(settings, copy, ['store.sqlite'])
  await assert.rejects(run(settings), { code: 'operation.store_rolled_back' })
})

test('a change is remembered while the server runs, not only when it stops in order', async () => {
  const settings = await config()
  await run(settings, async (admin) => {
    const before = readFileSync(settings['rollback.file'], 'utf8')
    await admin.createEntry(entry('bot'))
    await eventuallyTrue(async () => readFileSync(settings['rollback.file'], 'utf8') !== before)
  })
})

test('a memory that is gone is missed, and --accept-older-store makes a new one', async () => {
  const settings = await config()
  await run(settings)
  rmSync(settings['rollback.file'])
  await assert.rejects(run(settings), { code: 'operation.rollback_memory_missing' })
  await run(settings, undefined, { acceptOlderStore: true })
  assert.equal(events(settings, 'operation.rollback-accepted').length, 1)
  await run(settings)
})

// [provisioning.backup.04]
test('a data directory that was emptied is refused, and a new log begins only when it is accepted', async () => {
  const settings = await config()
  await run(settings, create('bot'))
  rmSync(settings.dataDirectory, { recursive: true })
  await assert.rejects(run(settings), { code: 'operation.store_rolled_back' })
  await run(settings, undefined, { acceptOlderStore: true })
  await run(settings)
})

for (const [what, change] of [
  ['one character differs', (text: string) => text.replace('"revision":', '"revision": ')],
  ['a lower generation was written in', (text: string) => text.replace(/"generation":\d+/, '"generation":0')],
  ['it was cut', (text: string) => text.slice(0, -10)],
  ['it is empty', () => ''],
  ['something follows', (text: string) => `${text}x\n`],
] as const) {
  test(`a memory is refused when ${what}, whether or not an older store is accepted`, async () => {
    const settings = await config()
    await run(settings)
    const file = settings['rollback.file']
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, change(text))
    for (const acceptOlderStore of [false, true]) {
      await assert.rejects(run(settings, undefined, { acceptOlderStore }), {
        code: 'operation.rollback_memory_invalid',
      })
    }
    writeFileSync(file, text)
    await run(settings)
  })
}

test('the memory of another trust domain under the same key is refused', async () => {
  const settings = await config()
  await run(settings)
  const other = await config({
    trustDomain: 'other.example',
    keyEncryptionKeyFile: settings.keyEncryptionKeyFile,
    'rollback.file': settings['rollback.file'],
  })
  await assert.rejects(run(other, undefined, { acceptOlderStore: true }), { code: 'operation.rollback_memory_invalid' })
})

test('a server that cannot remember does not start', async () => {
  const settings = await config({ 'rollback.file': join(root, 'no', 'such', 'directory') })
  await assert.rejects(run(settings), { code: 'operation.rollback_file_unwritable' })
})

test('a store that was taken one step back opens again, with its entries, and the log tells of it', async () => {
  const settings = await config()
  await run(settings, create('bot'))
  const { from, to } = await downgradeStore(settings)
  assert.equal(from - to, 1)
  assert.equal(events(settings, 'operation.store-downgraded').length, 1)
  await run(settings, async (admin) => assert.equal((await admin.listEntries()).length, 1))
  // The memory counts again from there.
  const copy = save(settings)
  await run(settings, (admin) => admin.deleteEntry('bot'))
  putBack(settings, copy)
  await assert.rejects(run(settings), { code: 'operation.store_rolled_back' })
})

test('the store of a server that runs is not taken back', async () => {
  const settings = await config()
  await run(settings, async () => {
    await assert.rejects(downgradeStore(settings), { code: 'storage.locked' })
  })
})

test('a memory that cannot be written is told of once, and when it is written again', async () => {
  const settings = await config()
  const file = settings['rollback.file']
  const lines: string[] = []
  const attempts = (): readonly string[] => lines.filter((line) => line.includes('rollback memory'))
  await run(
    settings,
    async (admin) => {
      // Where the new one is begun lies something that is not taken away.
      mkdirSync(`${file}.new`)
      for (const id of ['a', 'b', 'c']) {
        await create(id)(admin)
        await eventuallyTrue(async () => attempts().length > 0)
        // The next change is a moment of its own.
        await sleep(300)
      }
      rmSync(`${file}.new`, { recursive: true })
      await create('d')(admin)
      await eventuallyTrue(async () => attempts().length > 1)
    },
    { log: (line) => lines.push(line) },
  )
  assert.deepEqual(attempts(), [
    `aims server: rollback memory: operation.rollback_file_unwritable: ${file}: cannot be written`,
    'aims server: rollback memory: written again, after operation.rollback_file_unwritable',
  ])
})
