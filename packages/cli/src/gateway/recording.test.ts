import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from 'aims/base'
import { boundedRecords } from './recording.ts'

function refusal(code: AuditEvent['reasons'], decision: 'deny' | 'allow' = 'deny', agent?: string): AuditEvent {
  return {
    type: agent === undefined ? 'authentication.refused' : 'authorization.decided',
    resource: { type: 'http', id: '/api' },
    action: 'GET',
    decision,
    ...(code === undefined ? {} : { reasons: code }),
    ...(agent === undefined ? {} : { agent: { id: agent } }),
    correlationId: 'one',
  }
}

// [authentication.gateway.04]
test('strangers do not fill the log, and take no place from others in it', async () => {
  const records: AuditEvent[] = []
  const observer = boundedRecords({ record: async (event) => void records.push(event) }, 'sidecar', () => 1000)
  const count = (wanted: (event: AuditEvent) => boolean): number => records.filter(wanted).length
  for (let at = 0; at < 500; at += 1) await observer.record(refusal(['authentication.missing']))
  assert.equal(
    count(({ reasons }) => reasons?.[0] === 'authentication.missing'),
    20,
  )
  assert.equal(
    count(({ type }) => type === 'monitoring.refusals-limited'),
    1,
  )
  await observer.record(refusal(['proof.replayed']))
  assert.equal(
    count(({ reasons }) => reasons?.[0] === 'proof.replayed'),
    1,
  )
  const [bob, eve] = ['spiffe://example.com/agent/bob', 'spiffe://example.com/agent/eve']
  for (let at = 0; at < 50; at += 1) await observer.record(refusal(['authorization.denied'], 'deny', eve))
  await observer.record(refusal(['authorization.denied'], 'deny', bob))
  assert.equal(
    count(({ agent }) => agent?.id === eve),
    20,
  )
  assert.equal(
    count(({ agent }) => agent?.id === bob),
    1,
  )
  await observer.close()
  const omitted = records.filter(({ type }) => type === 'monitoring.refusals-omitted')
  assert.deepEqual(
    omitted.map(({ details }) => details?.omitted),
    [480, 30],
  )
})

test('an agent has no larger part of the log by calling through its sub-agents', async () => {
  const records: AuditEvent[] = []
  const observer = boundedRecords({ record: async (event) => void records.push(event) }, 'sidecar', () => 1000)
  const eve = 'spiffe://example.com/agent/eve'
  const through = (name: string): Promise<void> => observer.record(refusal(['authorization.denied'], 'deny', name))
  for (let at = 0; at < 50; at += 1) await through(`${eve}/sub/s${at}/sub/deeper`)
  await through(eve)
  await through('spiffe://example.com/agent/eve2')
  await observer.close()
  const refused = records.filter(({ decision }) => decision === 'deny')
  assert.equal(refused.length, 21)
  assert.equal(refused.at(-1)?.agent?.id, 'spiffe://example.com/agent/eve2')
})

test('what is let through is recorded, however much it is, and what cannot be recorded is told', async () => {
  const records: AuditEvent[] = []
  const observer = boundedRecords({ record: async (event) => void records.push(event) }, 'sidecar')
  for (let at = 0; at < 100; at += 1)
    await observer.record(refusal(undefined, 'allow', 'spiffe://example.com/agent/bob'))
  assert.equal(records.length, 100)
  await observer.close()
  const failing = boundedRecords({ record: () => Promise.reject(new Error('the disk is full')) }, 'sidecar')
  await assert.rejects(failing.record(refusal(undefined, 'allow', 'spiffe://example.com/agent/bob')), /disk is full/)
  await failing.close()
})
