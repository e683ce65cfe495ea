// Appends records until it is killed, or until the log refuses. Prints `ack INDEX NUMBER` once a record is durable.
// Arguments: database file, key file (PKCS#8 PEM), first number.
import { readFileSync, writeSync } from 'node:fs'
import { AimsError, type AuditEvent, importPrivateKey, systemClock, WorkloadKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'

const [path = '', keyFile = '', first = '0'] = process.argv.slice(2)
const signer = new WorkloadKey(importPrivateKey(readFileSync(keyFile, 'utf8')))
const log = AuditLog.open({ path, origin: 'example.com/audit', signer, clock: systemClock })
let number = Number(first)

function event(): AuditEvent {
  number += 1
  return {
    type: 'authorization.decided',
    agent: { id: 'spiffe://example.com/agent/calendar-bot' },
    resource: { type: 'http', id: '/api/v1/events' },
    action: 'POST',
    decision: 'allow',
    correlationId: `n${number}`,
    details: { number },
  }
}

async function append(): Promise<void> {
  const one = event()
  const { index } = await log.append(one)
  writeSync(1, `ack ${index} ${one.details?.number}\n`)
}

try {
  for (let batch = 1; ; batch = (batch * 7) % 31) await Promise.all(Array.from({ length: batch }, append))
} catch (error) {
  // What follows a failure must be refused too, also when the disk would take it again.
  const after = await log.append(event()).then(
    () => 'accepted',
    (refusal: unknown) => (AimsError.is(refusal) ? refusal.code : 'error'),
  )
  writeSync(1, `stopped ${AimsError.is(error) ? error.code : 'error'} ${after}\n`)
}
