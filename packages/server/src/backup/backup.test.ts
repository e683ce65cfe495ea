// A backup of a server that works, what is refused of it, and what comes back when it is restored.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { apiClient, type JsonValue, readKeyEncryptionKey } from 'aims/base'
import { AuditReader } from 'aims/monitoring'
import { adminClient } from '../admin-client.ts'
import { loadConfig } from '../config/config.ts'
import type { Configuration } from '../config/settings.ts'
import { startServer } from '../server.ts'
import { openStore } from '../store/database.ts'
import { openMeta } from '../store/meta.ts'
import { checkBackup } from './check.ts'
import { downloadBackup } from './download.ts'
import { restoreBackup } from './restore.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-backup-'))
after(() => rmSync(root, { recursive: true }))
const [kek, backup] = [join(root, 'kek'), join(root, 'backup')]
let count = 0
const fresh = (): string => join(root, String(count++))
const configure = (change: { readonly [key: string]: JsonValue } = {}): Promise<Configuration> =>
  loadConfig({
    env: {},
    overrides: {
      trustDomain: 'example.com',
      dataDirectory: fresh(),
      keyEncryptionKeyFile: kek,
      'listen.port': 0,
      ...change,
    },
  })
// Another machine, which remembers nothing.
const elsewhere = (change: { readonly [key: string]: JsonValue } = {}) =>
  configure({ 'rollback.file': fresh(), ...change })
const entry = (id: string) => ({
  id,
  spiffeId: `spiffe://example.com/agent/${id}`,
  selectors: ['unix:uid:1000', 'unix:gid:1000'],
  owner: 'me',
  purpose: 'tests',
})
let first: Configuration

before(async () => {
  first = await configure()
  const server = await startServer(first, { log: () => undefined })
  const api = apiClient({ socketPath: server.socketPath })
  const admin = adminClient(api)
  for (let n = 0; n < 20; n += 1) await admin.createEntry(entry(`e${n}`))
  // Entries go on being made while the copy is.
  const [{ manifest }] = await Promise.all([downloadBackup(api, backup), admin.createEntry(entry('meanwhile'))])
  await admin.stepAuthority({ step: 'prepare', purpose: 'wit' })
  assert.ok(manifest.logSize >= 21)
  await admin.deleteEntry('e0')
  api.close()
  await server.close()
})

function changed(change: (directory: string) => void): string {
  const copy = fresh()
  cpSync(backup, copy, { recursive: true })
  change(copy)
  return copy
}

const key = () => readKeyEncryptionKey(kek)

// [provisioning.backup.01]
test('a backup has store, log and manifest, verifies with and without the key, and has no key in it', async () => {
  assert.deepEqual(readdirSync(backup).sort(), ['log.sqlite', 'manifest.json', 'store.sqlite'])
  assert.equal((await checkBackup(backup)).isSealChecked, false)
  assert.equal((await checkBackup(backup, { key: key() })).isSealChecked, true)
  for (const name of readdirSync(backup))
    assert.equal(readFileSync(join(backup, name)).includes(readFileSync(kek)), false)
  assert.equal(readdirSync(first.dataDirectory).includes('backup-under-way'), false)
})

for (const [what, code, change] of [
  [
    'the store has a byte more',
    'operation.backup_invalid',
    (d: string) => appendFileSync(join(d, 'store.sqlite'), 'x'),
  ],
  ['the log is missing', 'operation.backup_invalid', (d: string) => rmSync(join(d, 'log.sqlite'))],
  [
    'the log is a pipe',
    'operation.backup_invalid',
    (d: string) => {
      rmSync(join(d, 'log.sqlite'))
      execFileSync('mkfifo', [join(d, 'log.sqlite')])
    },
  ],
  [
    'the manifest is a pipe',
    'operation.backup_invalid',
    (d: string) => {
      rmSync(join(d, 'manifest.json'))
      execFileSync('mkfifo', [join(d, 'manifest.json')])
    },
  ],
  ['the manifest is missing', 'operation.backup_invalid', (d: string) => rmSync(join(d, 'manifest.json'))],
  [
    'the manifest names another time',
    'operation.backup_invalid',
    (d: string) => {
      const path = join(d, 'manifest.json')
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"createdAt": "2/, '"createdAt": "1'))
    },
  ],
] as const) {
  test(`a backup is refused with ${code} when ${what}, and nothing is left in the data directory`, async () => {
    const from = changed(change)
    await assert.rejects(checkBackup(from, { key: key() }), { name: 'AimsError', code })
    const config = await elsewhere()
    await assert.rejects(restoreBackup(config, { from }), { name: 'AimsError', code })
    assert.deepEqual(readdirSync(config.dataDirectory), ['lock'])
  })
}

