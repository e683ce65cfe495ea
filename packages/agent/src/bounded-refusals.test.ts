import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from 'aims/base'
import { boundedRefusals } from './bounded-refusals.ts'

const event = (type: AuditEvent['type'], decision: AuditEvent['decision'], uid: number): AuditEvent => ({
  type,
  resource: { type: 'workload-api', id: '/run/aims/workload.sock' },
  action: 'attest',
  decision,
  correlationId: 'c',
  details: { uid },
})

test('of each user so many refusals are recorded, and all that was allowed', async () => {
  const records: AuditEvent[] = []
  const record = async (one: AuditEvent): Promise<void> => void records.push(one)
  const types = ['provisioning.refused', 'attestation.refused']
  const observer = boundedRefusals({ record }, { name: 'workload-api', clock: () => 1_700_000_000, types })
  for (let n = 0; n < 30; n += 1) {
    await observer.record(event('provisioning.refused', 'deny', 1000))
    await observer.record(event('attestation.succeeded', 'allow', 1000))
  }
  await observer.record(event('attestation.refused', 'deny', 1001))
  await observer.record(event('operation.backup-created', 'deny', 1000))
  await observer.close()
  const count = (type: string): number => records.filter((one) => one.type === type).length
  assert.equal(count('provisioning.refused'), 20)
  assert.equal(count('attestation.succeeded'), 30)
  assert.equal(count('attestation.refused'), 1)
  assert.equal(count('operation.backup-created'), 1)
  assert.equal(count('monitoring.refusals-limited'), 1)
  const omitted = records.find(({ type }) => type === 'monitoring.refusals-omitted')
  assert.deepEqual([omitted?.details?.group, omitted?.details?.omitted], ['1000', 10])
})
