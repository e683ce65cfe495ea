import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from '../base/event.ts'
import { limitRefusals, type RefusalLimits } from './limit-refusals.ts'
import { cleanEvent } from './record.ts'

let now = 1000
let recorded: AuditEvent[] = []
let broken = false

function limited(limits: Partial<RefusalLimits> = {}): ReturnType<typeof limitRefusals> {
  now = 1000
  recorded = []
  broken = false
  const record = async (event: AuditEvent): Promise<void> => {
    if (broken) throw new Error('the disk is full')
    recorded.push(cleanEvent(event))
  }
  return limitRefusals({ record }, { name: 'https', clock: () => now, perWindow: 3, ...limits })
}

const refusal = (agent?: string): AuditEvent => ({
  type: 'authentication.refused',
  ...(agent === undefined ? {} : { agent: { id: agent } }),
  resource: { type: 'api', id: '/v1/entries' },
  action: 'GET',
  decision: 'deny',
  correlationId: 'c',
})
const types = (): readonly string[] => recorded.map(({ type }) => type)
const omitted = (): number => recorded.reduce((sum, { details }) => sum + Number(details?.omitted ?? 0), 0)

test('a flood makes as many records as the limit, and two that say how many were left out', async () => {
  let told = 0
  const observer = limited({ onOmitted: () => (told += 1) })
  await Promise.all(Array.from({ length: 1000 }, () => observer.record(refusal())))
  await observer.flush()
  assert.deepEqual(types(), [...Array(3).fill('authentication.refused'), 'monitoring.refusals-limited'])
  now += 60
  await observer.flush()
  assert.equal(recorded.length, 5)
  assert.deepEqual(recorded.at(-1)?.details, { group: 'authentication.refused', omitted: 997, window: 60 })
  assert.equal(told, 997)
  await observer.flush({ all: true })
  assert.equal(recorded.length, 5, 'told once')
})

test('a window that is over is told of before the next one begins, also by a clock that was set back', async () => {
  const observer = limited()
  for (const step of [0, 60, -500]) {
    now += step
    for (let i = 0; i < 10; i += 1) await observer.record(refusal())
  }
  await observer.flush({ all: true })
  assert.equal(types().filter((type) => type === 'authentication.refused').length, 9)
  assert.equal(omitted(), 3 * 7)
})

test('what is no refusal of a stranger is always recorded', async () => {
  const observer = limited()
  const decided = { ...refusal('spiffe://example.com/bot'), type: 'authorization.decided' } as const
  for (let i = 0; i < 10; i += 1) {
    await observer.record(decided)
    await observer.record({ ...refusal(), type: 'authentication.succeeded', agent: { id: 'a' }, decision: 'allow' })
  }
  assert.equal(recorded.length, 20)
})

test('groups do not take places from each other', async () => {
  const observer = limited({ group: ({ agent }) => agent?.id })
  for (let i = 0; i < 100; i += 1) await observer.record(refusal('noisy'))
  await observer.record(refusal('quiet'))
  assert.equal(recorded.at(-1)?.agent?.id, 'quiet')
})

test('a count that could not be recorded is kept, and whoever depends on the record is told', async () => {
  const observer = limited()
  for (let i = 0; i < 10; i += 1) await observer.record(refusal())
  now += 60
  broken = true
  await assert.rejects(observer.flush())
  await assert.rejects(observer.record(refusal()))
  broken = false
  await observer.flush({ all: true })
  assert.equal(omitted(), 7)
})

test('limits that are none are a mistake of the caller', () => {
  for (const perWindow of [0, -1, 1.5, Number.NaN]) assert.throws(() => limited({ perWindow }), TypeError)
  for (const window of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => limited({ window }), TypeError)
})
