import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import type { AuditEvent } from '../base/event.ts'
import { WorkloadKey } from '../base/keys.ts'
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { AuditLog } from './log.ts'
import { formatVerifierKey, parseUnverifiedNote, signNote } from './note.ts'
import { AuditReader } from './reader.ts'
import { databaseSource, exportLog, folderSource } from './sources.ts'
import { type LogVerdict, verifyLog } from './verify.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-verify-'))
after(() => rmSync(dir, { recursive: true }))
let names = 0
const fresh = (): string => join(dir, `${names++}`)

const origin = 'example.com/audit'
const signer = WorkloadKey.generate('Ed25519')
const vkey = formatVerifierKey(origin, signer.publicKey)

const event = (i: number): AuditEvent => ({
  type: 'authorization.decided',
  agent: { id: 'spiffe://example.com/agent/calendar-bot' },
  resource: { type: 'http', id: `/events/${i}` },
  action: 'GET',
  decision: 'allow',
  correlationId: `c${i}`,
})

/** A closed log, its export, and the checkpoint of every batch. */
async function make(size: number, batches = 1, clock = (): number => 1_795_512_600) {
  const path = `${fresh()}.db`
  const folder = fresh()
  using log = AuditLog.open({ path, origin, signer, clock })
  const notes: string[] = []
  for (let batch = 0; batch < batches; batch += 1) {
    const [from, to] = [batch, batch + 1].map((part) => Math.floor((size * part) / batches)) as [number, number]
    await Promise.all(Array.from({ length: to - from }, (_, i) => log.append(event(from + i))))
    notes.push(log.checkpoint())
  }
  exportLog(log, folder)
  return { path, folder, notes }
}

function verifyFile(path: string): LogVerdict {
  using source = databaseSource(path)
  return verifyLog(source, { vkey })
}
const verifyFolder = (folder: string): LogVerdict => verifyLog(folderSource(folder), { vkey })

/** The code and the index of a refusal, or `ok`. */
const answer = (verdict: LogVerdict): string =>
  verdict.ok ? 'ok' : `${verdict.code}${verdict.index === undefined ? '' : ` at ${verdict.index}`}`

const large = await make(600, 5)

test('a whole log is verified as a database and as exported files, with the same root', () => {
  const { root } = parseCheckpoint(parseUnverifiedNote(large.notes.at(-1) ?? '').text)
  const expected = { ok: true, size: 600, root: Buffer.from(root).toString('base64'), clockJumps: [] }
  assert.deepEqual(verifyFile(large.path), expected)
  assert.deepEqual(verifyFolder(large.folder), expected)
  assert.deepEqual(verifyLog(folderSource(large.folder), { vkey, remembered: large.notes }), expected)
})

test('an empty log is verified', async () => {
  const { path, folder } = await make(0)
  assert.equal(answer(verifyFile(path)), 'ok')
  assert.equal(answer(verifyFolder(folder)), 'ok')
})

test('a log is verified and exported while it is written, as it is at one moment', async () => {
  const path = `${fresh()}.db`
  using log = AuditLog.open({ path, origin, signer })
  await log.append(event(0))
  using source = databaseSource(path)
  await log.append(event(1))
  assert.deepEqual(source.checkpoints().length, 1)
  const verdict = verifyLog(source, { vkey })
  assert.equal(verdict.ok && verdict.size, 1)
  using reader = AuditReader.openFile(path)
  const folder = fresh()
  assert.deepEqual(exportLog(reader, folder), { size: 2 })
  assert.throws(() => exportLog(reader, folder), { code: 'storage.unwritable' })
})

test('a clock that was set back is reported, and is no fault of the log', async () => {
  const times = [600, 601, 540, 541]
  const { path } = await make(4, 4, () => 1_795_512_000 + (times.shift() ?? 0))
  const verdict = verifyFile(path)
  assert.deepEqual(verdict.ok && verdict.clockJumps, [2])
})

test('every flipped byte of an exported log is found, and the record named', async (t) => {
  const { folder } = await make(8)
  const files = ['records.jsonl', 'tile/0/000.p/8', 'checkpoint', 'vkey']
  let flips = 0
  for (const file of files) {
    const path = join(folder, file)
    const bytes = readFileSync(path)
    let line = 0
    for (let at = 0; at < bytes.length; at += 1) {
      // A mask that changes with the place, and is never 0: single bits and several.
      const mask = (at * 37) % 255 || 1
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ mask
      writeFileSync(path, changed)
      const expected = file === 'records.jsonl' ? line : file.startsWith('tile') ? Math.floor(at / 32) : undefined
      const verdict = verifyFolder(folder)
      const found = verdict.ok ? 'nothing' : verdict.index
      assert.equal(found, expected, `${file} byte ${at}`)
      if (bytes[at] === 10) line += 1
      flips += 1
    }
    writeFileSync(path, bytes)
  }
  assert.equal(answer(verifyFolder(folder)), 'ok')
  t.diagnostic(`${flips} bytes`)
})

