import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError, type AimsErrorCode, type AuditEvent } from 'aims/base'
import { spoolingObserver } from './spooling-observer.ts'

const event = (correlationId: string, uid = 0): AuditEvent => ({
  type: 'attestation.succeeded',
  resource: { type: 'workload-api', id: '/run/x' },
  action: 'attest',
  decision: 'allow',
  correlationId,
  details: { uid },
})

function world(): {
  failure: AimsErrorCode | undefined
  seen: string[]
  lines: string[]
  record(id: string, uid?: number): Promise<void>
} {
  const self = {
    failure: undefined as AimsErrorCode | undefined,
    seen: [] as string[],
    lines: [] as string[],
    record: (id: string, uid?: number) => observer.record(event(id, uid)),
  }
  const target = {
    record: async ({ correlationId }: AuditEvent) => {
      if (self.failure !== undefined) throw new AimsError(self.failure, 'no')
      self.seen.push(correlationId)
    },
  }
  const observer = spoolingObserver(target, (line) => self.lines.push(line))
  return self
}

test('what cannot be delivered waits, and comes in order before the next one', async () => {
  const one = world()
  await one.record('a')
  one.failure = 'operation.server_unreachable'
  await one.record('b')
  await one.record('c')
  assert.deepEqual(one.seen, ['a'])
  assert.equal(one.lines.length, 1)
  one.failure = undefined
  await one.record('d')
  assert.deepEqual(one.seen, ['a', 'b', 'c', 'd'])
})

test('what the log refuses, or cannot keep, is refused here too', async () => {
  const one = world()
  for (const code of ['audit.invalid_field', 'audit.unavailable', 'operation.not_permitted'] as const) {
    one.failure = code
    await assert.rejects(one.record('x'), { code })
  }
  assert.deepEqual(one.seen, [])
})

test('when too many wait, events are refused', async () => {
  const one = world()
  one.failure = 'operation.server_timeout'
  for (let n = 0; n < 20_000; n += 1) await one.record(String(n), n % 4)
  await assert.rejects(one.record('one too many', 5), { code: 'operation.server_timeout' })
})

test('events about one user do not take the places of the others, and their places are free again', async () => {
  const one = world()
  for (let round = 0; round < 2; round += 1) {
    one.failure = 'operation.server_unreachable'
    for (let n = 0; n < 5000; n += 1) await one.record(String(n), 1000)
    await assert.rejects(one.record('one too many', 1000), { code: 'operation.server_unreachable' })
    await one.record('of another', 1001)
    one.failure = undefined
    await one.record('the server is back', 1000)
    assert.equal(one.seen.length, (round + 1) * 5002)
  }
})
