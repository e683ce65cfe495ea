import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import type { AuditEvent } from '../base/event.ts'
import { type LocalSigner, WorkloadKey } from '../base/keys.ts'
import { parseCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { AuditLog } from './log.ts'
import { leafHash, verifyConsistency, verifyInclusion } from './merkle.ts'
import { formatVerifierKey, parseUnverifiedNote, parseVerifierKey } from './note.ts'
import { formatReceipt, verifyReceipt } from './proof.ts'
import { AuditReader } from './reader.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-log-'))
after(() => rmSync(dir, { recursive: true }))

const NOW = 1_795_512_600.25
const origin = 'example.com/audit'
const signer = WorkloadKey.generate('Ed25519')
const vkey = formatVerifierKey(origin, signer.publicKey)
const keys = [parseVerifierKey(vkey)]
let files = 0
const fresh = (): string => join(dir, `${files++}.db`)
const open = (path: string, more: { signer?: LocalSigner; origin?: string; remembered?: string } = {}): AuditLog =>
  AuditLog.open({ path, origin, signer, clock: () => NOW, ...more })

function event(i: number, more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    type: 'authorization.decided',
    agent: { id: `spiffe://example.com/agent/a${i % 3}` },
    resource: { type: 'http', id: `/events/${i}` },
    action: 'GET',
    decision: i % 2 === 0 ? 'allow' : 'deny',
    correlationId: `c${Math.floor(i / 4)}`,
    ...more,
  }
}

async function fill(log: AuditLog, from: number, to: number): Promise<void> {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i)
  await Promise.all(numbers.map((i) => log.record(event(i))))
}

const rootAt = (note: string): Uint8Array => verifyCheckpoint(note, { origin, keys }).root

test('a new log is empty and signed', () => {
  using log = open(fresh())
  assert.equal(log.size, 0)
  assert.equal(log.vkey, vkey)
  assert.deepEqual(parseCheckpoint(parseUnverifiedNote(log.checkpoint()).text).origin, origin)
  assert.deepEqual(log.read(0, 10), [])
})

test('records get their index in the order of arrival, their time from the clock, and stay after closing', async () => {
  const path = fresh()
  const log = open(path)
  const appended = await Promise.all([0, 1, 2].map((i) => log.append(event(i))))
  assert.deepEqual(appended, [{ index: 0 }, { index: 1 }, { index: 2 }])
  log.close()
  using again = open(path)
  assert.equal(again.size, 3)
  assert.deepEqual(await again.append(event(3)), { index: 3 })
  const [entry] = again.read(1, 2)
  assert.equal(entry?.record.time, '2026-11-24T09:30:00.250Z')
  assert.equal(entry?.record.resource.id, '/events/1')
  assert.equal(again.size, 4)
})

test('what arrives in one turn shares a transaction and a checkpoint', async () => {
  const path = fresh()
  using log = open(path)
  let signatures = 0
  const counting: LocalSigner = {
    alg: signer.alg,
    publicKey: signer.publicKey,
    sign: (data) => {
      signatures += 1
      return signer.sign(data)
    },
  }
  log.close()
  using counted = open(path, { signer: counting })
  await fill(counted, 0, 64)
  assert.equal(signatures, 1)
  await fill(counted, 64, 64 + 600)
  assert.equal(signatures, 3)
  assert.equal(counted.size, 664)
})

// [monitoring.log.01]
test('a record is in the file before its promise resolves', async () => {
  const path = fresh()
  using log = open(path)
  const { index } = await log.append(event(0))
  using reader = AuditReader.openFile(path)
  assert.equal(reader.size, 1)
  assert.equal(reader.read(index, index + 1)[0]?.record.index, index)
})

test('closing stores what is waiting', async () => {
  const path = fresh()
  const log = open(path)
  const waiting = fill(log, 0, 1000)
  log.close()
  await waiting
  using again = open(path)
  assert.equal(again.size, 1000)
})

