// The store goes forward from every version and one step back, and what it kept opens again under its seal.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { keyEncryptionKey } from 'aims/base'
import { fillStore, openSealed, requireAllThere } from '../../../../test/support/old-store.ts'
import { openStore, SCHEMA } from './database.ts'
import { stepBack } from './step-back.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-steps-'))
after(() => rmSync(root, { recursive: true }))
let count = 0
const fresh = (): string => join(root, `${count++}.sqlite`)

for (let version = 1; version < SCHEMA.length; version += 1) {
  test(`a store of version ${version} opens in this version with all it had, and its seal holds`, () => {
    const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
    fillStore(path, key, SCHEMA.slice(0, version))
    requireAllThere(path, key, SCHEMA)
  })

  test(`a store of version ${version + 1} goes back to ${version} and forward again`, () => {
    const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
    const steps = SCHEMA.slice(0, version + 1)
    fillStore(path, key, steps)
    const { db, seal, meta } = openSealed(path, key, steps)
    seal.transaction(() => meta.set('generation', '1'))
    const { from, to } = stepBack(db, seal, steps)
    db.close()
    assert.deepEqual([from, to], [version + 1, version])
    requireAllThere(path, key, SCHEMA.slice(0, version))
    requireAllThere(path, key, SCHEMA)
  })
}

test('a store of a newer version is refused, and is not written to', () => {
  const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
  const newer = [...SCHEMA, { up: 'CREATE TABLE later (x)', down: 'DROP TABLE later' }]
  fillStore(path, key, newer)
  assert.throws(() => openSealed(path, key), { name: 'AimsError', code: 'storage.newer_version' })
  requireAllThere(path, key, newer)
})

test('rows of the table that goes are counted as lost, sealed ones too', () => {
  const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
  const steps = SCHEMA.slice(0, 3)
  fillStore(path, key, steps)
  const { db, seal } = openSealed(path, key, steps)
  const insert = db.prepare('INSERT INTO evidence_memory VALUES (?, ?, ?)')
  seal.transaction(() => seal.row('evidence_memory', 'x', () => insert.run('x', 'name', 'value')))
  assert.deepEqual(stepBack(db, seal, steps).lost, { evidence_memory: 1 })
  db.close()
  requireAllThere(path, key, SCHEMA.slice(0, 2))
})

test('the first step has no way back', () => {
  const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
  const steps = SCHEMA.slice(0, 1)
  fillStore(path, key, steps)
  const { db, seal } = openSealed(path, key, steps)
  assert.throws(() => stepBack(db, seal, steps), { name: 'AimsError', code: 'operation.no_way_back' })
  db.close()
  requireAllThere(path, key, steps)
})

test('a step back that fails half way leaves the store and its seal as they were', () => {
  const [path, key] = [fresh(), keyEncryptionKey(randomBytes(32))]
  const steps = [
    ...SCHEMA,
    { up: 'CREATE TABLE later (x)', down: 'DROP TABLE later; DROP TABLE entries; DROP TABLE no' },
  ]
  fillStore(path, key, steps)
  const { db, seal } = openSealed(path, key, steps)
  assert.throws(() => stepBack(db, seal, steps), /no such table/)
  db.close()
  requireAllThere(path, key, steps)
})

test('every step but the first has a way back, and leaves no table behind', () => {
  const db = openStore(fresh(), { steps: SCHEMA.slice(0, 1) })
  const names = () =>
    db
      .prepare('SELECT name FROM sqlite_schema ORDER BY name')
      .all()
      .map(({ name }) => name)
  for (const { up, down } of SCHEMA.slice(1)) {
    const before = names()
    db.exec(up)
    db.exec(down ?? '')
    assert.deepEqual(names(), before)
  }
  db.close()
})
