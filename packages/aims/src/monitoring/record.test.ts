import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE } from '../../../../test/support/identities.ts'
import { refusalOf } from '../authentication/audit.ts'
import type { Refused } from '../authentication/refusal/facts.ts'
import { trailOf } from '../authentication/refusal/trail.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import { createAuthorizer } from '../authorization/authorizer.ts'
import { httpAction, toolCall } from '../authorization/request.ts'
import { accessRequest, CALENDAR } from '../authorization/testing.ts'
import { checkOf, MAX_CHECKS } from '../base/check.ts'
import { AimsError } from '../base/errors.ts'
import type { AuditEvent } from '../base/event.ts'
import { bundleSource } from '../credentials/bundle/source.ts'
import { cleanEvent, decodeRecord, encodeRecord, MAX_RECORD_LENGTH } from './record.ts'

const NOW = Date.parse('2026-11-24T09:30:00.123Z')
const good: AuditEvent = {
  type: 'authorization.decided',
  agent: {
    id: 'spiffe://example.com/agent/calendar-bot',
    credential: { type: 'wit', id: 'a1b2' },
    method: 'wit+wpt',
    profile: 'wimse',
  },
  subject: { id: 'alice', issuer: 'https://idp.example', type: 'user' },
  resource: { type: 'http', id: '/api/v1/events' },
  action: 'POST',
  decision: 'deny',
  policy: { ids: ['events'], version: 'sha256:abc' },
  reasons: ['authorization.denied'],
  correlationId: '0193-a',
  posture: { type: 'unix', binding: 'pidfd', selectors: ['unix:uid:1000'] },
  remediation: { action: 'none', cause: 'policy' },
  details: { status: 403, cached: false, note: 'x' },
}
const minimal: AuditEvent = {
  type: 'other.thing',
  resource: { type: 'http', id: '/' },
  action: 'GET',
  decision: 'none',
  correlationId: 'c',
}

// [monitoring.aims.08]
test('a record has the fields of its event, its place and its time, in canonical form', () => {
  const bytes = encodeRecord(cleanEvent(minimal), 7, NOW)
  assert.equal(
    bytes.toString(),
    '{"action":"GET","correlationId":"c","decision":"none","index":7,"resource":{"id":"/","type":"http"},' +
      '"time":"2026-11-24T09:30:00.123Z","type":"other.thing","version":1}',
  )
  const record = decodeRecord(encodeRecord(cleanEvent(good), 0, NOW))
  assert.deepEqual(JSON.parse(JSON.stringify(record)), {
    ...good,
    version: 1,
    index: 0,
    time: '2026-11-24T09:30:00.123Z',
  })
})

test('a refusal may come before the agent is known', () => {
  const { agent: _, ...event } = good
  assert.equal(cleanEvent(event).agent, undefined)
})

test('fields that are undefined are left out', () => {
  const change: object = { details: { a: undefined }, reasons: undefined }
  const bytes = encodeRecord(cleanEvent({ ...minimal, ...change }), 0, NOW)
  assert.equal(bytes.includes('"details":{}'), true)
  assert.equal(bytes.includes('reasons'), false)
})