test('every record is proven to an outsider, every old checkpoint is continued, across tiles', async () => {
  using log = open(fresh())
  const checkpoints: string[] = []
  for (const [from, to] of [
    [0, 1],
    [1, 250],
    [250, 256],
    [256, 257],
    [257, 700],
  ] as const) {
    await fill(log, from, to)
    checkpoints.push(log.checkpoint())
  }
  for (const index of [0, 1, 249, 255, 256, 257, 511, 512, 699]) {
    const bytes = log.read(index, index + 1)[0]?.bytes ?? new Uint8Array()
    assert.deepEqual(verifyReceipt(bytes, formatReceipt(log.receipt(index)), { vkey }), { index, size: 700 })
    const other = log.read(index === 0 ? 1 : 0, 2)[0]?.bytes ?? new Uint8Array()
    assert.throws(() => verifyReceipt(other, log.receipt(index), { vkey }), { code: 'audit.proof_mismatch' })
  }
  const toRoot = rootAt(log.checkpoint())
  for (const note of checkpoints) {
    const { size: from, root: fromRoot } = verifyCheckpoint(note, { origin, keys })
    const proof = log.consistencyProof(from)
    assert.equal(verifyConsistency({ from, to: 700, fromRoot, toRoot, proof }), true)
    assert.equal(verifyConsistency({ from, to: 700, fromRoot: toRoot, toRoot, proof }), from === 700)
    const bytes = log.read(from - 1, from)[0]?.bytes ?? new Uint8Array()
    const path = log.inclusionProof(from - 1, from)
    const claim = { index: from - 1, size: from, leaf: leafHash(bytes), root: fromRoot, proof: path }
    assert.equal(verifyInclusion(claim), true)
  }
  assert.throws(() => log.inclusionProof(700), { code: 'audit.unknown_index' })
  assert.throws(() => log.inclusionProof(0, 701), { code: 'audit.unknown_index' })
  assert.throws(() => log.inclusionProof(-1), { code: 'audit.unknown_index' })
  assert.throws(() => log.consistencyProof(5, 4), { code: 'audit.unknown_index' })
  assert.throws(() => log.consistencyProof(5, 701), { code: 'audit.unknown_index' })
})

test('records are found by type, agent, transaction and decision, newest first, in pages', async () => {
  using log = open(fresh())
  await fill(log, 0, 30)
  await log.record({ ...event(0), type: 'other.thing', correlationId: 'x' })
  const indexes = (filter: Parameters<AuditLog['list']>[0]): number[] =>
    log.list(filter).map(({ record }) => record.index)
  assert.deepEqual(indexes({ limit: 3 }), [30, 29, 28])
  assert.deepEqual(indexes({ limit: 3, before: 28 }), [27, 26, 25])
  assert.deepEqual(indexes({ type: 'other.thing', limit: 9 }), [30])
  assert.deepEqual(indexes({ agent: 'spiffe://example.com/agent/a2', decision: 'deny', limit: 2 }), [29, 23])
  assert.deepEqual(indexes({ agent: 'nobody', limit: 2 }), [])
  assert.deepEqual(
    log.find('c2').map(({ record }) => record.index),
    [8, 9, 10, 11],
  )
  assert.deepEqual(log.find('absent'), [])
})

test('an event that is refused takes no index and does no harm to others', async () => {
  using log = open(fresh())
  const [first, bad, large, second] = await Promise.allSettled([
    log.append(event(0)),
    log.append({ ...event(1), agent: { id: '' } }),
    log.append({ ...event(1), posture: { type: 'unix', selectors: Array(100).fill('s'.repeat(1000)) } }),
    log.append(event(2)),
  ])
  assert.deepEqual(first, { status: 'fulfilled', value: { index: 0 } })
  assert.deepEqual(second, { status: 'fulfilled', value: { index: 1 } })
  assert.equal(bad.status === 'rejected' && bad.reason.code, 'audit.invalid_field')
  assert.equal(large.status === 'rejected' && large.reason.code, 'audit.too_large')
})

// [monitoring.log.08]
test('when a batch cannot be stored, everyone who waits and everyone after is refused, until it is opened again', async () => {
  const path = fresh()
  let broken = false
  const failing: LocalSigner = {
    alg: signer.alg,
    publicKey: signer.publicKey,
    sign: (data) => {
      if (broken) throw new Error('the key is away')
      return signer.sign(data)
    },
  }
  const log = open(path, { signer: failing })
  await fill(log, 0, 5)
  broken = true
  const results = await Promise.allSettled([log.record(event(5)), log.record(event(6))])
  assert.deepEqual(
    results.map((r) => r.status === 'rejected' && r.reason.code),
    Array(2).fill('audit.unavailable'),
  )
  broken = false
  await assert.rejects(log.record(event(7)), { name: 'AimsError', code: 'audit.unavailable' })
  assert.equal(log.size, 5)
  log.close()
  using again = open(path)
  assert.deepEqual(await again.append(event(5)), { index: 5 })
})

test('a closed log takes nothing more', async () => {
  const log = open(fresh())
  log.close()
  await assert.rejects(log.record(event(0)), { code: 'audit.closed' })
})

