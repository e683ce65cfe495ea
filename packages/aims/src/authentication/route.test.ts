import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../test/support/identities.ts'
import { WorkloadKey } from '../base/keys.ts'
import { issueJwtSvid } from '../credentials/jwt-svid/issue.ts'
import { isExactly, isMemberOf } from '../identifiers/matcher.ts'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { createAuthenticator } from './authenticate.ts'
import { createMemoryReplayStore } from './replay/memory.ts'
import { bindingOf, type RouteRequirements } from './route.ts'
import { createWpt, proofHeaders } from './wpt/create.ts'

const domain = testDomain()
const wit = await domain.wit()
const AGENT = parseSpiffeId(wit.subject)
const events: string[] = []
const request = { method: 'POST', target: '/api/v1/events', audience: AUDIENCE }

function service(methods: readonly ('wit+wpt' | 'mtls' | 'jwt-svid')[] = ['wit+wpt', 'mtls']) {
  return createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async ({ reasons = [] }) => void events.push(...reasons) },
    clock: () => NOW,
    methods,
    peer: isMemberOf(domain.bundle.trustDomain),
  })
}

const proven = (target = request.target) => ({
  method: 'POST',
  target,
  headers: Object.entries(proofHeaders(wit, { ...request, target }, { now: NOW })),
})

test('a route that asks for nothing more takes what the service takes', async () => {
  for (const route of [{}, { accept: ['wit+wpt'] }, { peer: isExactly(wit.subject) }] as const) {
    assert.equal((await service().authenticate(proven(), route)).id, wit.subject)
  }
})

const other = isExactly(parseSpiffeId('spiffe://example.com/agent/other'))
const REFUSED: readonly (readonly [string, RouteRequirements, string])[] = [
  ['accepts certificates only', { accept: ['mtls'] }, 'authentication.no_client_certificate'],
  ['is for another caller', { peer: other }, 'authentication.peer_unexpected'],
  ['has a body that proofs must name', { requireBinding: { body: true } }, 'proof.binding_missing'],
]

for (const [what, route, code] of REFUSED) {
  test(`a proof that is good elsewhere is refused where a route ${what}`, async () => {
    const body = Buffer.from('{}')
    await assert.rejects(service().authenticate({ ...proven(), body }, route), { code })
    assert.equal(events.at(-1), code)
  })
}

test('what the service asks for everywhere, a route cannot take back', async () => {
  const everywhere = { method: true, body: true }
  assert.deepEqual(bindingOf(everywhere, { requireBinding: { method: false, target: true, body: false } }), {
    method: true,
    target: true,
    body: true,
  })
  assert.deepEqual(bindingOf(everywhere, {}), everywhere)
  // The peer of the service counts although the one of the route would do.
  const stranger = testDomain('other.example')
  const theirs = await stranger.wit()
  const token = createWpt(theirs, request, { now: NOW })
  const headers = [
    ['authorization', `WPT ${token}`],
    ['workload-identity-token', theirs.token],
  ] as const
  const authenticator = createAuthenticator({
    bundles: stranger.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1 }),
    observer: { record: async () => undefined },
    clock: () => NOW,
    peer: isMemberOf(domain.bundle.trustDomain),
  })
  await assert.rejects(authenticator.authenticate({ ...request, headers }, { peer: () => true }), {
    code: 'authentication.peer_unexpected',
  })
})

test('a route that accepts what the service does not is a mistake of the program, and lets nobody in', async () => {
  await assert.rejects(service().authenticate(proven(), { accept: ['jwt-svid'] }), TypeError)
  await assert.rejects(service().authenticate(proven(), { accept: [] }), TypeError)
})

test('the challenge of a route names what the route accepts', async () => {
  const authenticator = service(['wit+wpt', 'mtls', 'jwt-svid'])
  const nothing = { method: 'GET', target: '/', headers: [] }
  for (const [accept, challenge] of [
    [['jwt-svid'], 'Bearer'],
    [['wit+wpt', 'mtls'], 'WPT'],
    [['mtls'], undefined],
  ] as const) {
    const error = await authenticator.authenticate(nothing, { accept }).catch((refused: unknown) => refused)
    assert.equal(authenticator.problem(error, 'id', { accept }).headers['www-authenticate'], challenge)
  }
})

test('a bearer token is refused where something of the request must be named', async () => {
  const signer = WorkloadKey.generate()
  const bundle = {
    ...domain.bundle,
    jwtAuthorities: new Map([[signer.kid, { ...signer, key: signer.publicKey, thumbprint: signer.kid }]]),
  }
  const { token } = await issueJwtSvid({ subject: AGENT, audiences: [AUDIENCE], now: NOW, ttl: 60 }, signer)
  const authenticator = createAuthenticator({
    bundles: { bundleFor: () => bundle },
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1 }),
    observer: { record: async () => undefined },
    clock: () => NOW,
    methods: ['jwt-svid'],
  })
  const bearer = { method: 'GET', target: '/', headers: [['authorization', `Bearer ${token}`]] } as const
  assert.equal((await authenticator.authenticate(bearer)).method, 'jwt-svid')
  for (const part of ['method', 'target', 'body'] as const) {
    await assert.rejects(authenticator.authenticate(bearer, { requireBinding: { [part]: true } }), {
      code: 'proof.binding_missing',
    })
  }
})
