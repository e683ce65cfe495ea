import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import { WorkloadKey } from '../../base/keys.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { createAuthenticator } from '../authenticate.ts'
import type { RawHeaders } from '../carriage.ts'
import { type Component, component } from '../message-signatures/components.ts'
import { contentDigest } from '../message-signatures/content-digest.ts'
import { signMessageLocally } from '../message-signatures/sign.ts'
import { toParameters } from '../message-signatures/signature.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import type { AuthenticatorOptions, IncomingRequest } from '../request.ts'
import { createWpt } from '../wpt/create.ts'
import { SIGNATURE_TAG } from './shapes.ts'
import { signRequest } from './sign.ts'
import { verifyRequestSignature } from './verify-request.ts'

const domain = testDomain()
const foreign = testDomain('foreign.example')
const { trustDomain } = domain.bundle
const key = WorkloadKey.generate()
const wit = await domain.wit({ key })
const sameKey = await domain.wit({ key })
const otherKey = await domain.wit()
const foreignWit = await foreign.wit({ key })
const expired = await domain.wit({ key, ttl: 1 })
const server = await domain.wit({ path: '/service/events-api' })

const BODY = Buffer.from('{"title":"standup"}')
const TARGET = '/api/v1/events?day=1'
const TYPE: RawHeaders = [['Content-Type', 'application/json']]
const OLDER = { profile: 'wimse-http-signature-06', trustDomains: [trustDomain] } as const

function service(given: Partial<AuthenticatorOptions> = {}) {
  const reasons: string[] = []
  const types: string[] = []
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: {
      record: async (event) => {
        types.push(event.type)
        reasons.push(...(event.reasons ?? []))
      },
    },
    clock: () => NOW,
    ...given,
  })
  return { authenticator, reasons, types }
}

/** How a request is signed, where our own client would not sign it so. */
interface Forged {
  readonly wit?: Wit
  readonly signer?: WorkloadKey
  readonly target?: string
  readonly method?: string
  readonly headers?: RawHeaders
  readonly covered?: readonly (string | Component)[]
  readonly parameters?: { readonly [name: string]: number | string | true | undefined }
  readonly label?: string
  readonly body?: Uint8Array
}

const PARAMETERS = {
  created: NOW,
  expires: NOW + 60,
  nonce: 'nonce-of-this-request',
  tag: SIGNATURE_TAG,
  'wimse-aud': AUDIENCE,
}
const COVERED = ['@method', '@path', '@query', 'content-type', 'content-digest', 'workload-identity-token']

function forge(given: Forged = {}): IncomingRequest {
  const { method = 'POST', target = TARGET, covered = COVERED, body = BODY, label = 'wimse' } = given
  const holder = given.wit ?? wit
  const headers: RawHeaders = given.headers ?? [
    ...TYPE,
    ['Content-Digest', contentDigest(BODY)],
    ['Workload-Identity-Token', holder.token],
  ]
  const fields = signMessageLocally({ method, target, headers }, given.signer ?? holder.key, {
    label,
    components: covered.map((one) => (typeof one === 'string' ? component(one) : one)),
    parameters: toParameters({ ...PARAMETERS, ...given.parameters }),
  })
  return { method, target, headers: [...headers, ...Object.entries(fields)], body }
}

const without = (headers: RawHeaders, field: string): RawHeaders =>
  headers.filter(([name]) => name.toLowerCase() !== field)
const plus = (request: IncomingRequest, ...fields: RawHeaders): IncomingRequest => ({
  ...request,
  headers: [...request.headers, ...fields],
})
const changed = (request: IncomingRequest, field: string, change: (value: string) => string): IncomingRequest => ({
  ...request,
  headers: request.headers.map(([name, value]) => [name, name.toLowerCase() === field ? change(value) : value]),
})

// [authentication.http-signature.01] [authentication.http-signature.02]
test('a signed request tells who calls, and what the signature covers', async () => {
  const { headers } = signRequest(
    wit,
    { method: 'POST', target: TARGET, audience: AUDIENCE, headers: TYPE, body: BODY },
    { now: NOW },
  )
  const { authenticator, types } = service()
  const request = { method: 'POST', target: TARGET, headers: [...TYPE, ...Object.entries(headers)], body: BODY }
  const principal = await authenticator.authenticate(request)
  assert.deepEqual(
    [principal.id, principal.method, principal.assurance, principal.profile, principal.covers],
    [wit.subject, 'http-signature', 'proof', 'wimse', { method: true, target: true, body: true, response: false }],
  )
  assert.equal(authenticator.responseSigner(principal), undefined)
  assert.deepEqual(types, [])
})

