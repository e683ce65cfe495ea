import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assumePrincipal } from '../authentication/principal.ts'
import type { AuditEvent } from '../base/event.ts'
import { parseWorkloadSpiffeId } from '../identifiers/spiffe-id.ts'
import { joinSubAgentId } from '../identifiers/sub-agent-id.ts'
import { authorize } from './authorize.ts'
import { createAuthorizer } from './authorizer.ts'
import { createCedarEngine } from './cedar-engine.ts'
import type { PolicyEngine } from './engine.ts'
import { type AccessRequest, httpAction, serviceResource, toolCall } from './request.ts'

const PERMITS_ALL: PolicyEngine = {
  version: 'sha256:v1',
  evaluate: () => ({ permits: ['p'], forbids: [], failed: [] }),
}
const parent = parseWorkloadSpiffeId('spiffe://example.com/agent/planner')
const CALENDAR = parseWorkloadSpiffeId('spiffe://example.com/service/calendar')
const EVENTS = parseWorkloadSpiffeId('spiffe://example.com/service/events-api')

function subAgent(rights: readonly string[]) {
  return assumePrincipal({
    id: joinSubAgentId(parent, 'reader'),
    method: 'wit+wpt',
    profile: 'wimse',
    credential: { type: 'wit', id: 'a' },
    covers: { method: true, target: true, body: false },
    expiresAt: 0,
    delegation: { parent, rights },
  })
}
const get = (path: string) => ({ action: httpAction('GET', path), resource: serviceResource(EVENTS) })

test('a sub-agent gets nothing beyond its rights, whatever a policy permits', () => {
  const principal = subAgent([`call ${CALENDAR}#list_events`, `read ${EVENTS} /api/v1`])
  for (const [what, allowed] of [
    [toolCall(CALENDAR, 'list_events'), true],
    [toolCall(CALENDAR, 'create_event'), false],
    [toolCall(EVENTS, 'list_events'), false],
    [get('/api/v1/events?day=1'), true],
    [get('/api/v1'), true],
    [get('/api/v12'), false],
    [get('/'), false],
    [{ action: httpAction('POST', '/api/v1/events'), resource: serviceResource(EVENTS) }, false],
    [{ action: httpAction('GET', '/api/v1/events'), resource: serviceResource(CALENDAR) }, false],
  ] as const) {
    const decision = authorize({ principal, ...what }, PERMITS_ALL)
    assert.equal(decision.effect, allowed ? 'allow' : 'deny')
    if (decision.effect === 'deny') assert.equal(decision.because, 'beyond-rights')
  }
})

test('a sub-agent without rights may do nothing, and rights nobody can read deny', () => {
  const nothing = authorize({ principal: subAgent([]), ...get('/') }, PERMITS_ALL)
  assert.equal(nothing.effect === 'deny' && nothing.because, 'beyond-rights')
  const unreadable = authorize({ principal: subAgent(['everything']), ...get('/') }, PERMITS_ALL)
  assert.equal(unreadable.effect === 'deny' && unreadable.because, 'policy-error')
})

test('rights alone permit nothing: that is for policies', () => {
  const silent: PolicyEngine = { version: 'v', evaluate: () => ({ permits: [], forbids: [], failed: [] }) }
  const decision = authorize({ principal: subAgent([`read ${EVENTS}`]), ...get('/') }, silent)
  assert.equal(decision.effect === 'deny' && decision.because, 'no-policy')
})

test('policies see the parent and the rights, and the sub-agents of an agent are a group', async () => {
  const engine = await createCedarEngine({
    version: 'sha256:test',
    policies: [
      {
        id: 'helpers',
        text: `permit(principal in AgentGroup::"${parent}", action in Action::"read", resource)
               when { principal.parent == "${parent}" && principal.rights.contains("read ${EVENTS}") };`,
      },
    ],
  })
  const ask = (principal: AccessRequest['principal']) => authorize({ principal, ...get('/') }, engine).effect
  assert.equal(ask(subAgent([`read ${EVENTS}`])), 'allow')
  assert.equal(ask(subAgent([`GET ${EVENTS}`])), 'deny')
  const { delegation: _, kind: __, trustDomain: ___, ...facts } = subAgent([])
  assert.equal(ask(assumePrincipal({ ...facts, id: parent })), 'deny')
})

test('the record of a decision depends on the rights it was made with', async () => {
  const events: AuditEvent[] = []
  const authorizer = createAuthorizer({
    engine: PERMITS_ALL,
    observer: { record: async (event) => void events.push(event) },
  })
  await authorizer.authorize({ principal: subAgent([`read ${EVENTS}`]), ...get('/') }, 'a')
  await authorizer.authorize({ principal: subAgent([`GET ${EVENTS}`]), ...get('/') }, 'b')
  const [first, second] = events.map(({ details }) => details?.inputs)
  assert.notEqual(first, second)
})

test('taking rights away never allows a request', () => {
  const rights = fc.subarray([`read ${EVENTS}`, `GET ${EVENTS} /a`, `write ${EVENTS} /b`, `call ${CALENDAR}#x`])
  const requests = fc.constantFrom(get('/a'), get('/b'), toolCall(CALENDAR, 'x'), toolCall(CALENDAR, 'y'))
  fc.assert(
    fc.property(rights, rights, requests, (more, some, request) => {
      const fewer = more.filter((one) => some.includes(one))
      const may = (list: readonly string[]) =>
        authorize({ principal: subAgent(list), ...request }, PERMITS_ALL).effect === 'allow'
      if (may(fewer)) assert.equal(may(more), true)
    }),
  )
})