test('every flipped byte of a record in the database is found, and the record named', async () => {
  const { path } = await make(3)
  const db = new DatabaseSync(path)
  const put = db.prepare('UPDATE record SET bytes = ? WHERE idx = ?')
  using reader = AuditReader.openFile(path)
  for (const { record, bytes } of reader.read(0, 3)) {
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ ((at * 37) % 255 || 1)
      put.run(changed, record.index)
      const verdict = verifyFile(path)
      assert.equal(verdict.ok ? 'nothing' : verdict.index, record.index, `record ${record.index} byte ${at}`)
    }
    put.run(bytes, record.index)
  }
  db.close()
  assert.equal(answer(verifyFile(path)), 'ok')
})

type Lines = readonly string[]
const foreign = (await make(600, 2)).folder
const otherLines = readFileSync(join(foreign, 'records.jsonl'), 'utf8').split('\n')
const edits: readonly (readonly [
  title: string,
  edit: (lines: Lines, at: number) => Lines,
  where: number,
  code: string,
])[] = [
  ['deleted', (lines, at) => lines.toSpliced(at, 1), 0, 'audit.wrong_index'],
  ['repeated', (lines, at) => lines.toSpliced(at, 0, lines[at] ?? ''), 1, 'audit.wrong_index'],
  [
    'swapped with the next',
    (lines, at) => lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? ''),
    0,
    'audit.wrong_index',
  ],
  ['inserted', (lines, at) => lines.toSpliced(at, 0, otherLines[0] ?? ''), 0, 'audit.wrong_index'],
  [
    'replaced by one of another log',
    (lines, at) => lines.with(at, (otherLines[at] ?? '').replace('GET', 'PUT')),
    0,
    'audit.hash_mismatch',
  ],
  ['replaced by nothing', (lines, at) => lines.with(at, ''), 0, 'audit.malformed_record'],
  ['the last one', (lines, at) => lines.slice(0, at + 1), 1, 'audit.rolled_back'],
  [
    'followed by another log',
    (lines, at) => [...lines.slice(0, at + 1), ...otherLines.slice(at + 2)],
    1,
    'audit.wrong_index',
  ],
]
for (const [title, edit, where, code] of edits) {
  test(`a record that is ${title} is found, wherever it is`, () => {
    const folder = fresh()
    cpSync(large.folder, folder, { recursive: true })
    const path = join(folder, 'records.jsonl')
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    // The last two places are left out where a neighbour is needed.
    for (const at of [0, 1, 119, 120, 255, 256, 300, 511, 512, 597]) {
      // Record 0 of another log is, by its index, at its place.
      if (title === 'inserted' && at === 0) continue
      writeFileSync(path, `${edit(lines, at).join('\n')}\n`)
      assert.equal(answer(verifyFolder(folder)), `${code} at ${at + where}`)
    }
  })
}

test('records after the signed end, and an end without line feed, are found', () => {
  const folder = fresh()
  cpSync(large.folder, folder, { recursive: true })
  const path = join(folder, 'records.jsonl')
  const text = readFileSync(path, 'utf8')
  for (const [more, expected] of [
    [`${otherLines[1]}\n`, 'audit.unsigned_records at 600'],
    ['x', 'audit.malformed_record at 600'],
    ['x'.repeat(200_000), 'audit.malformed_record at 600'],
  ] as const) {
    writeFileSync(path, text + more)
    assert.equal(answer(verifyFolder(folder)), expected)
  }
  writeFileSync(path, text.slice(0, -1))
  assert.equal(answer(verifyFolder(folder)), 'audit.malformed_record at 599')
})

const replace = (from: string, to: string, at: number): string =>
  `UPDATE record SET bytes = CAST(replace(CAST(bytes AS TEXT), '${from}', '${to}') AS BLOB) WHERE idx = ${at}`