for (const alg of ['ES256', 'ES384'] as const) {
  // [authentication.http-signature.07]
  test(`${alg}: the algorithm is that of the key in the WIT`, async () => {
    const theirs = await domain.wit({ key: WorkloadKey.generate(alg) })
    assert.equal((await service().authenticator.authenticate(forge({ wit: theirs }))).id, theirs.subject)
  })
}

const QUERYLESS = {
  target: '/api/v1/events',
  covered: ['@method', '@path', '@query', 'workload-identity-token'],
  headers: [['Workload-Identity-Token', wit.token]] as RawHeaders,
  body: new Uint8Array(),
}
const AUTHORIZED = (token: string): RawHeaders => [
  ...TYPE,
  ['Authorization', token],
  ['Content-Digest', contentDigest(BODY)],
  ['Workload-Identity-Token', wit.token],
]

const ACCEPTED: readonly (readonly [string, () => IncomingRequest, Partial<AuthenticatorOptions>?])[] = [
  ['without a query, and without a body', () => forge(QUERYLESS)],
  ['that covers more than it must', () => forge({ covered: [...COVERED, '@request-target'] })],
  ['with another label', () => forge({ label: 'sig1' })],
  [
    'for the target URI as the audience',
    () => forge({ parameters: { 'wimse-aud': `${AUDIENCE}/api/v1/events` } }),
    { origins: [AUDIENCE] },
  ],
  [
    'with a bearer token that is covered',
    () => forge({ headers: AUTHORIZED('Bearer x'), covered: [...COVERED, 'authorization'] }),
  ],
  // [authentication.http-signature.16]
  [
    'F17 beside a signature of a proxy that covers what nobody here knows',
    () =>
      changed(
        changed(
          forge(),
          'signature-input',
          (text) => `proxy=("@unheard-of";x "x-none");alg="hmac-sha256";keyid="p";tag="proxy", ${text}`,
        ),
        'signature',
        (text) => `proxy=:AAAA:, ${text}`,
      ),
  ],
  [
    'F17 beside a signature of a proxy on lines of its own',
    () => plus(forge(), ['Signature-Input', 'p=("host");created=1'], ['Signature', 'p=:AAAA:']),
  ],
  // [authentication.http-signature.15]
  ['with a wish for signatures that cover less', () => plus(forge(), ['Accept-Signature', 'sig=();created'])],
]

for (const [what, make, options] of ACCEPTED) {
  test(`takes a request ${what}`, async () => {
    assert.equal((await service(options).authenticator.authenticate(make())).id, wit.subject)
  })
}

test('F19: names in lower case, as HTTP/2 has them, have the same base', async () => {
  const request = forge()
  const lower = {
    ...request,
    headers: request.headers.map(([name, value]): [string, string] => [name.toLowerCase(), value]),
  }
  assert.equal((await service().authenticator.authenticate(lower)).id, wit.subject)
})

const digested = (digest: string): RawHeaders => [
  ...TYPE,
  ['Content-Digest', digest],
  ['Workload-Identity-Token', wit.token],
]
const undigested: RawHeaders = [...TYPE, ['Workload-Identity-Token', wit.token]]
const swapped = (): IncomingRequest => changed(forge(), 'workload-identity-token', () => sameKey.token)

