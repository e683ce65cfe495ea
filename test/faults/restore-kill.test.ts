// aims restore as a process: refused for every way in which a backup can be wrong, and killed at any moment.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AimsError, apiClient, readKeyEncryptionKey } from 'aims/base'
import { adminClient, downloadBackup, loadConfig, startServer } from 'aims-server'
import { formatManifest, readManifest } from '../../packages/server/src/backup/manifest.ts'
import { aims } from '../support/cli.ts'

const ROUNDS = Number(process.env.AIMS_RESTORE_KILL_ROUNDS ?? 6)
const root = mkdtempSync(join(tmpdir(), 'aims-restore-kill-'))
after(() => rmSync(root, { recursive: true }))
const [kek, backup] = [join(root, 'kek'), join(root, 'backup')]
const program = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const FLAGS = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', program]

before(async () => {
  const overrides = {
    trustDomain: 'example.com',
    dataDirectory: join(root, 'data'),
    keyEncryptionKeyFile: kek,
    'listen.port': 0,
  }
  const server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  const api = apiClient({ socketPath: server.socketPath })
  const who = { selectors: ['unix:uid:1000'], owner: 'me', purpose: 'tests' }
  for (let n = 0; n < 5; n += 1) {
    await adminClient(api).createEntry({ ...who, id: `e${n}`, spiffeId: `spiffe://example.com/service/${n}` })
  }
  await downloadBackup(api, backup)
  api.close()
  await server.close()
})

let count = 0
interface Target {
  readonly directory: string
  readonly config: string
}
// Another machine, which remembers nothing.
function target(key: string = kek, trustDomain = 'example.com'): Target {
  count += 1
  const directory = join(root, `restored-${count}`)
  const config = join(root, `aims-${count}.yaml`)
  const rollback = { file: join(root, `rollback-${count}`) }
  const settings = { trustDomain, dataDirectory: directory, keyEncryptionKeyFile: key, rollback, listen: { port: 0 } }
  writeFileSync(config, JSON.stringify(settings))
  return { directory, config }
}
async function restore(from: string, { config }: Target): Promise<{ readonly exit: number; readonly code: unknown }> {
  const { exit, results } = await aims('restore', `--from=${from}`, `--config=${config}`)
  return { exit, code: results[0]?.code }
}
function changed(name: string, change: (directory: string) => void): string {
  const copy = join(root, name)
  cpSync(backup, copy, { recursive: true })
  change(copy)
  return copy
}
const left = ({ directory }: Target): readonly string[] =>
  existsSync(directory) ? readdirSync(directory).filter((name) => name !== 'lock') : []

const isBegun = ({ directory }: Target): boolean => existsSync(join(directory, 'restoring'))

/** The manifest with another member, under the right key: as another version of this program would have written it. */
function rewritten(directory: string, change: object): void {
  const key = readKeyEncryptionKey(kek)
  assert.ok(key)
  writeFileSync(join(directory, 'manifest.json'), formatManifest({ ...readManifest(directory, key), ...change }, key))
}
const flipMiddle = (path: string): void => {
  const bytes = readFileSync(path)
  const middle = bytes.length >> 1
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
  writeFileSync(path, bytes)
}
const cutOff = (path: string): void => writeFileSync(path, readFileSync(path).subarray(0, -4096))

