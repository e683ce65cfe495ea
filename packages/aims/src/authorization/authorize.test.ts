import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AuditEvent } from '../base/event.ts'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { authorize } from './authorize.ts'
import { createAuthorizer } from './authorizer.ts'
import type { Evaluation, PolicyEngine } from './engine.ts'
import { type AccessRequest, toolCall } from './request.ts'
import { accessRequest, BOT, CALENDAR, EVENTS, principal } from './testing.ts'

const says = (evaluation: Partial<Evaluation>): PolicyEngine => ({
  version: 'sha256:v1',
  evaluate: () => ({ permits: [], forbids: [], failed: [], ...evaluation }),
})
const PERMITS = says({ permits: ['p'] })

test('what the policies say is weighed: error before forbid before permit before silence', () => {
  const policySet = 'sha256:v1'
  for (const [engine, decision] of [
    [PERMITS, { effect: 'allow', policies: ['p'], policySet }],
    [says({}), { effect: 'deny', because: 'no-policy', policies: [], policySet }],
    [says({ permits: ['p'], forbids: ['f'] }), { effect: 'deny', because: 'forbidden', policies: ['f'], policySet }],
    [
      says({ permits: ['p'], forbids: ['f'], failed: ['e'] }),
      { effect: 'deny', because: 'policy-error', policies: ['e'], policySet },
    ],
  ] as const) {
    assert.deepEqual(authorize(accessRequest(), engine), decision)
  }
})

test('an engine that throws denies, and nothing is thrown', () => {
  const broken: PolicyEngine = {
    version: 'sha256:v1',
    evaluate: () => {
      throw new RangeError('stack')
    },
  }
  const decision = authorize(accessRequest(), broken)
  assert.deepEqual(decision, { effect: 'deny', because: 'policy-error', policies: [], policySet: 'sha256:v1' })
})

// Requests that TypeScript would not let through, or that are too large. The engine would permit them all.
const raw = (changes: object): AccessRequest => ({ ...accessRequest(), ...changes })
const deep = parseSpiffeId(`spiffe://example.com/${'a/'.repeat(80)}b`)
for (const [what, request] of [
  ['no principal', raw({ principal: undefined })],
  ['a principal nobody authenticated', raw({ principal: { id: BOT } })],
  ['a verified token instead of a principal', raw({ principal: { ...principal(), kind: 'verified-wit' } })],
  ['a copy of a principal', raw({ principal: { ...principal() } })],
  ['a clone of a principal', raw({ principal: structuredClone(principal()) })],
  ['an heir of a principal', raw({ principal: Object.create(principal()) })],
  ['what looks like a principal', raw({ principal: new Proxy(principal(), {}) })],
  ['a principal of eighty segments', accessRequest({ principal: principal(deep) })],
  ['no action', raw({ action: undefined })],
  ['an unknown kind of action', raw({ action: { kind: 'rpc' } })],
  ['an unknown method', raw({ action: { kind: 'http', method: 'TRACE', path: '/' } })],
  ['a method every object has', raw({ action: { kind: 'http', method: 'constructor', path: '/' } })],
  ['no path', raw({ action: { kind: 'http', method: 'GET' } })],
  ['no resource', raw({ resource: undefined })],
  ['an HTTP action on a tool', raw({ resource: toolCall(CALENDAR, 'x').resource })],
  ['a call of a service', raw({ action: { kind: 'call' } })],
  [
    'a tool name that no parser made',
    raw({ action: { kind: 'call' }, resource: { kind: 'tool', server: EVENTS, name: 'a#b' } }),
  ],
  ['a user without issuer', raw({ user: { subject: 'alice' } })],
  ['a user with an empty subject', raw({ user: { issuer: 'https://a', subject: '' } })],
  ['an issuer with a fragment', raw({ user: { issuer: 'https://a#b', subject: 'c' } })],
  ['a context that is text', raw({ context: 'x' })],
  ['a context that is null', raw({ context: null })],
  ['a nested fact', raw({ context: { a: { b: 1 } } })],
  ['a fact that is null', raw({ context: { a: null } })],
  ['a fact with a fraction', raw({ context: { a: 1.5 } })],
  ['a fact that is no number', raw({ context: { a: Number.NaN } })],
  ['a fact beyond exact integers', raw({ context: { a: 2 ** 53 } })],
  ['a fact of 1025 characters', raw({ context: { a: 'x'.repeat(1025) } })],
  ['a fact with half a character', raw({ context: { a: '\ud800' } })],
  ['a fact named __proto__', raw({ context: JSON.parse('{"__proto__":"x"}') })],
  ['a fact with an empty name', raw({ context: { '': 'x' } })],
  ['thirty-three facts', raw({ context: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`f${i}`, i])) })],
] as const) {
  test(`a request with ${what} is denied without asking a policy`, () => {
    const decision = authorize(request, PERMITS)
    assert.ok(decision.effect === 'deny' && decision.because === 'invalid-request')
  })
}