// One row breaks one rule.
// [authentication.http-signature.04] [authentication.http-signature.05] [authentication.http-signature.06]
// [authentication.http-signature.03] [authentication.http-signature.08] [authentication.http-signature.09]
// [authentication.aims.04]
const REFUSED: readonly (readonly [string, () => IncomingRequest, string, Partial<AuthenticatorOptions>?])[] = [
  ['F1 keyid', () => forge({ parameters: { keyid: 'k' } }), 'signature.forbidden_parameter'],
  ['F1 alg', () => forge({ parameters: { alg: 'ecdsa-p256-sha256' } }), 'signature.forbidden_parameter'],
  [
    'wimse-req-nonce in a request',
    () => forge({ parameters: { 'wimse-req-nonce': 'nonce-of-another' } }),
    'signature.forbidden_parameter',
  ],
  ['F2 no created', () => forge({ parameters: { created: undefined } }), 'signature.missing_parameter'],
  ['F2 no expires', () => forge({ parameters: { expires: undefined } }), 'signature.missing_parameter'],
  ['F2 no nonce', () => forge({ parameters: { nonce: undefined } }), 'signature.missing_parameter'],
  ['F2 no wimse-aud', () => forge({ parameters: { 'wimse-aud': undefined } }), 'signature.missing_parameter'],
  ['F2 F3 no tag', () => forge({ parameters: { tag: undefined } }), 'signature.missing'],
  ['F3 another tag, under our label', () => forge({ parameters: { tag: 'web-bot-auth' } }), 'signature.missing'],
  [
    'F3 a tag that only begins like ours',
    () => forge({ parameters: { tag: `${SIGNATURE_TAG}x` } }),
    'signature.missing',
  ],
  [
    'F3 two signatures with the tag',
    () => {
      const other = forge({ label: 'second', parameters: { nonce: 'nonce-of-the-second' } })
      return plus(forge(), ...other.headers.filter(([name]) => name.startsWith('signature')))
    },
    'signature.ambiguous',
  ],
  ...['@method', '@path', '@query'].map(
    (left) =>
      [
        `F4 ${left} not covered`,
        () => forge({ covered: COVERED.filter((name) => name !== left) }),
        'signature.not_covered',
      ] as const,
  ),
  ...['content-type', 'content-digest'].map(
    (left) =>
      [
        `F4 ${left} not covered`,
        () => forge({ covered: COVERED.filter((name) => name !== left) }),
        'signature.not_covered',
      ] as const,
  ),
  [
    'F8 the WIT not covered',
    () => forge({ covered: COVERED.filter((name) => name !== 'workload-identity-token') }),
    'signature.not_covered',
  ],
  ['F4 Authorization not covered', () => forge({ headers: AUTHORIZED('Bearer x') }), 'signature.not_covered'],
  ['F4 Txn-Token not covered', () => plus(forge(), ['Txn-Token', 'x']), 'signature.not_covered'],
  [
    'a token of the application not covered',
    () => plus(forge(), ['X-User-Token', 'x']),
    'signature.not_covered',
    { contextTokens: ['x-user-token'] },
  ],
  [
    'F4 one member of the digest covered',
    () =>
      forge({
        covered: [
          ...COVERED.filter((name) => name !== 'content-digest'),
          component('content-digest', { key: 'sha-256' }),
        ],
      }),
    'signature.not_covered',
  ],
  ['F5 another body', () => ({ ...forge(), body: Buffer.from('{"title":"party"}') }), 'signature.digest_mismatch'],
  [
    'F5 another body with its digest',
    () => changed({ ...forge(), body: Buffer.from('x') }, 'content-digest', () => contentDigest(Buffer.from('x'))),
    'signature.invalid_signature',
  ],
  [
    'F5 a body without a digest',
    () => forge({ headers: undigested, covered: COVERED.filter((name) => name !== 'content-digest') }),
    'signature.digest_missing',
  ],
  [
    'F5 a body with md5 only',
    () => forge({ headers: digested('md5=:Sd/dVLAcvNLSq16eXua5uQ==:') }),
    'signature.digest_unsupported',
  ],
  [
    'F6 a query that was added',
    () => ({ ...forge(QUERYLESS), target: '/api/v1/events?admin=1' }),
    'signature.invalid_signature',
  ],
  ['F6 a query that was taken away', () => ({ ...forge(), target: '/api/v1/events' }), 'signature.invalid_signature'],
  [
    'F7 a slash that was written another way',
    () => ({ ...forge(), target: '/api%2Fv1/events?day=1' }),
    'signature.invalid_signature',
  ],
  [
    'F7 dots that lead to the same path',
    () => ({ ...forge(), target: '/api/x/../v1/events?day=1' }),
    'signature.invalid_signature',
  ],
  ['another method', () => ({ ...forge(), method: 'PUT' }), 'signature.invalid_signature'],
  ['F8 another WIT for the same key', swapped, 'signature.invalid_signature'],
  ['the key of another WIT', () => forge({ signer: otherKey.key }), 'signature.invalid_signature'],
  ['a WIT of another domain', () => forge({ wit: foreignWit }), 'credential.untrusted_domain'],
  ['a WIT that has expired', () => forge({ wit: expired }), 'credential.expired', { clock: () => NOW + 2 }],
  [
    'no WIT',
    () => ({ ...forge(), headers: without(forge().headers, 'workload-identity-token') }),
    'authentication.missing_credential',
  ],
  ['two WITs', () => plus(forge(), ['Workload-Identity-Token', wit.token]), 'authentication.duplicate_field'],
  [
    'F9 created in the future',
    () => forge({ parameters: { created: NOW + 31, expires: NOW + 60 } }),
    'signature.not_yet_valid',
  ],
  ['F9 expires that is now', () => forge({ parameters: { created: NOW - 60, expires: NOW } }), 'signature.expired'],
  [
    'F9 expires before created',
    () => forge({ parameters: { created: NOW + 20, expires: NOW + 10 } }),
    'signature.invalid_parameter',
  ],
  ['F9 301 seconds', () => forge({ parameters: { expires: NOW + 301 } }), 'signature.lifetime_too_long'],
  ['created as text', () => forge({ parameters: { created: String(NOW) } }), 'signature.invalid_parameter'],
  ['a nonce of seven characters', () => forge({ parameters: { nonce: '1234567' } }), 'signature.invalid_parameter'],
  ['a nonce of 257 characters', () => forge({ parameters: { nonce: 'x'.repeat(257) } }), 'signature.invalid_parameter'],
  [
    'F11 another audience',
    () => forge({ parameters: { 'wimse-aud': 'https://other.example' } }),
    'signature.audience_mismatch',
  ],
  [
    'F11 the host that the request names',
    () =>
      plus(
        forge({ parameters: { 'wimse-aud': 'https://other.example' } }),
        ['Host', 'other.example'],
        ['X-Forwarded-Host', 'other.example'],
      ),
    'signature.audience_mismatch',
  ],
  [
    'wimse-sign-response as text',
    () => forge({ parameters: { 'wimse-sign-response': 'yes' } }),
    'signature.invalid_parameter',
  ],
  // [authentication.http-signature.13]
  [
    'F13 a demand for a signed response, where nobody can sign',
    () => forge({ parameters: { 'wimse-sign-response': true } }),
    'signature.cannot_sign',
  ],
  [
    'F13 a demand for a signed response, where the WIT to sign with is gone',
    () => forge({ parameters: { 'wimse-sign-response': true } }),
    'signature.cannot_sign',
    { responses: { wits: { wit: () => ({ ...server, profile: 'aims-00' }) } } },
  ],
  [
    'F14 a component covered twice',
    () => changed(forge(), 'signature-input', (text) => text.replace('"@method"', '"@method" "@method"')),
    'signature.invalid_component',
  ],
  [
    'F14 the parameters of the signature covered',
    () => changed(forge(), 'signature-input', (text) => text.replace('"@method"', '"@signature-params" "@method"')),
    'signature.invalid_component',
  ],
  [
    'F14 a line end in a covered value',
    () => changed(forge(), 'content-type', (text) => `${text}\n"@method": GET`),
    'signature.invalid_component',
  ],
  [
    'F14 a covered value beyond ASCII',
    () => changed(forge(), 'content-type', (text) => `${text}\u00e9`),
    'signature.invalid_component',
  ],
  [
    'F15 another label in Signature',
    () => changed(forge(), 'signature', (text) => text.replace('wimse=', 'other=')),
    'signature.malformed',
  ],
  [
    'F15 base64 without padding',
    () => changed(forge(), 'signature', (text) => text.replace(/=*:$/, ':')),
    'signature.malformed',
  ],
  ['F15 base64url', () => changed(forge(), 'signature', () => 'wimse=:_-_-:'), 'signature.malformed'],
  [
    'F16 the shape of http-signature-06',
    () => forge({ covered: ['@method', '@request-target', ...COVERED.slice(3)] }),
    'authentication.profile_disabled',
  ],
  [
    'F16 the shape of http-signature-06 elsewhere',
    () => forge({ covered: ['@method', '@request-target', ...COVERED.slice(3)] }),
    'authentication.profile_disabled',
    { profiles: [{ profile: 'wimse' }, { ...OLDER, trustDomains: [foreign.bundle.trustDomain] }] },
  ],
  [
    'F16 the shape of http-signature-06 after its end',
    () => forge({ covered: ['@method', '@request-target', ...COVERED.slice(3)] }),
    'authentication.profile_expired',
    { profiles: [{ profile: 'wimse' }, { ...OLDER, until: NOW }] },
  ],
  [
    'F18 a covered field that occurs again',
    () => plus(forge(), ['content-type', 'text/html']),
    'signature.invalid_signature',
  ],
  [
    'F20 a target in absolute form',
    () => ({ ...forge(), target: `https://api.example.com${TARGET}` }),
    'signature.target_unsupported',
  ],
  ['F20 OPTIONS *', () => ({ ...forge(), method: 'OPTIONS', target: '*' }), 'signature.target_unsupported'],
  [
    'F20 CONNECT',
    () => ({ ...forge(), method: 'CONNECT', target: 'api.example.com:443' }),
    'signature.target_unsupported',
  ],
  ['a fragment in the target', () => ({ ...forge(), target: `${TARGET}#x` }), 'signature.target_unsupported'],
  [
    'a WPT beside the signature',
    () =>
      plus(forge(), [
        'Authorization',
        `WPT ${createWpt(wit, { method: 'POST', target: TARGET, audience: AUDIENCE }, { now: NOW })}`,
      ]),
    'authentication.mixed_profiles',
  ],
  [
    'an older WPT beside the signature',
    () =>
      plus(forge(), [
        'Workload-Proof-Token',
        createWpt(wit, { method: 'POST', target: TARGET, audience: AUDIENCE }, { now: NOW }),
      ]),
    'authentication.mixed_profiles',
  ],
  [
    'a signature where only proof tokens count',
    () => forge(),
    'authentication.method_not_allowed',
    { methods: ['wit+wpt', 'mtls'] },
  ],
]

