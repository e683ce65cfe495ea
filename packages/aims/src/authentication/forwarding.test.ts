import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { testCa } from '../../../../test/support/x509-identities.ts'
import { AimsError } from '../base/errors.ts'
import { isExactly, isMemberOf } from '../identifiers/matcher.ts'
import { parseSpiffeId, parseWorkloadSpiffeId } from '../identifiers/spiffe-id.ts'
import { createAuthenticator } from './authenticate.ts'
import type { RawHeaders } from './carriage.ts'
import { readForwardedCertificate } from './forwarded-certificate.ts'
import { createMemoryReplayStore } from './replay/memory.ts'
import type { AuthenticatorOptions } from './request.ts'
import type { RouteRequirements } from './route.ts'
import { proofHeaders } from './wpt/create.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const ca = await testCa()
const domain = testDomain('example.com', { now: now() })
const bundle = { ...domain.bundle, x509Authorities: ca.bundle.x509Authorities }
const proxy = await ca.svid('/gateway/envoy')
const agent = await ca.svid('/agent/calendar-bot')
const wit = await domain.wit()
const CALLER = parseSpiffeId('spiffe://example.com/agent/mail-bot')
const HASH = 'ab'.repeat(32)
const XFCC = `By=spiffe://example.com/gateway/envoy;Hash=${HASH};Subject="CN=\\"a,b;c\\"";URI=${CALLER};DNS=x`

const PROXIES = [
  {
    proxy: isExactly(parseSpiffeId('spiffe://example.com/gateway/envoy')),
    vouchesFor: isMemberOf(bundle.trustDomain),
  },
]

function service(given: Partial<AuthenticatorOptions> = {}) {
  const reasons: string[] = []
  const authenticator = createAuthenticator({
    bundles: { bundleFor: (name) => (name === bundle.trustDomain ? bundle : undefined) },
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async ({ reasons: found = [] }) => void reasons.push(...found) },
    methods: ['wit+wpt', 'mtls', 'forwarded'],
    proxies: PROXIES,
    ...given,
  })
  return { authenticator, reasons }
}

const request = (headers: RawHeaders, peerCertificates?: readonly Uint8Array[]) => ({
  method: 'GET',
  target: '/',
  headers,
  peerCertificates,
})
const field = (value: string): RawHeaders => [['X-Forwarded-Client-Cert', value]]

test('whom a proxy names is the caller when the proxy has proved itself, and the principal says who vouches', async () => {
  const principal = await service().authenticator.authenticate(request(field(XFCC), proxy.certificates))
  assert.deepEqual(
    [principal.id, principal.method, principal.assurance, principal.via, principal.credential.id, principal.covers],
    [
      CALLER,
      'forwarded',
      'vouched',
      proxy.spiffeId,
      HASH,
      { method: false, target: false, body: false, response: false },
    ],
  )
})

test('everybody else may send the field, and it says nothing', async () => {
  const { authenticator } = service()
  const direct = await authenticator.authenticate(request(field(XFCC), agent.certificates))
  assert.deepEqual([direct.id, direct.method, direct.via], [agent.spiffeId, 'mtls', undefined])
  const proof = Object.entries(proofHeaders(wit, { method: 'GET', target: '/', audience: AUDIENCE }, { now: now() }))
  const proven = await authenticator.authenticate(request([...field(XFCC), ...proof], proxy.certificates))
  assert.deepEqual([proven.id, proven.method], [wit.subject, 'wit+wpt'])
})

const ELSEWHERE = 'spiffe://other.example/agent/mail-bot'
const REFUSED: readonly (readonly [string, RawHeaders, string, Partial<AuthenticatorOptions>?, RouteRequirements?])[] =
  [
    ['a proxy that says nothing, which is not the caller itself', [], 'authentication.missing'],
    [
      'a proxy where only direct callers count',
      field(XFCC),
      'authentication.method_not_allowed',
      { methods: ['mtls'] },
    ],
    [
      'a proxy on a route for direct callers',
      field(XFCC),
      'authentication.method_not_allowed',
      {},
      { accept: ['mtls'] },
    ],
    [
      'a caller for whom the proxy may not speak',
      field(XFCC),
      'authentication.not_vouched',
      { proxies: [{ ...PROXIES[0], proxy: () => true, vouchesFor: isExactly(agent.spiffeId) }] },
    ],
    [
      'a caller of a domain that nobody here trusts',
      field(`URI=${ELSEWHERE}`),
      'authentication.not_vouched',
      { proxies: [{ proxy: () => true, vouchesFor: () => true }] },
    ],
    [
      'a caller that was revoked',
      field(XFCC),
      'credential.revoked',
      { revocations: { statusOf: ({ subject }) => (subject === CALLER ? 'revoked' : 'good') } },
    ],
    [
      'a proxy that was revoked',
      field(XFCC),
      'credential.revoked',
      { revocations: { statusOf: ({ subject }) => (subject === CALLER ? 'good' : 'revoked') } },
    ],
    [
      'a caller that is not expected',
      field(XFCC),
      'authentication.peer_unexpected',
      { peer: isExactly(agent.spiffeId) },
    ],
    [
      'the word of a proxy where the request must be named',
      field(XFCC),
      'proof.binding_missing',
      {},
      { requireBinding: { method: true } },
    ],
    ['the field twice', [...field(XFCC), ...field(XFCC)], 'authentication.duplicate_field'],
  ]

// [authentication.mtls.05]
for (const [what, headers, code, options, route] of REFUSED) {
  test(`refuses ${what}`, async () => {
    const { authenticator, reasons } = service(options)
    await assert.rejects(authenticator.authenticate(request(headers, proxy.certificates), route), { code })
    assert.deepEqual(reasons, [code])
  })
}

test('an authenticator that takes the word of proxies says of which', () => {
  assert.throws(() => service({ proxies: [] }), TypeError)
})

const MALFORMED: readonly (readonly [string, string])[] = [
  ['two clients', `URI=${CALLER},URI=${CALLER}`],
  ['two URIs', `URI=${CALLER};URI=${CALLER}`],
  ['no URI', `Hash=${HASH}`],
  ['an ID that is none', 'URI=https://example.com'],
  ['an ID of a trust domain', 'URI=spiffe://example.com'],
  ['a hash that is none', `Hash=zz;URI=${CALLER}`],
  ['a key that nobody knows', `User=root;URI=${CALLER}`],
  ['a quote that does not end', `Subject="a;URI=${CALLER}`],
  ['a semicolon at the end', `URI=${CALLER};`],
  ['a blank', `URI=${CALLER} `],
  ['nothing', ''],
]

for (const [what, value] of MALFORMED) {
  test(`X-Forwarded-Client-Cert with ${what} is refused`, () => {
    assert.throws(() => readForwardedCertificate(field(value)), { code: 'authentication.malformed_field' })
  })
}

test('any text in the field names one workload, or is refused', () => {
  const near = fc
    .array(fc.constantFrom('URI=', CALLER, ';', ',', '"', '\\', 'Hash=', HASH, ' ', 'By=', 'a'))
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (value) => {
      let id: string
      try {
        id = readForwardedCertificate(field(value))?.id ?? ''
      } catch (error) {
        return assert.ok(AimsError.is(error), String(error))
      }
      // CALLER, or a workload whose name goes on with letters that stand behind it.
      assert.ok(parseWorkloadSpiffeId(id).startsWith(CALLER), id)
    }),
  )
})
