import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WorkloadKey } from 'aims/base'
import { AuditLog, formatVerifierKey } from 'aims/monitoring'
import { lost, startWriter, verifyFile } from './writer.ts'

const ROUNDS = Number(process.env.AIMS_KILL_ROUNDS ?? 20)
const SEED = process.env.AIMS_KILL_SEED ?? String(Date.now())
// A new file now and then, so that its making is interrupted too and verifying it stays quick.
const ROUNDS_PER_FILE = 10

const dir = mkdtempSync(join(tmpdir(), 'aims-kill-'))
after(() => rmSync(dir, { recursive: true }))

/** A number from 0 up to 1 that the seed and the round decide. */
function chance(round: number, what: string): number {
  return createHash('sha256').update(`${SEED} ${round} ${what}`).digest().readUInt32BE() / 2 ** 32
}

// [monitoring.log.01]
test(`a writer killed at any moment loses no acknowledged record, over ${ROUNDS} kills`, async (t) => {
  t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
  const origin = 'example.com/audit'
  const { privateKey } = generateKeyPairSync('ed25519')
  const keyFile = join(dir, 'key.pem')
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const signer = new WorkloadKey(privateKey)
  const vkey = formatVerifierKey(origin, signer.publicKey)
  let acknowledged = 0
  let slowest = 0
  let acks = new Map<number, number>()
  let remembered: string[] = []

  for (let round = 0; round < ROUNDS; round += 1) {
    const path = join(dir, `${Math.floor(round / ROUNDS_PER_FILE)}.db`)
    if (round % ROUNDS_PER_FILE === 0) {
      acks = new Map()
      remembered = []
    }
    const writer = startWriter([path, keyFile, String(round * 1_000_000)])
    // Half of the kills of a new file hit its making, the others the records.
    const early = round % ROUNDS_PER_FILE < 2 && chance(round, 'early') < 0.5
    if (early) await sleep(chance(round, 'delay') * 250)
    else await writer.acknowledged(1 + Math.floor(chance(round, 'enough') * 100))
    writer.process.kill('SIGKILL')
    assert.equal((await writer.ended).signal, 'SIGKILL', 'the writer ended by itself')
    for (const [index, number] of writer.acks) acks.set(index, number)
    acknowledged += writer.acks.size

    const before = performance.now()
    using log = AuditLog.open({ path, origin, signer })
    slowest = Math.max(slowest, performance.now() - before)
    const where = `round ${round}, AIMS_KILL_SEED=${SEED}`
    assert.deepEqual(lost(acks, log.read(0, log.size)), [], where)
    remembered.push(log.checkpoint())
    const verdict = verifyFile(path, vkey, remembered)
    assert.deepEqual({ ok: verdict.ok, size: verdict.ok && verdict.size }, { ok: true, size: log.size }, where)
  }
  t.diagnostic(
    `${ROUNDS} kills, ${acknowledged} records acknowledged, none lost; opened again in ${slowest.toFixed(0)} ms at most`,
  )
  assert.ok(acknowledged > ROUNDS, 'the writers were killed before they wrote')
})