for (const [what, make, code, options] of REFUSED) {
  // [authentication.http-signature.17]
  test(`refuses ${what}, and records it once`, async () => {
    const { authenticator, reasons } = service(options)
    const request = make()
    await assert.rejects(authenticator.authenticate(request), (error: unknown) => {
      assert.equal((error as { code?: unknown }).code, code, (error as Error).stack)
      const { status, headers } = authenticator.problem(error, 'id')
      if (code.startsWith('signature.')) assert.equal(status, code === 'signature.cannot_sign' ? 501 : 400)
      if (status === 400) assert.equal(headers['www-authenticate'], undefined)
      return true
    })
    assert.deepEqual(reasons, [code])
  })
}

// [authentication.http-signature.10]
test('F10: a nonce is good once per key, also for verifiers that share a store, and not for long after', async () => {
  const replays = createMemoryReplayStore({ capacity: 100 })
  const [one, two] = [service({ replays }), service({ replays })]
  const request = forge()
  await one.authenticator.authenticate(request)
  await assert.rejects(two.authenticator.authenticate(request), { code: 'signature.replayed' })
  // Another key may have the same nonce.
  assert.equal((await two.authenticator.authenticate(forge({ wit: otherKey }))).id, otherKey.subject)
  // A signature that is refused has not used its nonce up.
  const fresh = forge({ parameters: { nonce: 'nonce-of-a-fresh-one' } })
  await assert.rejects(one.authenticator.authenticate({ ...fresh, body: Buffer.from('x') }), {
    code: 'signature.digest_mismatch',
  })
  assert.equal((await one.authenticator.authenticate(fresh)).id, wit.subject)
})