const jws = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
const refusals: readonly (readonly [title: string, change: object, code: string])[] = [
  // [monitoring.aims.08]
  ['without a type', { type: undefined }, 'audit.missing_field'],
  ['without a resource', { resource: undefined }, 'audit.missing_field'],
  ['without the type of its resource', { resource: { id: '/' } }, 'audit.missing_field'],
  ['without an action', { action: undefined }, 'audit.missing_field'],
  ['without a decision', { decision: undefined }, 'audit.missing_field'],
  ['without a correlation id', { correlationId: undefined }, 'audit.missing_field'],
  ['that allows nobody something', { agent: undefined, decision: 'allow' }, 'audit.missing_field'],
  ['with a subject that has no id', { subject: { issuer: 'x' } }, 'audit.missing_field'],
  // [monitoring.log.05]
  ['with a field of its own', { token: 'x' }, 'audit.unknown_field'],
  ['with a field of its own inside', { agent: { id: 'a', key: 'x' } }, 'audit.unknown_field'],
  ['with a type of one word', { type: 'decided' }, 'audit.invalid_field'],
  ['with a type in capitals', { type: 'Authorization.decided' }, 'audit.invalid_field'],
  ['with a decision of its own', { decision: 'maybe' }, 'audit.invalid_field'],
  ['with an empty id', { agent: { id: '' } }, 'audit.invalid_field'],
  ['with a number for text', { action: 5 }, 'audit.invalid_field'],
  ['with a list for an object', { resource: [] }, 'audit.invalid_field'],
  ['with text for a list', { reasons: 'x' }, 'audit.invalid_field'],
  ['with null', { details: null }, 'audit.invalid_field'],
  ['with nested details', { details: { a: { b: 1 } } }, 'audit.invalid_field'],
  ['with details that JSON does not keep', { details: { a: 2 ** 53 } }, 'audit.invalid_field'],
  ['with NaN', { details: { a: Number.NaN } }, 'audit.invalid_field'],
  ['with a control character in a name', { details: { 'a\nb': 1 } }, 'audit.invalid_field'],
  [
    'with a check that neither passed nor failed',
    { checks: [{ check: 'a.b', outcome: 'skipped' }] },
    'audit.invalid_field',
  ],
  ['with a check of no name', { checks: [{ check: '', outcome: 'passed' }] }, 'audit.invalid_field'],
  ['with a check named by a caller', { checks: [{ check: 'A b', outcome: 'passed' }] }, 'audit.invalid_field'],
  ['with a check that says more', { checks: [{ check: 'a', outcome: 'passed', token: 'x' }] }, 'audit.unknown_field'],
  [
    'with a token in a check',
    { checks: [{ check: 'a', outcome: 'passed', observed: 'Bearer 0123456789abcdef0' }] },
    'audit.forbidden_value',
  ],
  ['with 33 checks', { checks: Array(33).fill({ check: 'a', outcome: 'passed' }) }, 'audit.too_large'],
  ['with 257 reasons', { reasons: Array(257).fill('x') }, 'audit.too_large'],
  [
    'with 33 details',
    { details: Object.fromEntries([...Array(33).keys()].map((i) => [`d${i}`, i])) },
    'audit.too_large',
  ],
  ['with text beyond 64 KiB', { action: 'x'.repeat(65_537) }, 'audit.too_large'],
  ['with a token', { details: { note: `got ${jws}` } }, 'audit.forbidden_value'],
  ['with a token in a URL', { resource: { type: 'http', id: `/cb?token=${jws}` } }, 'audit.forbidden_value'],
  ['with a token too long for its field', { action: `${'x'.repeat(300)} ${jws}` }, 'audit.forbidden_value'],
  ['with a JWE', { action: 'eyJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn' }, 'audit.forbidden_value'],
  ['with an authorization header', { reasons: ['Bearer 0123456789abcdef0123'] }, 'audit.forbidden_value'],
  ['with a PEM block', { posture: { type: '-----BEGIN PRIVATE KEY-----' } }, 'audit.forbidden_value'],
]
for (const [title, change, code] of refusals) {
  test(`an event ${title} is refused with ${code}`, () => {
    assert.throws(() => cleanEvent({ ...good, ...change }), { name: 'AimsError', code })
  })
}

test('refusals do not repeat what they refuse', () => {
  for (const [, change] of refusals) {
    assert.throws(
      () => cleanEvent({ ...good, ...change }),
      (error: Error) => !error.message.includes('eyJ') && error.message.length < 100,
    )
  }
})

// [monitoring.log.06]
test('control and invisible characters are encoded, so that no record looks like two', () => {
  const id = 'a\r\n2026 allow\u001b[2J\u0085\u2028\u202eb\u200b\ufeff\ud800 \u{e0041}'
  const record = decodeRecord(encodeRecord(cleanEvent({ ...minimal, resource: { type: 'http', id } }), 0, NOW))
  assert.equal(
    record.resource.id,
    'a\\u000d\\u000a2026 allow\\u001b[2J\\u0085\\u2028\\u202eb\\u200b\\ufeff\\ud800 \\udb40\\udc41',
  )
})

test('text that is too long for its field is cut and ends with the digest of the whole', () => {
  const cleaned = cleanEvent({ ...minimal, action: `${'x'.repeat(500)}a` })
  assert.equal(cleaned.action.length, 256)
  assert.match(cleaned.action, /^x+~sha256:[\w-]{43}$/)
  assert.notEqual(cleaned.action, cleanEvent({ ...minimal, action: `${'x'.repeat(500)}b` }).action)
  assert.equal(cleanEvent(cleaned).action, cleaned.action)
})

test('a record that is too large as a whole is refused', () => {
  const selectors = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(900))
  const event = cleanEvent({ ...good, posture: { type: 'unix', selectors } })
  assert.throws(() => encodeRecord(event, 0, NOW), { code: 'audit.too_large' })
})

const line = encodeRecord(cleanEvent(good), 3, NOW).toString()
const malformed: readonly (readonly [title: string, text: string, code: string])[] = [
  ['that is not JSON', 'x', 'audit.malformed_record'],
  ['that is a list', '[]', 'audit.malformed_record'],
  ['with a blank', line.replace(':', ': '), 'audit.malformed_record'],
  ['with a line feed at the end', `${line}\n`, 'audit.malformed_record'],
  [
    'with its members in another order',
    `${line.slice(0, -1).replace('{', '{"version":1,')}}`,
    'audit.malformed_record',
  ],
  ['without an index', line.replace('"index":3,', ''), 'audit.malformed_record'],
  ['with a negative index', line.replace('"index":3', '"index":-3'), 'audit.malformed_record'],
  ['with another field', line.replace('"index"', '"extra":1,"index"'), 'audit.malformed_record'],
  ['with a time of seconds', line.replace('.123Z', 'Z'), 'audit.malformed_record'],
  ['with a local time', line.replace('.123Z', '.123+00:00'), 'audit.malformed_record'],
  ['on February 30', line.replace('2026-11-24', '2026-02-30'), 'audit.malformed_record'],
  ['with a raw control character', line.replace('alice', 'al\u0085ice'), 'audit.malformed_record'],
  ['with an escape that need not be', line.replace('alice', '\\u0061lice'), 'audit.malformed_record'],
  ['of version 2', line.replace('"version":1', '"version":2'), 'audit.unsupported_version'],
  ['without a version', line.replace(',"version":1', ''), 'audit.malformed_record'],
  ['beyond the size', line.replace('alice', 'a'.repeat(MAX_RECORD_LENGTH)), 'audit.malformed_record'],
]
for (const [title, text, code] of malformed) {
  test(`bytes ${title} are refused with ${code}`, () => {
    assert.notEqual(text, line)
    assert.throws(() => decodeRecord(Buffer.from(text)), { name: 'AimsError', code })
  })
}

