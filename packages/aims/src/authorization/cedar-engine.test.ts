import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PrincipalFacts } from '../authentication/principal.ts'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { authorize } from './authorize.ts'
import { createCedarEngine } from './cedar-engine.ts'
import { type AccessRequest, httpAction, toolCall } from './request.ts'
import { accessRequest, BOT, CALENDAR, policies, principal } from './testing.ts'

const PERMIT_ALL = 'permit(principal, action, resource);'
const EXAMPLE = `permit(
  principal == Agent::"spiffe://example.com/agent/calendar-bot",
  action == Action::"POST",
  resource == Service::"spiffe://example.com/service/events-api"
) when { context.path like "/api/v1/events*" };`

test('the policy of the README allows its agent and names itself and the set', async () => {
  const engine = await createCedarEngine({ version: 'sha256:example', policies: [{ id: 'events', text: EXAMPLE }] })
  assert.deepEqual(authorize(accessRequest(), engine), {
    effect: 'allow',
    policies: ['events'],
    policySet: 'sha256:example',
  })
})

// One row per difference from what the policy permits.
const other = (id: string): Partial<AccessRequest> => ({ principal: principal(parseSpiffeId(id)) })
for (const [what, changes] of [
  ['another agent', other('spiffe://example.com/agent/calendar-bot2')],
  ['an agent below it', other('spiffe://example.com/agent/calendar-bot/x')],
  ['an agent of another trust domain', other('spiffe://example.org/agent/calendar-bot')],
  ['another method', { action: httpAction('DELETE', '/api/v1/events') }],
  ['another path', { action: httpAction('POST', '/api/v1/admin') }],
  ['another case of the path', { action: httpAction('POST', '/API/v1/events') }],
  ['another service', { resource: { kind: 'service', id: CALENDAR } }],
  ['a tool', toolCall(CALENDAR, 'create_event')],
] as const satisfies readonly (readonly [string, Partial<AccessRequest>])[]) {
  test(`without a policy for ${what} the answer is no`, async () => {
    const engine = await createCedarEngine({ version: 'sha256:example', policies: [{ id: 'events', text: EXAMPLE }] })
    const decision = authorize(accessRequest(changes), engine)
    assert.deepEqual(decision, { effect: 'deny', because: 'no-policy', policies: [], policySet: 'sha256:example' })
  })
}

// What one policy text permits, and what it does not.
for (const [text, yes, no] of [
  [
    'principal in AgentGroup::"spiffe://example.com/agent", action, resource',
    accessRequest(),
    accessRequest(other('spiffe://example.com/agents/x')),
  ],
  [
    'principal in AgentGroup::"spiffe://example.com/agent", action, resource',
    accessRequest(other('spiffe://example.com/agent/team/x')),
    accessRequest(other('spiffe://example.com/agent')),
  ],
  [
    'principal in AgentGroup::"spiffe://example.com/agent", action, resource',
    accessRequest(),
    accessRequest(other('spiffe://example.org/agent/calendar-bot')),
  ],
  [
    'principal in TrustDomain::"example.com", action, resource',
    accessRequest(),
    accessRequest(other('spiffe://example.org/agent/calendar-bot')),
  ],
  [
    'principal, action in Action::"read", resource',
    accessRequest({ action: httpAction('GET', '/') }),
    accessRequest({ action: httpAction('PATCH', '/') }),
  ],
  [
    'principal, action == Action::"call", resource == Tool::"spiffe://example.com/service/calendar#create_event"',
    accessRequest(toolCall(CALENDAR, 'create_event')),
    accessRequest(toolCall(CALENDAR, 'delete_event')),
  ],
  [
    'principal, action == Action::"call", resource in Service::"spiffe://example.com/service/calendar"',
    accessRequest(toolCall(CALENDAR, 'create_event')),
    accessRequest(toolCall(parseSpiffeId('spiffe://example.com/service/mail'), 'create_event')),
  ],
  [
    'principal, action, resource) when { principal.covers.body',
    accessRequest(),
    accessRequest({ principal: principal(BOT, { covers: { method: true, target: true, body: false } }) }),
  ],
  [
    'principal, action, resource) unless { principal.profile == "aims-00"',
    accessRequest(),
    accessRequest({ principal: principal(BOT, { profile: 'aims-00' }) }),
  ],
  [
    'principal, action, resource) when { context has user && context.user == User::"https://login.example.com#alice"',
    accessRequest({ user: { issuer: 'https://login.example.com', subject: 'alice' } }),
    accessRequest({ user: { issuer: 'https://login.example.org', subject: 'alice' } }),
  ],
  [
    'principal, action, resource) when { context has user && context.user == User::"https://a#b#c"',
    accessRequest({ user: { issuer: 'https://a', subject: 'b#c' } }),
    accessRequest(),
  ],
  [
    'principal, action, resource) when { context.numbers.hasTag("amount") && context.numbers.getTag("amount") <= 100',
    accessRequest({ context: { amount: 100 } }),
    accessRequest({ context: { amount: 101 } }),
  ],
  [
    'principal, action, resource) when { context.facts.hasTag("approved") && context.facts.getTag("approved") == "true"',
    accessRequest({ context: { approved: true } }),
    accessRequest({ context: { approved: false } }),
  ],
  [
    'principal, action, resource) when { context.facts.hasTag("constructor")',
    accessRequest({ context: { constructor: 'x' } }),
    accessRequest({ context: { prototype: 'x' } }),
  ],
] as const) {
  test(`permit(${text.slice(0, 90)}: allows what it says and nothing beside`, async () => {
    const engine = await createCedarEngine(policies(`permit(${text}${text.includes('{') ? ' };' : ');'}`))
    assert.equal(authorize(yes, engine).effect, 'allow')
    const refusal = authorize(no, engine)
    assert.ok(refusal.effect === 'deny' && refusal.because === 'no-policy')
  })
}

