import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { observed } from '../../../../../test/support/gateways.ts'
import { AUDIENCE, testDomain } from '../../../../../test/support/identities.ts'
import type { RawHeaders } from '../../authentication/carriage.ts'
import { assumePrincipal, type Principal } from '../../authentication/principal.ts'
import type { IncomingRequest } from '../../authentication/request.ts'
import { type ProofRequest, proofHeaders } from '../../authentication/wpt/create.ts'
import { createAuthorizer } from '../../authorization/authorizer.ts'
import { AimsError } from '../../base/errors.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { isExactly } from '../../identifiers/matcher.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { callerFields, fieldsToRemove, isReservedField } from './fields.ts'
import { createGate, type Gate, type GateOptions } from './gate.ts'
import type { GatewayRoute } from './routes.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const service = parseWorkloadSpiffeId('spiffe://example.com/service/events-api')

function asked(
  change: Partial<IncomingRequest> = {},
  proven: Partial<ProofRequest> = {},
  more: RawHeaders = [],
  by: Wit = wit,
): IncomingRequest {
  const request = { method: 'GET', target: '/api/events?day=1', ...change }
  const { method, target } = request
  const proof = proofHeaders(by, { method, target, audience: AUDIENCE, ...proven }, { now: now() })
  return { ...request, headers: [...Object.entries(proof), ...more], ...change }
}

function gateOf(options: Partial<GateOptions> = {}): ReturnType<typeof observed> & { readonly gate: Gate } {
  const seen = observed(domain)
  return { ...seen, gate: createGate({ authenticator: seen.authenticator, observer: seen.observer, ...options }) }
}

test('a proven request is admitted, with fields that say who calls, and recorded', async () => {
  const { gate, events } = gateOf()
  const verdict = await gate.judge({ ...asked(), id: 'one' })
  assert.equal(verdict.effect, 'admit')
  assert.deepEqual(verdict.effect === 'admit' && verdict.add, [
    ['aims-caller-id', wit.subject],
    ['aims-caller-method', 'wit+wpt'],
    ['aims-caller-assurance', 'proof'],
    ['aims-caller-covers', 'method target'],
    ['aims-request-id', 'one'],
  ])
  assert.deepEqual(verdict.effect === 'admit' && [...verdict.remove].sort(), [
    'authorization',
    'workload-identity-token',
  ])
  assert.deepEqual(
    events.map(({ type, decision, correlationId }) => [type, decision, correlationId]),
    [['authentication.succeeded', 'allow', 'one']],
  )
})