test('one process writes a log, and one owner in it; anybody may read', () => {
  const path = fresh()
  using log = open(path)
  assert.equal(log.size, 0)
  assert.throws(() => open(path), { code: 'storage.locked', message: 'audit log: another process is using it' })
  const script = `import { AuditLog } from ${JSON.stringify(import.meta.resolve('./log.ts'))}
    import { AuditReader } from ${JSON.stringify(import.meta.resolve('./reader.ts'))}
    import { WorkloadKey } from ${JSON.stringify(import.meta.resolve('../base/keys.ts'))}
    const path = ${JSON.stringify(path)}
    console.log(AuditReader.openFile(path).size)
    try { AuditLog.open({ path, origin: 'o', signer: WorkloadKey.generate('Ed25519') }) } catch (e) { console.log(e.code) }`
  const other = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(other.stdout, '0\nstorage.locked\n')
})

// What somebody does to the file while the log is closed, and how opening it answers.
const log600 = fresh()
let kept = ''
test('a log of 600 records for the tests below', async () => {
  using log = open(log600)
  await fill(log, 0, 300)
  kept = log.checkpoint()
  await fill(log, 300, 600)
})

const damages: readonly (readonly [title: string, sql: string, code: string])[] = [
  // [monitoring.log.04]
  ['whose last record is gone', 'DELETE FROM record WHERE idx = 599', 'audit.rolled_back'],
  ['whose records are all gone', 'DELETE FROM record', 'audit.rolled_back'],
  [
    'with a record too many',
    'INSERT INTO record SELECT 600, bytes, type, agent, correlation, decision FROM record WHERE idx = 1',
    'audit.unsigned_records',
  ],
  ['with a hole', 'DELETE FROM record WHERE idx = 3', 'audit.wrong_index'],
  ['without checkpoints', 'DELETE FROM checkpoint', 'audit.missing_checkpoint'],
  ['whose newest checkpoint is gone', 'DELETE FROM checkpoint WHERE size = 600', 'audit.unsigned_records'],
  ['with a made-up checkpoint', "UPDATE checkpoint SET note = replace(note, '600', '599')", 'audit.invalid_signature'],
  [
    'with a changed hash of the tree',
    'UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 2',
    'audit.forked',
  ],
  ['with a changed hash of an older tile', 'UPDATE tile SET hashes = zeroblob(8192) WHERE level = 1', 'audit.forked'],
  ['without a tile', 'DELETE FROM tile WHERE level = 1', 'audit.forked'],
  ['with a cut tile', 'UPDATE tile SET hashes = substr(hashes, 1, 32) WHERE idx = 2', 'audit.forked'],
  [
    'with a changed new record',
    "UPDATE record SET bytes = CAST(replace(CAST(bytes AS TEXT), 'GET', 'PUT') AS BLOB) WHERE idx = 590",
    'audit.hash_mismatch',
  ],
  ['that does not name its key', 'DELETE FROM log', 'audit.wrong_key'],
  ['whose table is gone', 'DROP TABLE tile', 'storage.corrupt'],
  ['of a newer version', 'PRAGMA user_version = 99', 'storage.newer_version'],
]
for (const [title, sql, code] of damages) {
  test(`a log ${title} is not opened: ${code}`, async () => {
    const path = fresh()
    const source = new DatabaseSync(log600)
    source.exec(`VACUUM INTO '${path}'`)
    source.close()
    open(path).close()
    const db = new DatabaseSync(path)
    db.exec(sql)
    db.close()
    assert.throws(() => open(path), { name: 'AimsError', code })
  })
}

test('a log of another name or key is not opened', () => {
  assert.throws(() => open(log600, { origin: 'example.com/other' }), { code: 'audit.wrong_origin' })
  assert.throws(() => open(log600, { signer: WorkloadKey.generate('Ed25519') }), { code: 'audit.wrong_key' })
  assert.throws(() => open(fresh(), { signer: WorkloadKey.generate('ES256') }), TypeError)
})

// [monitoring.log.04]
test('a log that does not continue a checkpoint somebody kept is not opened', async () => {
  open(log600, { remembered: kept }).close()
  const path = fresh()
  using log = open(path)
  await fill(log, 0, 299)
  log.close()
  assert.throws(() => open(path, { remembered: kept }), { code: 'audit.rolled_back' })
  using longer = open(path)
  await longer.record({ ...event(299), action: 'another' })
  longer.close()
  assert.throws(() => open(path, { remembered: kept }), { code: 'audit.forked' })
  assert.throws(() => open(log600, { remembered: 'nonsense' }), { code: 'audit.malformed_note' })
})

test('a file that was refused is not locked, and opens again when it is repaired', async () => {
  const path = fresh()
  open(path).close()
  assert.throws(() => open(path, { origin: 'example.com/other' }), { code: 'audit.wrong_origin' })
  using log = open(path)
  assert.equal(log.size, 0)
})
