import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assumePrincipal } from '../../authentication/principal.ts'
import { findRequestProblem } from '../../authorization/request.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { isDecided, toAccessRequest } from './access-request.ts'

const id = parseWorkloadSpiffeId('spiffe://example.com/service/bank')
const alice = assumePrincipal({
  id: parseWorkloadSpiffeId('spiffe://example.com/agent/alice'),
  method: 'wit+wpt',
  credential: { type: 'wit', id: 'one' },
  covers: { method: true, target: true, body: true },
  expiresAt: 4_102_444_800,
})

test('any arguments make a question that is proper, and then policies see all of them [authorization.mcp.01]', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (args) => {
      const request = toAccessRequest({ method: 'tools/call', params: { name: 'pay', arguments: args } }, alice, { id })
      if (findRequestProblem(request) === undefined) assert.deepEqual({ ...request.context }, { ...args })
    }),
  )
})

test('any message makes a question about this server, and never fails', () => {
  const params = fc.oneof(
    fc.dictionary(fc.string(), fc.jsonValue()),
    fc.record({ name: fc.jsonValue(), arguments: fc.jsonValue() }),
  )
  fc.assert(
    fc.property(fc.oneof(fc.constant('tools/call'), fc.string()), params, (method, given) => {
      const { resource, principal } = toAccessRequest({ method, params: given }, alice, { id })
      assert.equal(principal, alice)
      assert.ok(resource.kind === 'tool' && resource.server === id)
      // The names of tools and those of methods do not meet.
      assert.equal(resource.name.startsWith('mcp/'), method !== 'tools/call')
    }),
  )
})

// Free for everybody who is authenticated, and nothing else is.
const OPEN = [
  'initialize',
  'ping',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'server/discover',
  'tools/list',
]

for (const method of OPEN) {
  test(`${method} is not decided`, () => assert.equal(isDecided(method), false))
}

for (const method of [
  'tools/call',
  'resources/read',
  'resources/subscribe',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'tasks/get',
  'tools/List',
  'tools/list ',
  '',
  'constructor',
  'acme/anything',
]) {
  test(`${JSON.stringify(method)} is decided [authorization.mcp.01]`, () => assert.equal(isDecided(method), true))
}