// [authentication.gateway.02] [authentication.gateway.03]
// One row per way to be refused before or after the caller is known: the status that is told, and the code in the record.
const ROUTES: readonly GatewayRoute[] = [
  { path: '/health', methods: ['GET'], requires: 'public' },
  { path: '/api/admin/*', requires: { peer: isExactly(parseWorkloadSpiffeId('spiffe://example.com/agent/other')) } },
  { path: '/api/*', requires: {} },
]
const REFUSED: readonly (readonly [name: string, request: () => IncomingRequest, status: number, code: string])[] = [
  ['without a proof', () => ({ ...asked(), headers: [] }), 401, 'authentication.missing'],
  ['with a parameter behind a segment', () => asked({ target: '/api/admin;x/y' }), 400, 'authorization.ambiguous_path'],
  ['with two slashes', () => asked({ target: '/api//events' }), 400, 'authorization.ambiguous_path'],
  ['with a dot segment', () => asked({ target: '/api/../admin' }), 400, 'authorization.ambiguous_path'],
  ['with an escaped dot segment', () => asked({ target: '/api/%2e%2e/admin' }), 400, 'authorization.ambiguous_path'],
  ['with an escaped slash', () => asked({ target: '/api%2fadmin' }), 400, 'authorization.ambiguous_path'],
  ['with a backslash', () => asked({ target: '/api\\admin' }), 400, 'authorization.ambiguous_path'],
  ['with an absolute target', () => asked({ target: 'http://h/api/x' }), 400, 'authentication.target_unsupported'],
  ['with *', () => asked({ method: 'OPTIONS', target: '*' }), 400, 'authentication.target_unsupported'],
  ['with a fragment', () => asked({ target: '/api/x#y' }), 400, 'authentication.target_unsupported'],
  ['with a path that is too long', () => asked({ target: `/${'a'.repeat(2048)}` }), 414, 'authorization.path_too_long'],
  ['on no route', () => asked({ target: '/other' }), 403, 'authorization.no_route'],
  ['on a route by its beginning only', () => asked({ target: '/apis' }), 403, 'authorization.no_route'],
  [
    'with a method that no route has',
    () => asked({ method: 'POST', target: '/health' }),
    403,
    'authorization.no_route',
  ],
  [
    'of a peer that the route does not know',
    () => asked({ target: '/api/admin/x' }),
    403,
    'authentication.peer_unexpected',
  ],
  ['proven for another target', () => asked({}, { target: '/api/others' }), 401, 'proof.target_mismatch'],
  ['proven for another method', () => asked({}, { method: 'POST' }), 401, 'proof.method_mismatch'],
]
for (const [name, request, status, code] of REFUSED) {
  test(`a request ${name} is refused, and recorded under the id that is told`, async () => {
    const { gate, events, reason } = gateOf({ routes: ROUTES })
    const verdict = await gate.judge(request())
    assert.equal(verdict.effect, 'refuse')
    assert.equal(verdict.effect === 'refuse' && verdict.response.status, status)
    assert.equal(reason(), code)
    assert.equal(verdict.effect === 'refuse' && verdict.response.headers['aims-request-id'], verdict.id)
    assert.equal(events.at(-1)?.correlationId, verdict.id)
    // [authentication.explain.01]
    const { checks = [] } = events.at(-1) ?? {}
    assert.equal(checks.at(-1)?.outcome, 'failed')
    assert.notEqual(checks.at(-1)?.check, 'other')
  })
}

test('the record of a reserved field names it, and not what is in it', async () => {
  const { gate, events } = gateOf({ routes: ROUTES, refuseReservedFields: true })
  const headers: RawHeaders = [
    ['Aims_Caller.Id', 'spiffe://example.com/agent/admin'],
    ['host', 'api.example.com'],
    ['x-original-url', '/admin'],
  ]
  await gate.judge({ method: 'GET', target: '/health', headers })
  const [event] = events
  assert.deepEqual(event?.checks, [
    { check: 'request.reserved-fields', outcome: 'failed', observed: 'Aims_Caller.Id, x-original-url' },
  ])
})

test('nobody is asked on a public route, and nobody is named', async () => {
  const { gate } = gateOf({ routes: ROUTES })
  const verdict = await gate.judge({ method: 'GET', target: '/health', headers: [['aims_caller_id', 'x']], id: 'h' })
  assert.deepEqual(verdict, {
    effect: 'admit',
    id: 'h',
    caller: undefined,
    add: [['aims-request-id', 'h']],
    remove: ['aims_caller_id'],
  })
})

test('fields beyond those that are counted are refused on a public route as well', async () => {
  const { gate, reason } = gateOf({ routes: ROUTES, refuseReservedFields: true })
  const headers: RawHeaders = Array.from({ length: 101 }, (_, at) => [`x-${at}`, 'x'])
  const verdict = await gate.judge({ method: 'GET', target: '/health', headers })
  assert.equal(verdict.effect === 'refuse' && verdict.response.status, 400)
  assert.equal(reason(), 'authentication.malformed_field')
})

// [authentication.gateway.04]
test('what cannot be recorded is not let through', async () => {
  const { authenticator } = observed(domain)
  const observer = { record: () => Promise.reject(new AimsError('storage.full', 'the disk is full')) }
  const verdict = await createGate({ authenticator, observer }).judge(asked())
  assert.equal(verdict.effect === 'refuse' && verdict.response.status, 503)
})