const damages: readonly (readonly [title: string, sql: string, answer: string])[] = [
  ['a record', replace('GET', 'PUT', 3), 'audit.hash_mismatch at 3'],
  ['a record, so that it is none', replace('GET', '', 300), 'audit.malformed_record at 300'],
  ['the version of a record', replace('"version":1', '"version":2', 7), 'audit.unsupported_version at 7'],
  ['a record before a worse one', `${replace('GET', 'PUT', 3)}; ${replace('GET', '', 40)}`, 'audit.hash_mismatch at 3'],
  ['the column for the type', "UPDATE record SET type = 'a.b' WHERE idx = 9", 'audit.label_mismatch at 9'],
  ['the column for the agent', 'UPDATE record SET agent = NULL WHERE idx = 9', 'audit.label_mismatch at 9'],
  ['the column for the transaction', "UPDATE record SET correlation = 'x' WHERE idx = 9", 'audit.label_mismatch at 9'],
  ['the column for the decision', "UPDATE record SET decision = 'deny' WHERE idx = 9", 'audit.label_mismatch at 9'],
  ['the number of a record', 'UPDATE record SET idx = -1 WHERE idx = 0', 'audit.wrong_index at 0'],
  [
    'the numbers of two records',
    'UPDATE record SET idx = 1000 WHERE idx = 5; UPDATE record SET idx = 5 WHERE idx = 6; UPDATE record SET idx = 6 WHERE idx = 1000',
    'audit.wrong_index at 5',
  ],
  ['which records there are', 'DELETE FROM record WHERE idx = 400', 'audit.wrong_index at 400'],
  ['how many there are', 'DELETE FROM record WHERE idx >= 590', 'audit.rolled_back at 590'],
  [
    'a leaf hash',
    'UPDATE tile SET hashes = CAST(substr(hashes, 1, 320) || zeroblob(32) || substr(hashes, 353) AS BLOB) WHERE level = 0 AND idx = 1',
    'audit.hash_mismatch at 266',
  ],
  [
    'the length of a tile',
    'UPDATE tile SET hashes = CAST(hashes || zeroblob(1) AS BLOB) WHERE level = 0 AND idx = 2',
    'audit.hash_mismatch at 600',
  ],
  [
    'a hash of a tile of tiles',
    'UPDATE tile SET hashes = CAST(substr(hashes, 1, 32) || zeroblob(32) AS BLOB) WHERE level = 1',
    'audit.hash_mismatch at 256',
  ],
  ['which tiles there are', 'DELETE FROM tile WHERE level = 1', 'audit.hash_mismatch at 0'],
  [
    'an old checkpoint',
    "UPDATE checkpoint SET note = replace(note, '240', '241') WHERE size = 240",
    'audit.invalid_signature',
  ],
  ['the order of checkpoints', 'UPDATE checkpoint SET size = 700 WHERE size = 240', 'audit.malformed_checkpoint'],
  ['which checkpoints there are', 'DELETE FROM checkpoint', 'audit.missing_checkpoint'],
  ['the newest checkpoint', 'DELETE FROM checkpoint WHERE size = 600', 'audit.unsigned_records at 480'],
  ['the key', "UPDATE log SET vkey = 'x'", 'audit.wrong_key'],
]
for (const [title, sql, expected] of damages) {
  test(`a database in which somebody changed ${title} is refused: ${expected}`, () => {
    const path = fresh()
    const source = new DatabaseSync(large.path)
    source.exec(`VACUUM INTO '${path}'`)
    source.close()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA journal_mode = WAL')
    assert.equal(answer(verifyFile(path)), 'ok')
    db.exec(sql)
    db.close()
    assert.equal(answer(verifyFile(path)), expected)
  })
}

test('an index that hides a record from searches is found', async () => {
  const { path } = await make(50)
  const db = new DatabaseSync(path)
  db.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE')
  const page = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'record_correlation'").get()?.rootpage
  db.close()
  const bytes = readFileSync(path)
  const start = (Number(page) - 1) * 4096
  const at = bytes.indexOf('c17', start)
  assert.ok(at > start && at < start + 4096)
  bytes.write('c97', at)
  writeFileSync(path, bytes)
  assert.throws(() => verifyFile(path), { code: 'storage.corrupt' })
})

test('a log that was written anew with the right key is refused by who kept a checkpoint, from the first change on', () => {
  const expected = { vkey, remembered: large.notes }
  const { root } = parseCheckpoint(parseUnverifiedNote(large.notes[2] ?? '').text)
  const forked = signNote(formatCheckpoint({ origin, size: 130, root, extensions: [] }), origin, signer)
  const verdict = verifyLog(folderSource(large.folder), { vkey, remembered: [...large.notes, forked] })
  assert.equal(answer(verdict), 'audit.forked at 120')
  const longer = signNote(formatCheckpoint({ origin, size: 601, root, extensions: [] }), origin, signer)
  assert.equal(
    answer(verifyLog(folderSource(large.folder), { vkey, remembered: [longer] })),
    'audit.rolled_back at 600',
  )
  assert.equal(answer(verifyLog(folderSource(large.folder), expected)), 'ok')
})

test('a log is verified with the key that is known from elsewhere only', () => {
  const other = formatVerifierKey(origin, WorkloadKey.generate('Ed25519').publicKey)
  assert.equal(answer(verifyLog(folderSource(large.folder), { vkey: other })), 'audit.wrong_key')
  writeFileSync(join(foreign, 'vkey'), other)
  assert.equal(answer(verifyLog(folderSource(foreign), { vkey: other })), 'audit.unknown_signer')
  assert.throws(() => verifyLog(folderSource(foreign), { vkey: 'nonsense' }), { code: 'audit.malformed_key' })
})

test('a folder that lacks a file is refused', async () => {
  const { folder } = await make(2)
  rmSync(join(folder, 'records.jsonl'))
  assert.equal(answer(verifyFolder(folder)), 'storage.unwritable at 0')
  rmSync(join(folder, 'checkpoint'))
  assert.throws(() => folderSource(folder), { code: 'storage.unwritable' })
  assert.throws(() => databaseSource(join(folder, 'absent.db')), { code: 'storage.unwritable' })
})
