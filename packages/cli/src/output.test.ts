import assert from 'node:assert/strict'
import { test } from 'node:test'
import { visible } from './output.ts'

test('words of others do not steer the terminal, and JSON stays the same JSON', () => {
  const hostile = '\u001b[31m \u009b2J \u007f \r \u202e \u200b'
  const shown = visible(`${JSON.stringify({ hostile })}\n`)
  assert.match(shown, /^[\n\x20-\x7e]+$/)
  assert.deepEqual(JSON.parse(shown), { hostile })
  assert.equal(visible('plain\nJürgen'), 'plain\nJürgen')
})