// [provisioning.backup.02]
test('a backup that is wrong is refused by aims restore and aims backup verify alike, and leaves nothing behind', async () => {
  const foreign = join(root, 'other-kek')
  writeFileSync(foreign, Buffer.alloc(32, 7), { mode: 0o600 })
  const store = (directory: string): string => join(directory, 'store.sqlite')
  const rows: readonly (readonly [what: string, from: string, key: string, code: string])[] = [
    ['made under another key', backup, foreign, 'operation.key_file_wrong'],
    ['without its key', backup, join(root, 'absent'), 'operation.key_file_missing'],
    ['with a byte changed', changed('changed', (d) => flipMiddle(store(d))), kek, 'operation.backup_invalid'],
    [
      'with a byte of its log changed',
      changed('log', (d) => flipMiddle(join(d, 'log.sqlite'))),
      kek,
      'operation.backup_invalid',
    ],
    ['cut off', changed('cut', (d) => cutOff(store(d))), kek, 'operation.backup_invalid'],
    ['without its manifest', changed('bare', (d) => rmSync(join(d, 'manifest.json'))), kek, 'operation.backup_invalid'],
    ['of a newer version', changed('newer', (d) => rewritten(d, { storeVersion: 9999 })), kek, 'storage.newer_version'],
    [
      'that names an older schema than its store has',
      changed('older', (d) => rewritten(d, { storeVersion: 1 })),
      kek,
      'storage.newer_version',
    ],
    [
      'that names another size of its log',
      changed('size', (d) => rewritten(d, { logSize: 1 })),
      kek,
      'operation.backup_invalid',
    ],
    ['that is not there', join(root, 'none'), kek, 'operation.backup_invalid'],
  ]
  for (const [what, from, key, code] of rows) {
    const to = target(key)
    const { exit, code: given } = await restore(from, to)
    assert.deepEqual([given, left(to)], [code, []], what)
    assert.equal(exit, 3, what)
    const verified = await aims('backup', 'verify', `--from=${from}`, `--key-file=${key}`)
    assert.equal(verified.results[0]?.code, code, what)
    assert.notEqual(verified.exit, 0, what)
  }
  const elsewhere = target(kek, 'other.example')
  assert.deepEqual(
    [await restore(backup, elsewhere), left(elsewhere)],
    [{ exit: 3, code: 'operation.backup_foreign' }, []],
  )
})

test('a directory that holds something is not written to', async () => {
  const to = target()
  assert.deepEqual(await restore(backup, to), { exit: 0, code: undefined })
  const before = left(to)
  assert.deepEqual(await restore(backup, to), { exit: 3, code: 'operation.data_directory_not_empty' })
  assert.deepEqual(left(to), before)
})

// [provisioning.backup.03]
test(`killed at any moment, over ${ROUNDS} kills, a restore leaves no server that starts with half of it`, async (t) => {
  const start = (to: Target): ChildProcess =>
    spawn(process.execPath, [...FLAGS, 'restore', `--from=${backup}`, `--config=${to.config}`, '--json'], {
      stdio: 'ignore',
    })
  const quick = performance.now()
  const [exit] = await once(start(target()), 'exit')
  assert.equal(exit, 0)
  const usual = performance.now() - quick
  let interrupted = 0
  let whole = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const to = target()
    const child = start(to)
    const ended = once(child, 'exit')
    // Most of its life is that of Node: half of the kills come when it has begun to write.
    if (round % 2 === 0) await sleep(usual * (0.3 + (0.8 * round) / ROUNDS))
    else while (!isBegun(to) && child.exitCode === null) await sleep(1)
    if (round % 2 === 1) await sleep((round - 1) * 3)
    child.kill('SIGKILL')
    await ended
    const config = await loadConfig({ env: {}, file: to.config })
    const names = left(to)
    const isUntouched = names.length === 0
    const isHalf = names.includes('restoring')
    if (isHalf) {
      interrupted += 1
      await assert.rejects(startServer(config, { log: () => undefined }), (error) => {
        return AimsError.is(error) && error.code === 'operation.restore_unfinished'
      })
    }
    // Whatever was left, doing it again ends well, unless it was done.
    if (isUntouched || isHalf) {
      assert.deepEqual(await restore(backup, to), { exit: 0, code: undefined }, `round ${round}: ${names.join(' ')}`)
    } else whole += 1
    const server = await startServer(config, { log: () => undefined })
    const api = apiClient({ socketPath: server.socketPath })
    try {
      assert.equal((await adminClient(api).listEntries()).length, 5)
      assert.equal((await adminClient(api).listRecords({ type: 'operation.restored' })).length, 1)
    } finally {
      api.close()
      await server.close()
    }
  }
  assert.ok(interrupted > 0, 'no kill came in the middle')
  t.diagnostic(`${interrupted} of ${ROUNDS} were interrupted in the middle, ${whole} had ended`)
})
