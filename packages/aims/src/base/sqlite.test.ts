import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { lockFile, openDatabase, storing, transaction } from './sqlite.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-sqlite-'))
after(() => rmSync(dir, { recursive: true }))

const V1 = 'CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT'
const V2 = 'ALTER TABLE a ADD COLUMN y TEXT'
let count = 0
const fresh = (): string => join(dir, `${count++}.db`)

test('a new database is private, has a write-ahead log and writes every commit through', () => {
  const path = fresh()
  const db = openDatabase(path, { schema: [V1], label: 'test' })
  assert.equal(db.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal')
  assert.equal(db.prepare('PRAGMA synchronous').get()?.synchronous, 2)
  assert.equal(db.prepare('PRAGMA foreign_keys').get()?.foreign_keys, 1)
  db.exec('INSERT INTO a VALUES (1)')
  for (const file of [path, `${path}-wal`, `${path}-shm`]) assert.equal(statSync(file).mode & 0o777, 0o600)
  db.close()
})

test('an older file is brought to the newest version and keeps its rows', () => {
  const path = fresh()
  const old = openDatabase(path, { schema: [V1], label: 'test' })
  old.exec('INSERT INTO a VALUES (7)')
  old.close()
  assert.throws(() => openDatabase(path, { schema: [V1, V2], label: 'test', readOnly: true }), {
    code: 'storage.older_version',
  })
  const db = openDatabase(path, { schema: [V1, V2], label: 'test' })
  assert.deepEqual({ ...db.prepare('SELECT * FROM a').get() }, { x: 7, y: null })
  db.close()
})

test('a migration that fails leaves the file as it was', () => {
  const path = fresh()
  openDatabase(path, { schema: [V1], label: 'test' }).close()
  assert.throws(() => openDatabase(path, { schema: [V1, V2, 'CREATE TABLE a (x)'], label: 'test' }), /already exists/)
  const db = openDatabase(path, { schema: [V1], label: 'test' })
  assert.equal(db.prepare('SELECT count(*) AS n FROM pragma_table_info(?)').get('a')?.n, 1)
  db.close()
})

const newer = fresh()
openDatabase(newer, { schema: [V1, V2], label: 'test' }).close()
const marked = fresh()
openDatabase(marked, { schema: [V1], label: 'test', applicationId: 1 }).close()
const foreign = fresh()
{
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  const db = new DatabaseSync(foreign)
  db.exec('CREATE TABLE somebody (x)')
  db.close()
}
const text = fresh()
writeFileSync(text, 'this is not a database, but it is longer than a header would be. '.repeat(20))
const folder = fresh()
mkdirSync(folder)

const refusals: readonly (readonly [title: string, path: string, code: string])[] = [
  ['from a newer version', newer, 'storage.newer_version'],
  ['with the mark of another kind', marked, 'storage.foreign'],
  ['of another program', foreign, 'storage.foreign'],
  ['that is no database', text, 'storage.corrupt'],
  ['that is a directory', folder, 'storage.unwritable'],
  ['in a directory that is not there', join(dir, 'absent', 'x.db'), 'storage.unwritable'],
]
for (const [title, path, code] of refusals) {
  test(`a file ${title} is refused with ${code}`, () => {
    assert.throws(() => openDatabase(path, { schema: [V1], label: 'test' }), { name: 'AimsError', code })
  })
}

test('no schema is trusted, by readers either', () => {
  const path = fresh()
  for (const readOnly of [false, true]) {
    const db = openDatabase(path, { schema: [V1], label: 'test', readOnly })
    assert.equal(db.prepare('PRAGMA trusted_schema').get()?.trusted_schema, 0)
    db.close()
  }
})

test('a file that is not there is not created by a reader', () => {
  assert.throws(() => openDatabase(fresh(), { schema: [V1], label: 'test', readOnly: true }), {
    code: 'storage.unwritable',
  })
})

test('a full disk has its own code, and the transaction leaves nothing behind', () => {
  const db = openDatabase(fresh(), { schema: ['CREATE TABLE b (x BLOB)'], label: 'test' })
  db.exec('PRAGMA max_page_count = 10')
  const fill = (): void => {
    for (let i = 0; i < 20; i += 1) db.exec('INSERT INTO b VALUES (zeroblob(4000))')
  }
  assert.throws(() => storing('test', () => transaction(db, fill)), { code: 'storage.full' })
  assert.equal(db.isTransaction, false)
  assert.equal(db.prepare('SELECT count(*) AS n FROM b').get()?.n, 0)
  db.close()
})

test('a broken constraint is not a storage error', () => {
  const db = openDatabase(':memory:', { schema: [V1], label: 'test' })
  db.exec('INSERT INTO a VALUES (1)')
  assert.throws(() => storing('test', () => db.exec('INSERT INTO a VALUES (1)')), /UNIQUE/)
  db.close()
})

test('a lock is held against this process and others, and is free again after release', () => {
  const path = fresh()
  const lock = lockFile(path, 'test')
  assert.throws(() => lockFile(path, 'test'), { code: 'storage.locked' })
  const script = `import { lockFile } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))}
    try { lockFile(${JSON.stringify(path)}, 'test'); console.log('got it') } catch (error) { console.log(error.code) }`
  const other = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(other.stdout.trim(), 'storage.locked')
  lock.release()
  lockFile(path, 'test').release()
})