test('a store that is away refuses, and so does one that knows the nonce', async () => {
  for (const [consume, code] of [
    [() => Promise.reject(new Error('away')), 'proof.replay_store_unavailable'],
    [() => Promise.resolve(false), 'signature.replayed'],
  ] as const) {
    await assert.rejects(service({ replays: { consume, isFresh: consume } }).authenticator.authenticate(forge()), {
      code,
    })
  }
})

test('F16: http-signature-06 where it is on, with a record of its use, until the caller uses the current one', async () => {
  const { authenticator, types, reasons } = service({ profiles: [{ profile: 'wimse' }, OLDER] })
  const older = (nonce: string) =>
    forge({ covered: ['@method', '@request-target', ...COVERED.slice(3)], parameters: { nonce } })
  const principal = await authenticator.authenticate(older('nonce-of-the-first'))
  assert.equal(principal.profile, 'wimse-http-signature-06')
  assert.deepEqual(types, ['authentication.compat-profile-used'])
  await authenticator.authenticate(forge({ parameters: { nonce: 'nonce-of-the-second' } }))
  await assert.rejects(authenticator.authenticate(older('nonce-of-the-third')), { code: 'authentication.downgrade' })
  assert.deepEqual(reasons, ['authentication.downgrade'])
})

test('a demand that the service cannot meet is refused even where a weaker method would do', async () => {
  const demanding = forge({ parameters: { 'wimse-sign-response': true } })
  const { authenticator } = service({ methods: ['wit+wpt', 'mtls'] })
  await assert.rejects(authenticator.authenticate({ ...demanding, peerCertificates: [Buffer.from('x')] }), {
    code: 'signature.cannot_sign',
  })
})

