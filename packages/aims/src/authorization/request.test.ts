import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPrincipal, type Principal, type PrincipalFacts } from '../authentication/principal.ts'
import { trustDomainOf } from '../identifiers/spiffe-id.ts'
import { httpAction, serviceResource, toolCall } from './request.ts'
import { BOT, CALENDAR, EVENTS, principal } from './testing.ts'

test('an HTTP request becomes an action on a service, a tool call an action on a tool of its server', () => {
  assert.deepEqual(httpAction('POST', '/api/v1/events?x=1'), { kind: 'http', method: 'POST', path: '/api/v1/events' })
  assert.deepEqual(serviceResource(EVENTS), { kind: 'service', id: EVENTS })
  assert.deepEqual(toolCall(CALENDAR, 'create_event'), {
    action: { kind: 'call' },
    resource: { kind: 'tool', server: CALENDAR, name: 'create_event' },
  })
})

for (const method of ['post', 'PROPFIND', 'CONNECT', 'TRACE', '', 'GET ', '__proto__', 'constructor']) {
  test(`the method ${JSON.stringify(method)} is refused`, () => {
    assert.throws(() => httpAction(method, '/'), { code: 'authorization.unknown_method' })
  })
}

test('an action on an ambiguous path is refused', () => {
  assert.throws(() => httpAction('GET', '/a/../b'), { code: 'authorization.ambiguous_path' })
})

for (const name of ['', 'a b', 'a#b', 'a"b', 'é', 'a\n', 'a'.repeat(129)]) {
  test(`the tool name ${JSON.stringify(name.slice(0, 10))} is refused`, () => {
    assert.throws(() => toolCall(CALENDAR, name), { code: 'authorization.invalid_tool' })
  })
}

test('a principal cannot be written by hand, nor changed once made', () => {
  // @ts-expect-error only `authenticate` makes one
  const forged: Principal = { ...facts(), kind: 'principal', trustDomain: trustDomainOf(BOT) }
  assert.equal(isPrincipal(forged), false)
  const made = principal()
  assert.equal(isPrincipal(made), true)
  for (const part of [made, made.covers, made.credential]) assert.ok(Object.isFrozen(part))
})

function facts(): PrincipalFacts {
  const { id, method, credential, covers, expiresAt } = principal()
  return { id, method, credential, covers, expiresAt }
}