const ids = fc.array(fc.string({ minLength: 1 }), { maxLength: 4 })

test('without a permit nothing is allowed, and one more forbid or failure never turns a deny into an allow', () => {
  fc.assert(
    fc.property(ids, ids, ids, fc.string({ minLength: 1 }), (permits, forbids, failed, more) => {
      assert.equal(authorize(accessRequest(), says({ forbids, failed })).effect, 'deny')
      assert.equal(authorize(accessRequest(), says({ permits, forbids: [...forbids, more], failed })).effect, 'deny')
      assert.equal(authorize(accessRequest(), says({ permits, forbids, failed: [...failed, more] })).effect, 'deny')
    }),
  )
})

test('a decision is recorded with agent, resource, action, policies and version before it is known', async () => {
  const order: string[] = []
  const events: AuditEvent[] = []
  const observer = {
    record: async (event: AuditEvent) => {
      await Promise.resolve()
      order.push('recorded')
      events.push(event)
    },
  }
  const decision = await createAuthorizer({ engine: PERMITS, observer }).authorize(accessRequest(), 'request-1')
  order.push(decision.effect)
  assert.deepEqual(order, ['recorded', 'allow'])
  const [event] = events
  assert.equal(event?.type, 'authorization.decided')
  assert.equal(event.agent?.id, BOT)
  assert.deepEqual(event.resource, { type: 'service', id: EVENTS })
  assert.equal(event.action, 'POST')
  assert.equal(event.decision, 'allow')
  assert.deepEqual(event.policy, { ids: ['p'], version: 'sha256:v1' })
  assert.equal(event.correlationId, 'request-1')
  assert.equal(event.details?.path, '/api/v1/events')
})

test('the record of a refusal says why, also when the request could not be read', async () => {
  const reasonsOf = async (engine: PolicyEngine, request: AccessRequest): Promise<readonly string[] | undefined> => {
    const events: AuditEvent[] = []
    const observer = { record: async (event: AuditEvent) => void events.push(event) }
    await createAuthorizer({ engine, observer }).authorize(request, 'c')
    assert.equal(events[0]?.decision, 'deny')
    return events[0]?.reasons
  }
  assert.deepEqual(await reasonsOf(says({}), accessRequest()), ['no-policy'])
  assert.deepEqual(await reasonsOf(says({ forbids: ['f'] }), accessRequest()), ['forbidden', 'f'])
  assert.deepEqual(await reasonsOf(says({ failed: ['e'] }), accessRequest()), ['policy-error', 'e'])
  assert.deepEqual(await reasonsOf(PERMITS, raw({ principal: undefined })), [
    'invalid-request',
    'the principal is not authenticated',
  ])
})

test('without a durable record there is no decision', async () => {
  const observer = { record: async () => Promise.reject(new Error('disk full')) }
  const authorizer = createAuthorizer({ engine: PERMITS, observer })
  await assert.rejects(authorizer.authorize(accessRequest(), 'c'), { message: 'disk full' })
})

test('the hash of the inputs is the same for the same question and another for any difference', async () => {
  const hashOf = async (request: AccessRequest): Promise<unknown> => {
    const events: AuditEvent[] = []
    const observer = { record: async (event: AuditEvent) => void events.push(event) }
    await createAuthorizer({ engine: PERMITS, observer }).authorize(request, 'c')
    return events[0]?.details?.inputs
  }
  const first = await hashOf(accessRequest({ context: { a: 1, b: 'x' } }))
  assert.equal(await hashOf(accessRequest({ context: { b: 'x', a: 1 } })), first)
  for (const request of [
    accessRequest({ context: { a: 2, b: 'x' } }),
    accessRequest({ context: { a: '1', b: 'x' } }),
    accessRequest({ context: { a: 1, b: 'x' }, principal: principal(EVENTS) }),
    accessRequest({ context: { a: 1, b: 'x' }, user: { issuer: 'i', subject: 's' } }),
  ]) {
    assert.notEqual(await hashOf(request), first)
  }
})