test('what an operator keeps in the data directory stays when a server starts and copies', async () => {
  const config = await elsewhere()
  const mine = join(config.dataDirectory, 'backups', 'yesterday')
  mkdirSync(config.dataDirectory, { mode: 0o700 })
  cpSync(backup, mine, { recursive: true })
  const server = await startServer(config, { log: () => undefined })
  const api = apiClient({ socketPath: server.socketPath })
  try {
    await downloadBackup(api, join(config.dataDirectory, 'backups', 'today'))
  } finally {
    api.close()
    await server.close()
  }
  assert.deepEqual(readdirSync(join(config.dataDirectory, 'backups')), ['today', 'yesterday'])
})

test('a restored server has its entries, log and keys, and the log tells of it', async () => {
  const config = await elsewhere()
  // As on a disk that keeps no modes.
  const open = changed((d) => readdirSync(d).forEach((name) => void chmodSync(join(d, name), 0o644)))
  await restoreBackup(config, { from: open })
  const modes = ['store.sqlite', 'log.sqlite'].map((name) => statSync(join(config.dataDirectory, name)).mode & 0o777)
  assert.deepEqual(modes, [0o600, 0o600])
  const server = await startServer(config, { log: () => undefined })
  const api = apiClient({ socketPath: server.socketPath })
  assert.ok((await adminClient(api).listEntries()).length >= 20)
  const restored = await adminClient(api).listRecords({ type: 'operation.restored' })
  assert.equal(restored.length, 1)
  api.close()
  await server.close()
})

test('a restored server tells of a newer bundle and of newer changes than it did before', async () => {
  const config = await elsewhere()
  const counters = ({ dataDirectory }: Configuration) => {
    using db = openStore(join(dataDirectory, 'store.sqlite'), { readOnly: true })
    const meta = openMeta(db)
    return { revision: meta.counter('revision'), bundle: meta.counter('bundle_sequence') }
  }
  // What partners and agents may have seen.
  const seen = counters(first)
  await restoreBackup(config, { from: backup })
  const { revision, bundle } = counters(config)
  assert.ok(revision > seen.revision && bundle > seen.bundle)
  await (await startServer(config, { log: () => undefined })).close()
})

test('a data directory that holds something is refused, and one where a restore was interrupted is not', async () => {
  const config = await elsewhere()
  mkdirSync(config.dataDirectory, { mode: 0o700 })
  writeFileSync(join(config.dataDirectory, 'store.sqlite'), '')
  await assert.rejects(restoreBackup(config, { from: backup }), { code: 'operation.data_directory_not_empty' })
  // As a process leaves it that was killed between the two files.
  rmSync(join(config.dataDirectory, 'store.sqlite'))
  mkdirSync(join(config.dataDirectory, 'restoring'), { mode: 0o700 })
  copyFileSync(join(backup, 'log.sqlite'), join(config.dataDirectory, 'log.sqlite'))
  await assert.rejects(startServer(config), { code: 'operation.restore_unfinished' })
  await restoreBackup(config, { from: backup })
  await (await startServer(config, { log: () => undefined })).close()
})

test('a backup of another trust domain, or under another key, or without one, is refused', async () => {
  const foreign = await elsewhere({ trustDomain: 'other.example' })
  await assert.rejects(restoreBackup(foreign, { from: backup }), { code: 'operation.backup_foreign' })
  const other = fresh()
  writeFileSync(other, randomBytes(32), { mode: 0o600 })
  const wrong = await elsewhere({ keyEncryptionKeyFile: other })
  await assert.rejects(restoreBackup(wrong, { from: backup }), { code: 'operation.key_file_wrong' })
  const none = await elsewhere({ keyEncryptionKeyFile: fresh() })
  await assert.rejects(restoreBackup(none, { from: backup }), { code: 'operation.key_file_missing' })
})

test('a backup older than remembered is refused; accepted, it names what was withdrawn after it', async () => {
  const config = await configure()
  await assert.rejects(restoreBackup(config, { from: backup }), { code: 'operation.store_rolled_back' })
  const { lost } = await restoreBackup(config, { from: backup, acceptRollback: true })
  assert.deepEqual(
    lost.map(({ type, id }) => [type, id]),
    [['provisioning.entry-deleted', 'e0']],
  )
  await (await startServer(config, { log: () => undefined })).close()
  using log = AuditReader.openFile(join(config.dataDirectory, 'log.sqlite'))
  assert.equal(log.list({ type: 'operation.rollback-accepted', limit: 5 }).length, 1)
  assert.equal(log.list({ type: 'operation.withdrawal-lost', limit: 5 }).length, 1)
})
