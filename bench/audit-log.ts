// What a durable, signed audit record costs beside a bare append: write and fdatasync of as many bytes. 64 writers share
// transactions. P10 asks for 20 times the rate of the bare append; it is a goal of a later issue and only printed here.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditEvent, WorkloadKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import { type BenchCase, report, roundRobin } from './harness.ts'
import { settle } from './support/table.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-bench-'))
const log = AuditLog.open({
  path: join(dir, 'audit.db'),
  origin: 'example.com/audit',
  signer: WorkloadKey.generate('Ed25519'),
})
const event: AuditEvent = {
  type: 'authorization.decided',
  agent: {
    id: 'spiffe://example.com/agent/calendar-bot',
    credential: { type: 'wit', id: 'b2f1c9d84e6a' },
    method: 'wit+wpt',
  },
  resource: { type: 'http', id: '/api/v1/events' },
  action: 'POST',
  decision: 'allow',
  policy: { ids: ['events'], version: 'sha256:8Qk1' },
  correlationId: '01934f0e-8c1e-7a2b-9d11-6f1f0a3b5c7d',
}
await log.append(event)
const length = log.read(0, 1)[0]?.bytes.length ?? 0
const file = openSync(join(dir, 'raw'), 'a')
const row = Buffer.alloc(length, 'x')
const rows = Buffer.concat(Array.from({ length: 64 }, () => row))

async function writers(count: number, times: number): Promise<void> {
  let left = times
  const write = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await log.record(event)
    }
  }
  await Promise.all(Array.from({ length: count }, write))
}

const cases: readonly BenchCase[] = [
  {
    name: `raw: append and fdatasync, ${length} bytes`,
    run: (times) => {
      for (let i = 0; i < times; i += 1) {
        writeSync(file, row)
        fdatasyncSync(file)
      }
    },
  },
  {
    name: 'raw: one fdatasync for 64 rows',
    run: (times) => {
      for (let i = 0; i < times; i += 64) {
        writeSync(file, rows)
        fdatasyncSync(file)
      }
    },
  },
  { name: 'audit log, 1 writer', run: (times) => writers(1, times) },
  { name: 'audit log, 64 writers', run: (times) => writers(64, times) },
  { name: 'audit log, 512 writers', run: (times) => writers(512, times) },
]

try {
  const measured = await roundRobin(cases, { clock: true })
  report('Durable records', measured)
  for (const { name, ratio } of measured) {
    if (!name.startsWith('audit')) continue
    const many = name === 'audit log, 64 writers' ? { limit: { atLeast: 20 } } : {}
    settle({ id: `P10, ${name}`, measured: 1 / ratio, unit: 'x', against: 'bare append', ...many })
  }
} finally {
  log.close()
  closeSync(file)
  rmSync(dir, { recursive: true })
}