test('policies decide after the caller is known, and a no is 403 with nothing of the policy in it', async () => {
  for (const [permits, status] of [
    [['p1'], undefined],
    [[], 403],
  ] as const) {
    const seen = observed(domain)
    const engine = { version: 'v1', evaluate: () => ({ permits, forbids: [], failed: [] }) }
    const authorizer = createAuthorizer({ engine, observer: seen.observer })
    const gate = createGate({ ...seen, authorization: { authorizer, service } })
    const verdict = await gate.judge(asked())
    assert.equal(verdict.effect === 'refuse' ? verdict.response.status : undefined, status)
    assert.deepEqual(
      seen.events.map(({ type, decision }) => [type, decision]),
      [['authorization.decided', status === undefined ? 'allow' : 'deny']],
    )
    if (verdict.effect === 'refuse') assert.equal(JSON.parse(verdict.response.body).code, 'authorization.denied')
  }
  const gate = gateOf({
    authorization: { authorizer: { authorize: () => Promise.reject(new Error('gone')) }, service },
  }).gate
  const unknown = await gate.judge(asked({ method: 'BREW' }))
  assert.equal(unknown.effect === 'refuse' && unknown.response.status, 405)
  const broken = await gate.judge(asked())
  assert.equal(broken.effect === 'refuse' && broken.response.status, 500)
})

const SUB_AGENTS: readonly (readonly [string, readonly string[], number | undefined, Partial<IncomingRequest>?])[] = [
  ['the right to this path', [`GET ${service} /api/events`], undefined],
  ['the right to what is above it', [`read ${service} /api`], undefined],
  ['the right to all of the service', [`GET ${service}`], undefined],
  ['no rights', [], 403],
  ['the right to another path', [`GET ${service} /api/rooms`], 403],
  ['the right to another method', [`POST ${service} /api/events`], 403],
  ['the right to another service', ['GET spiffe://example.com/service/other /api/events'], 403],
  ['the right to a tool', [`call ${service}#events`], 403],
  ['the right to read, which writes', [`read ${service}`], 403, { method: 'POST' }],
  ['all rights, and a method that no right can name', [`write ${service}`], 405, { method: 'BREW' }],
]
for (const [what, rights, status, change] of SUB_AGENTS) {
  // [authentication.gateway.10]
  test(`without policies, a sub-agent with ${what} is ${status === undefined ? 'admitted' : 'refused'}`, async () => {
    const reader = await domain.wit({ path: '/agent/calendar-bot/sub/reader', rights })
    const { gate, events } = gateOf({ service })
    const verdict = await gate.judge(asked(change, {}, [], reader))
    assert.equal(verdict.effect === 'refuse' ? verdict.response.status : undefined, status)
    const { type, decision, reasons, agent } = events.at(-1) ?? {}
    if (status === 405) return assert.deepEqual(reasons, ['authorization.unknown_method'])
    assert.deepEqual(
      [type, decision, reasons, agent?.id],
      status === undefined
        ? ['authorization.decided', 'allow', ['within-rights'], reader.subject]
        : ['authorization.decided', 'deny', ['beyond-rights'], reader.subject],
    )
    assert.equal(events.length, 1)
  })
}

// [authentication.gateway.10]
test('a gate that has nothing to compare rights with refuses sub-agents, and nobody else', async () => {
  const reader = await domain.wit({ path: '/agent/calendar-bot/sub/reader', rights: [`GET ${service}`] })
  const { gate, reason } = gateOf()
  const verdict = await gate.judge(asked({}, {}, [], reader))
  assert.equal(verdict.effect === 'refuse' && verdict.response.status, 403)
  assert.equal(verdict.effect === 'refuse' && JSON.parse(verdict.response.body).code, 'authorization.rights_unchecked')
  assert.equal(reason(), 'authorization.rights_unchecked')
  assert.equal((await gate.judge(asked())).effect, 'admit')
})

// [authentication.gateway.10]
test('policies do not widen the rights of a sub-agent, and those that say no are heard within them', async () => {
  for (const [rights, permits, effect] of [
    [[`GET ${service}`], ['p1'], 'admit'],
    [[`GET ${service}`], [], 'refuse'],
    [[], ['p1'], 'refuse'],
  ] as const) {
    const reader = await domain.wit({ path: '/agent/calendar-bot/sub/reader', rights })
    const seen = observed(domain)
    const engine = { version: 'v1', evaluate: () => ({ permits, forbids: [], failed: [] }) }
    const authorizer = createAuthorizer({ engine, observer: seen.observer })
    const gate = createGate({ ...seen, service, authorization: { authorizer, service } })
    assert.equal((await gate.judge(asked({}, {}, [], reader))).effect, effect)
  }
})