test('bytes that are not UTF-8 are refused', () => {
  const bytes = Buffer.from(line)
  bytes[bytes.indexOf('alice')] = 0xff
  assert.throws(() => decodeRecord(bytes), { code: 'audit.malformed_record' })
})

const anyText = fc.string({ unit: 'binary', minLength: 1, maxLength: 3000 })
test('whatever text an event carries, its record is read back and is the only form of itself', () => {
  fc.assert(
    fc.property(anyText, anyText, fc.nat(), (id, action, index) => {
      try {
        const bytes = encodeRecord(cleanEvent({ ...minimal, resource: { type: 'x', id }, action }), index, NOW)
        const record = decodeRecord(bytes)
        assert.equal(record.index, index)
        assert.ok(/^[^\p{Cc}]*$/u.test(bytes.toString()))
      } catch (error) {
        assert.ok(AimsError.is(error))
        assert.equal(error.code, 'audit.forbidden_value')
      }
    }),
  )
})

const SECRETS = [
  'eyJhbGciOiJ.eyJzdWIiOiJ4.c2ln',
  '-----BEGIN PRIVATE KEY-----',
  'Bearer 0123456789abcdef0123',
  'bearer bearer 0123456789abcdef',
  'aims_join_0123456789abcdef0123456789abcdef0123456789a',
]
const hostile = fc.array(fc.oneof(fc.constantFrom(...SECRETS, '/', '.', ' ', '?'), fc.string({ unit: 'binary' })))

test('no caller keeps its refusal out of the log by what it sends', () => {
  const error = new AimsError('authentication.missing', 'x')
  const options = { audiences: [AUDIENCE], bundles: bundleSource() }
  const judged = (request: IncomingRequest): Refused => ({
    request,
    options,
    accepted: ['wit+wpt'],
    binding: {},
    now: 0,
    error,
  })
  fc.assert(
    fc.property(hostile, hostile, (method, target) => {
      const request = { method: method.join(''), target: target.join(''), headers: [] }
      assert.doesNotThrow(() => cleanEvent(refusalOf(request, error, 'c', trailOf(judged(request)))))
    }),
  )
  for (const secret of SECRETS) {
    const request = { method: secret, target: `/${secret}/x`, headers: [] }
    assert.ok(!JSON.stringify(cleanEvent(refusalOf(request, error, 'c', trailOf(judged(request))))).includes(secret))
  }
})

test('nor by what it claims: a trail at its longest is a record that the log takes', () => {
  const text = '\u{1f600}"\\\u0000'.repeat(2000)
  const longest = Array.from({ length: MAX_CHECKS }, (_, at) =>
    checkOf(`check.${at}`, 'failed', { expected: text, observed: text, difference: 'x' }),
  )
  const event = { ...good, checks: longest, resource: { type: 'http', id: `/${'\u00ff'.repeat(511)}` } }
  assert.doesNotThrow(() => encodeRecord(cleanEvent(event), 0, 0))
})

test('nor a decision about it', async () => {
  const token = 'eyJhbGciOiJ.eyJzdWIiOiJ4.c2ln'
  const events: AuditEvent[] = []
  const observer = { record: async (event: AuditEvent) => void events.push(cleanEvent(event)) }
  const engine = { version: 'v1', evaluate: () => ({ permits: ['p'], forbids: [], failed: [] }) }
  const authorizer = createAuthorizer({ engine, observer })
  await authorizer.authorize(accessRequest({ action: httpAction('GET', `/${token}`) }), 'c')
  await authorizer.authorize(accessRequest(toolCall(CALENDAR, token)), 'c')
  assert.equal(events.length, 2)
  assert.ok(!JSON.stringify(events).includes(token))
})

test('any event is recorded or refused with a code', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...Object.keys(good), 'other'), fc.jsonValue()), (change) => {
      try {
        decodeRecord(encodeRecord(cleanEvent({ ...good, ...change } as AuditEvent), 0, NOW))
      } catch (error) {
        assert.ok(AimsError.is(error), String(error))
        assert.match(error.code, /^audit\./)
      }
    }),
  )
})