test('the body is read once all else is good, and only then', async () => {
  let read = 0
  const body = async (): Promise<Uint8Array> => {
    read += 1
    return BODY
  }
  const { authenticator } = service()
  await assert.rejects(authenticator.authenticate({ ...forge({ signer: otherKey.key }), body }), {
    code: 'signature.invalid_signature',
  })
  assert.equal(read, 0)
  await authenticator.authenticate({ ...forge(), body })
  assert.equal(read, 1)
})

test('verifyRequestSignature says what was found, without an authenticator', async () => {
  const expected = {
    wit: domain.verify(wit),
    audiences: [AUDIENCE],
    now: NOW,
    body: BODY,
    replays: createMemoryReplayStore({ capacity: 9 }),
  }
  const { method, target, headers } = forge({ parameters: { 'wimse-sign-response': true } })
  const verified = await verifyRequestSignature({ method, target, headers }, expected)
  assert.deepEqual(verified, {
    kind: 'verified-request-signature',
    profile: 'wimse',
    nonce: PARAMETERS.nonce,
    expiresAt: NOW + 60,
    demandsResponse: true,
    covers: { method: true, target: true, body: true },
  })
  await assert.rejects(verifyRequestSignature({ method, target, headers }, expected), { code: 'signature.replayed' })
  await assert.rejects(verifyRequestSignature({ method, target, headers: [] }, expected), { code: 'signature.missing' })
  await assert.rejects(
    verifyRequestSignature({ method, target, headers }, { ...expected, wit: { ...expected.wit } }),
    TypeError,
  )
  await assert.rejects(
    verifyRequestSignature({ method, target, headers }, { ...expected, clockSkew: Number.NaN }),
    TypeError,
  )
})

test('what a client of ours would not sign is a mistake of the program', async () => {
  const request = { method: 'POST', target: TARGET, audience: AUDIENCE, headers: TYPE }
  const old = await domain.wit({ profile: 'aims-00' })
  for (const [holder, change, options] of [
    [wit, { target: 'https://api.example.com/' }, {}],
    [wit, {}, { lifetime: 301 }],
    [wit, {}, { lifetime: Number.NaN }],
    [old, {}, {}],
  ] as const) {
    assert.throws(() => signRequest(holder, { ...request, ...change }, { now: NOW, ...options }), TypeError)
  }
})

test('what an earlier attempt left in the headers is replaced', async () => {
  const request = { method: 'POST', target: TARGET, audience: AUDIENCE, body: BODY }
  const first = signRequest(sameKey, { ...request, headers: TYPE }, { now: NOW - 100 })
  const stale: RawHeaders = [...TYPE, ...Object.entries(first.headers)]
  const { headers } = signRequest(wit, { ...request, headers: stale }, { now: NOW })
  const sent = { method: 'POST', target: TARGET, headers: [...TYPE, ...Object.entries(headers)], body: BODY }
  assert.equal((await service().authenticator.authenticate(sent)).id, wit.subject)
})