test('reserved fields are taken away, or refused where they cannot be', async () => {
  const forged: RawHeaders = [['Aims-Caller-Id', 'spiffe://example.com/agent/admin']]
  const taken = await gateOf().gate.judge(asked({}, {}, forged))
  assert.ok(taken.effect === 'admit' && taken.remove.includes('Aims-Caller-Id'))
  const { gate, reason } = gateOf({ refuseReservedFields: true })
  const refused = await gate.judge(asked({}, {}, forged))
  assert.equal(refused.effect === 'refuse' && refused.response.status, 400)
  assert.equal(reason(), 'authentication.reserved_field')
})

// [authentication.gateway.01]
test('which fields are reserved, in every spelling that a server behind may read alike', () => {
  const reserved = [
    'AIMS-CALLER-ID',
    'aims_caller_id',
    'Aims-Caller_Foo',
    'aims-request-id',
    'X_Forwarded_Client_Cert',
    'aims.caller.id',
    "aims!caller'via",
    'X-HTTP-Method-Override',
    'client-cert',
    'Client_Cert_Chain',
    'x-original-url',
    'x-original-method',
    'x-forwarded-uri',
  ]
  for (const name of reserved) assert.equal(isReservedField(name), true, name)
  for (const name of ['aims', 'aims-caller', 'x-aims-caller-id', 'host', 'authorization', 'x-forwarded-for']) {
    assert.equal(isReservedField(name), false, name)
  }
  fc.assert(
    fc.property(
      fc.string(),
      (name) => isReservedField(name) === isReservedField(name.toUpperCase().replaceAll('-', '.')),
    ),
  )
})

function principal(change: Partial<Parameters<typeof assumePrincipal>[0]> = {}): Principal {
  return assumePrincipal({
    id: wit.subject,
    method: 'jwt-svid',
    credential: { type: 'jwt-svid', id: 'x' },
    covers: { method: false, target: false, body: false },
    expiresAt: now(),
    ...change,
  })
}

// [authentication.gateway.09]
test('a token that the gateway has judged goes no further; one that is for the service does', () => {
  const bearer: RawHeaders = [['Authorization', 'Bearer a.b.c']]
  assert.deepEqual(fieldsToRemove(bearer, principal()), ['Authorization'])
  assert.deepEqual(fieldsToRemove(bearer, principal({ method: 'wit+wpt', profile: 'aims-00' })), ['Authorization'])
  assert.deepEqual(fieldsToRemove(bearer, principal({ method: 'http-signature', profile: 'wimse' })), [])
  assert.deepEqual(fieldsToRemove(bearer, undefined), [])
  assert.deepEqual(fieldsToRemove([['authorization', 'wpt x']], undefined), ['authorization'])
  // A proof behind another token is a proof, in a line of either spelling.
  const two: RawHeaders = [...bearer, ['Authorization', 'WPT x'], ['authorization', 'Bearer y']]
  assert.deepEqual(fieldsToRemove(two, undefined), ['Authorization'])
})

test('a vouched caller and a sub-agent are told as such', () => {
  const via = parseWorkloadSpiffeId('spiffe://example.com/envoy')
  const fields = Object.fromEntries(
    callerFields(principal({ method: 'forwarded', via, delegation: { parent: service, rights: [] } }), 'i'),
  )
  assert.equal(fields['aims-caller-via'], via)
  assert.equal(fields['aims-caller-parent'], service)
  assert.equal(fields['aims-caller-covers'], 'none')
  assert.equal(fields['aims-caller-assurance'], 'vouched')
})

test('routes that cannot be meant are mistakes of the program', () => {
  const { authenticator, observer } = observed(domain)
  const wrong: readonly (readonly GatewayRoute[])[] = [
    [],
    [{ path: 'api', requires: {} }],
    [{ path: '/api*', requires: {} }],
    [{ path: '/a/*/b', requires: {} }],
    [{ path: '/a;b', requires: {} }],
    [{ path: '/a', methods: [], requires: {} }],
    [{ path: '/a', methods: ['get'], requires: {} }],
    [{ path: '/a', requires: { accept: ['mtls'] } }],
  ]
  for (const routes of wrong) assert.throws(() => createGate({ authenticator, observer, routes }), TypeError)
})
