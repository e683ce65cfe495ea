import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { replayStoreContract } from '../../../../../test/support/replay-store-contract.ts'
import { openSqliteReplayStore } from './sqlite.ts'

const directory = mkdtempSync(join(tmpdir(), 'aims-replay-'))
after(() => rmSync(directory, { recursive: true }))

replayStoreContract('sqlite', () => openSqliteReplayStore(':memory:'))

test('a key that was used stays used after the store is closed and opened again', () => {
  const path = join(directory, 'restart.db')
  const before = openSqliteReplayStore(path)
  assert.equal(before.consume('key', 100, 10), true)
  before.close()
  const store = openSqliteReplayStore(path)
  assert.equal(store.isFresh('key', 100, 11), false)
  assert.equal(store.consume('key', 100, 11), false)
  assert.equal(store.consume('key', 200, 150), true)
  store.close()
})

test('processes that share the file use up keys for each other: each key has one winner', async () => {
  const KEYS = 500
  const path = join(directory, 'shared.db')
  openSqliteReplayStore(path).close()
  // However long the disk takes, and the machine: who waits is not to be refused here.
  const script = `
    import { openSqliteReplayStore } from ${JSON.stringify(new URL('./sqlite.ts', import.meta.url).href)}
    const store = openSqliteReplayStore(${JSON.stringify(path)}, { busyTimeout: 600_000 })
    const won = []
    for (let i = 0; i < ${KEYS}; i += 1) if (store.consume('key ' + i, 100, 10)) won.push(i)
    process.stdout.write(JSON.stringify(won))`
  const run = async (): Promise<number[]> => {
    const args = [
      '--conditions=aims:source',
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      script,
    ]
    return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout)
  }
  const won = (await Promise.all([run(), run()])).flat()
  assert.equal(won.length, KEYS)
  assert.equal(new Set(won).size, KEYS)
})

test('a file that is something else is not used as a store', () => {
  const path = join(directory, 'other.db')
  writeFileSync(path, 'not a database, but long enough to look like one to somebody who does not look closely')
  assert.throws(() => openSqliteReplayStore(path), { code: 'storage.corrupt' })
})

test('a store that does not answer refuses', () => {
  const path = join(directory, 'locked.db')
  const store = openSqliteReplayStore(path, { busyTimeout: 20 })
  const other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  assert.throws(() => store.consume('key', 100, 10), { code: 'proof.replay_store_unavailable' })
  other.exec('ROLLBACK')
  assert.equal(store.consume('key', 100, 10), true)
  other.close()
  store.close()
})

test('a wait that is no number of milliseconds is a mistake of the caller', () => {
  for (const busyTimeout of [-1, 1.5, Number.NaN]) {
    assert.throws(() => openSqliteReplayStore(':memory:', { busyTimeout }), TypeError)
  }
})
