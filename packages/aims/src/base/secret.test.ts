import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { withSecrets } from './secret.ts'

const value = withSecrets({ name: 'calendar-bot' }, { token: 'hunter2' })

test('a secret is read by its name', () => {
  assert.equal(value.name, 'calendar-bot')
  assert.equal(value.token, 'hunter2')
})

// One row per way in which values end up in logs.
for (const [how, print] of [
  ['JSON', () => JSON.stringify(value)],
  ['inspect', () => inspect(value)],
  ['inspect with hidden properties', () => inspect(value, { showHidden: true })],
  ['inspect that calls accessors', () => inspect(value, { showHidden: true, getters: true })],
  ['a template', () => `${value}`],
  ['entries', () => Object.entries(value).join()],
  ['a spread copy', () => inspect({ ...value })],
  ['a structured clone', () => inspect(structuredClone(value))],
  ['an error’s cause', () => inspect(new Error('x', { cause: value }))],
] as const) {
  test(`a secret does not show in ${how}`, () => assert.ok(!print().includes('hunter2')))
}

test('a value with secrets is not changed afterwards', () => {
  assert.throws(() => Object.assign(value, { token: 'other' }), TypeError)
  assert.throws(() => Object.assign(value, { name: 'other' }), TypeError)
})