test('a forbid beats every permit and is named alone', async () => {
  const engine = await createCedarEngine(
    policies(PERMIT_ALL, EXAMPLE, 'forbid(principal, action == Action::"POST", resource);'),
  )
  const decision = authorize(accessRequest(), engine)
  assert.ok(decision.effect === 'deny' && decision.because === 'forbidden')
  assert.deepEqual(decision.policies, ['p2'])
})

test('an empty policy set denies', async () => {
  const decision = authorize(accessRequest(), await createCedarEngine(policies()))
  assert.ok(decision.effect === 'deny' && decision.because === 'no-policy')
})

// Cedar skips a policy that errors. A valid policy can still overflow.
const OVERFLOW = 'context.numbers.hasTag("n") && context.numbers.getTag("n") + 9223372036854775807 > 0'
for (const [which, text] of [
  ['forbid', `forbid(principal, action, resource) when { ${OVERFLOW} };`],
  ['permit', `permit(principal, action, resource) when { ${OVERFLOW} };`],
] as const) {
  test(`a ${which} that cannot be evaluated denies and is named, although another policy permits`, async () => {
    const engine = await createCedarEngine(policies(PERMIT_ALL, text))
    assert.equal(authorize(accessRequest({ context: { m: 1 } }), engine).effect, 'allow')
    const decision = authorize(accessRequest({ context: { n: 1 } }), engine)
    assert.ok(decision.effect === 'deny' && decision.because === 'policy-error')
    assert.deepEqual(decision.policies, ['p1'])
  })
}

// One row per policy that must not reach an engine.
for (const [what, text] of [
  ['an attribute that does not exist', 'permit(principal, action, resource) when { principal.admin };'],
  ['an optional attribute without has', 'permit(principal, action, resource) when { context.user == User::"x" };'],
  ['a fact without hasTag', 'permit(principal, action, resource) when { context.facts.getTag("x") == "y" };'],
  ['a path, where a call has none', 'permit(principal, action, resource) when { context.path == "/" };'],
  ['an unknown action', 'permit(principal, action == Action::"TRACE", resource);'],
  ['an unknown entity type', 'permit(principal == Robot::"x", action, resource);'],
  ['a comparison of two types', 'permit(principal, action, resource) when { principal.method == 1 };'],
  ['an action that its resource does not have', 'permit(principal, action == Action::"GET", resource is Tool);'],
  ['a forbid that can never apply', 'forbid(principal, action, resource) when { false };'],
  ['letters of two scripts', 'permit(principal, action, resource) when { principal.id like "/\u0430gent/*" };'],
  ['a template slot', 'permit(principal == ?principal, action, resource);'],
  ['two policies', `${PERMIT_ALL} ${PERMIT_ALL}`],
  ['nothing', ''],
  ['no Cedar', 'allow everyone'],
] as const) {
  test(`a policy with ${what} does not load`, async () => {
    await assert.rejects(createCedarEngine(policies(text)), { code: 'authorization.invalid_policies' })
  })
}

test('two policies with one id do not load', async () => {
  const twice = [
    { id: 'a', text: PERMIT_ALL },
    { id: 'a', text: EXAMPLE },
  ]
  await assert.rejects(createCedarEngine({ version: 'sha256:twice', policies: twice }), {
    code: 'authorization.invalid_policies',
  })
})

test('a policy may have the id of a member of every object', async () => {
  for (const id of ['__proto__', 'constructor', 'toString']) {
    const engine = await createCedarEngine({ version: `sha256:${id}`, policies: [{ id, text: PERMIT_ALL }] })
    const decision = authorize(accessRequest(), engine)
    assert.deepEqual([decision.effect, decision.policies], ['allow', [id]])
  }
})

test('two engines do not see each other, and neither changes with what is loaded later', async () => {
  const open = await createCedarEngine(policies(PERMIT_ALL))
  const closed = await createCedarEngine(policies())
  assert.equal(authorize(accessRequest(), open).effect, 'allow')
  assert.equal(authorize(accessRequest(), closed).effect, 'deny')
})

test('a policy can ask for the assurance, evidence and manifest behind the credential', async () => {
  const engine = await createCedarEngine(
    policies(`permit(principal, action, resource) when {
      principal.assurance >= 3 && principal.attestedBy.contains("tpm") &&
      principal.model == "vendor/model-4" && principal.tools.contains("create_event")
    };`),
  )
  const manifest = { hash: 'aa', model: 'vendor/model-4', tools: ['create_event'], mcpServers: [] }
  const attested = { assurance: 'high', types: ['tpm'], manifest } as const
  const decide = (changes: Partial<PrincipalFacts>) =>
    authorize(accessRequest({ principal: principal(BOT, changes) }), engine).effect
  assert.equal(decide({ attested }), 'allow')
  assert.equal(decide({}), 'deny')
  assert.equal(decide({ attested: { ...attested, assurance: 'moderate' } }), 'deny')
  assert.equal(decide({ attested: { ...attested, types: ['gcp'] } }), 'deny')
  assert.equal(decide({ attested: { ...attested, manifest: { ...manifest, tools: [] } } }), 'deny')
  assert.equal(decide({ attested: { ...attested, manifest: { ...manifest, model: 'vendor/model-3' } } }), 'deny')
})
