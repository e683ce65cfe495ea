import assert from 'node:assert/strict'
import type { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { AimsError, openDatabase, transaction } from 'aims/base'
import { groupCommit } from './group-commit.ts'

const TABLE = 'CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n < 100)) STRICT'

function numbers(): {
  readonly db: DatabaseSync
  readonly add: (n: number) => () => number
  readonly all: () => unknown
} {
  const db = openDatabase(':memory:', { schema: [TABLE], label: 'numbers' })
  const insert = db.prepare('INSERT INTO numbers VALUES (?)')
  return {
    db,
    add: (n) => () => {
      insert.run(n)
      return n
    },
    all: () =>
      db
        .prepare('SELECT n FROM numbers ORDER BY n')
        .all()
        .map(({ n }) => n),
  }
}

test('writes of one turn share a transaction, and each is told when it is kept', async () => {
  const { db, add, all } = numbers()
  const together = groupCommit(db)
  const first = together(add(1))
  const second = together(() => (db.isTransaction ? add(2)() : Number.NaN))
  assert.deepEqual(all(), [])
  assert.deepEqual(await Promise.all([first, second]), [1, 2])
  assert.deepEqual(all(), [1, 2])
  assert.equal(await together(add(3)), 3)
})

test('a write that is refused takes no other with it', async () => {
  const { db, add, all } = numbers()
  const together = groupCommit(db)
  const busy = (): number => {
    throw new AimsError('operation.busy', 'too many')
  }
  const answers = [together(add(1)), together(busy), together(add(2))]
  await assert.rejects(answers[1] as Promise<number>, { code: 'operation.busy' })
  assert.deepEqual(await Promise.all([answers[0], answers[2]]), [1, 2])
  assert.deepEqual(all(), [1, 2])
})

test('a write that fails half-way takes those of its turn with it', async () => {
  const { db, add, all } = numbers()
  const together = groupCommit(db)
  for (const answer of [together(add(1)), together(add(100)), together(add(2))]) await assert.rejects(answer, /CHECK/)
  assert.deepEqual(all(), [])
  assert.equal(await together(add(3)), 3)
})

test('its transaction may be one that seals', async () => {
  const { db, add, all } = numbers()
  const seen: string[] = []
  const together = groupCommit(db, (work) => {
    transaction(db, work)
    seen.push('sealed')
  })
  assert.deepEqual(await Promise.all([together(add(1)), together(add(2))]), [1, 2])
  assert.deepEqual([all(), seen], [[1, 2], ['sealed']])
})

test('when the transaction ends half-way, none of its writes is told to be kept', async () => {
  const { db, add, all } = numbers()
  const together = groupCommit(db)
  // As SQLite does by itself when the disk is full.
  const full = (): number => {
    db.exec('ROLLBACK')
    throw new AimsError('storage.full', 'no room')
  }
  const answers = [together(add(1)), together(full), together(add(2))]
  for (const answer of answers) await assert.rejects(answer, { code: 'storage.full' })
  assert.deepEqual(all(), [])
  assert.equal(await together(add(3)), 3)
})

test('a closed store keeps nothing and says so', async () => {
  const { db, add } = numbers()
  const answer = groupCommit(db)(add(1))
  db.close()
  await assert.rejects(answer, /not open/)
})
