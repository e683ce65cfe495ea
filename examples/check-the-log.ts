// What happened is recorded in a transparency log, and an outsider checks it: one record by its receipt, the whole log
// by hashing it again. Then one byte is changed, and it shows.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, WorkloadKey } from 'aims/base'
import { AuditLog, exportLog, folderSource, verifyLog, verifyReceipt } from 'aims/monitoring'

const folder = mkdtempSync(join(tmpdir(), 'aims-example-'))
const signer = WorkloadKey.generate('Ed25519')
const log = await AuditLog.open({
  path: join(folder, 'log.sqlite'),
  origin: 'example.com/aims-log',
  signer,
  clock: systemClock,
})
try {
  for (const decision of ['allow', 'deny'] as const) {
    await log.record({
      type: 'authorization.decided',
      agent: { id: 'spiffe://example.com/agent/calendar-bot', method: 'wit+wpt' },
      resource: { type: 'service', id: 'spiffe://example.com/service/events-api' },
      action: 'POST',
      decision,
      correlationId: `request-${decision}`,
    })
  }

  // One record: whoever has the key of the log needs nothing else.
  const [entry] = log.read(1, 2)
  assert(entry !== undefined)
  assert.deepEqual(verifyReceipt(entry.bytes, log.receipt(1), { vkey: log.vkey }), { index: 1, size: 2 })

  // The whole log, as files.
  const exported = join(folder, 'exported')
  exportLog(log, exported)
  assert.equal(verifyLog(folderSource(exported), { vkey: log.vkey }).ok, true)

  // Somebody turns the denial into something nicer.
  const records = join(exported, 'records.jsonl')
  writeFileSync(records, readFileSync(records, 'utf8').replace('"deny"', '"none"'))
  const verdict = verifyLog(folderSource(exported), { vkey: log.vkey })
  assert(!verdict.ok)
  assert.equal(verdict.index, 1)
  console.log(`record 1 is proven; the forged log is refused at record ${verdict.index}: ${verdict.message}`)
} finally {
  log.close()
  rmSync(folder, { recursive: true, force: true })
}
