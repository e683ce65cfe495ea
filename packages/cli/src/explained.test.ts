// What `aims explain` writes for people.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOf } from 'aims/base'
import { explainRecord, failureLines, readable } from './explained.ts'

test('a record shows its facts, the failed check and what to change', () => {
  const record = {
    version: 1,
    index: 41,
    time: '2026-11-26T07:31:02.114Z',
    type: 'authorization.brokered',
    agent: { id: 'spiffe://example.com/agent/bot', method: 'unix' },
    resource: { type: 'destination', id: 'rule weather' },
    action: 'GET',
    decision: 'deny',
    reasons: ['egress.path_denied'],
    checks: [checkOf('a', 'passed'), checkOf('b', 'failed', { expected: 'one', observed: 'two' })],
    correlationId: 'one',
    details: { path: '/v2/today', pid: 7 },
  } as const
  const text = readable(explainRecord(record))
  const lines = text.split('\n')
  assert.ok(lines.includes('  with:   path /v2/today, pid 7'), text)
  assert.ok(lines.includes('  FAILED  b'), text)
  assert.ok(lines.includes('            observed: two'), text)
  assert.match(text, /change: {3}an operator adds it to paths of the rule/)
  const { details: _details, ...bare } = record
  assert.doesNotMatch(readable(explainRecord(bare)), /with:/)
})

test('of a refusal the failed check and its cause are enough for a line of a gateway', () => {
  const checks = [checkOf('wit.signature', 'passed'), checkOf('proof.audience', 'failed', { difference: 'service' })]
  const [check, cause, change] = failureLines({ reasons: ['proof.audience_mismatch'], checks })
  assert.equal(check, '  FAILED  proof.audience (service)')
  assert.match(cause ?? '', /^ {2}cause: {2}wrong-audience: /)
  assert.match(change ?? '', /^ {12}change: /)
  assert.deepEqual(failureLines({}), [])
})
