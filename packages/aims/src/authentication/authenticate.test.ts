import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIENCE, NOW, testDomain } from '../../../../test/support/identities.ts'
import { sha256Base64url } from '../base/bytes.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import { signJwsLocally } from '../base/jose.ts'
import { WorkloadKey } from '../base/keys.ts'
import { issueJwtSvid } from '../credentials/jwt-svid/issue.ts'
import { PROFILES, type Profile } from '../credentials/profile.ts'
import type { Wit } from '../credentials/wit/source.ts'
import { isExactly } from '../identifiers/matcher.ts'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { createAuthenticator } from './authenticate.ts'
import type { RawHeaders } from './carriage.ts'
import { createMemoryHighWaterMark } from './high-water/high-water-mark.ts'
import type { ProfilePolicy } from './profile-policy.ts'
import { createMemoryReplayStore } from './replay/memory.ts'
import type { AuthenticatorOptions, IncomingRequest } from './request.ts'
import { createWpt, type ProofRequest, proofHeaders } from './wpt/create.ts'

const domain = testDomain()
const foreign = testDomain('foreign.example')
const { trustDomain } = domain.bundle
const key = WorkloadKey.generate()
const wits = new Map<Profile, Wit>()
for (const profile of PROFILES) wits.set(profile, await domain.wit({ profile, key }))
const [wimse, wpt01, s2s03, aims00] = PROFILES.map((profile) => wits.get(profile) as Wit) as [Wit, Wit, Wit, Wit]

const ALL: ProfilePolicy = [
  { profile: 'wimse' },
  ...(['wimse-wpt-01', 's2s-03-compat', 'aims-00'] as const).map((profile) => ({
    profile,
    trustDomains: [trustDomain],
  })),
]
const REQUEST: ProofRequest = { method: 'POST', target: '/api/v1/events', audience: AUDIENCE }

type Given = Partial<AuthenticatorOptions>

function service(given: Given = {}): {
  authenticate: (request: Partial<IncomingRequest>) => Promise<unknown>
  events: AuditEvent[]
} {
  const events: AuditEvent[] = []
  const observer: Observer = { record: async (event) => void events.push(event) }
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer,
    clock: () => NOW,
    issuers: { [trustDomain]: [domain.issuer] },
    ...given,
  })
  return {
    events,
    authenticate: (request) =>
      authenticator.authenticate({ method: 'POST', target: '/api/v1/events', headers: [], ...request }),
  }
}

function headersFor(wit: Wit, request: Partial<ProofRequest> = {}): RawHeaders {
  return Object.entries(proofHeaders(wit, { ...REQUEST, ...request }, { now: NOW }))
}

const wpt = (wit: Wit = wimse): string => createWpt(wit, REQUEST, { now: NOW })

for (const profile of PROFILES) {
  // [authentication.profile.07] [credentials.wit-svid.13]
  test(`${profile}: a proof in its own fields tells who calls, when the profile is on`, async () => {
    const { authenticate, events } = service({ profiles: ALL })
    const principal = await authenticate({ headers: headersFor(wits.get(profile) as Wit) })
    assert.deepEqual(principal, {
      kind: 'principal',
      id: 'spiffe://example.com/agent/calendar-bot',
      trustDomain: 'example.com',
      method: 'wit+wpt',
      assurance: 'proof',
      profile,
      credential: { type: 'wit', id: (principal as { credential: { id: string } }).credential.id },
      covers: { method: true, target: true, body: false, response: false },
      expiresAt: NOW + 3600,
    })
    const types = events.map(({ type }) => type)
    assert.deepEqual(types, profile === 'wimse' ? [] : ['authentication.compat-profile-used'])
  })
}

// [authentication.profile.01]
test('I1, E9: older profiles are off unless they are switched on', async () => {
  for (const wit of [wpt01, s2s03, aims00]) {
    const { authenticate, events } = service()
    await assert.rejects(authenticate({ headers: headersFor(wit) }), { code: 'authentication.profile_disabled' })
    assert.deepEqual(
      events.map(({ reasons }) => reasons),
      [['authentication.profile_disabled']],
    )
  }
})

const field = 'Workload-Identity-Token'
const proofField = 'Workload-Proof-Token'
const issuerSigned = signJwsLocally(
  { typ: 'wpt+jwt' },
  { aud: AUDIENCE, exp: NOW + 60, jti: 'f47ac10b58cc4372a567', wth: sha256Base64url(wimse.token) },
  domain.signer,
)
const otherKey = await domain.wit()
const expired = await domain.wit({ key, ttl: 1 })
const otherDomain = await foreign.wit({ key })

const REFUSED: readonly (readonly [string, RawHeaders, string, Given?])[] = [
  ['nothing', [], 'authentication.missing'],
  // [identifiers.wimse-id.17] [credentials.aims.02] [authentication.aims.02]
  [
    'an identity in a field of its own (A11)',
    [
      ['X-Workload-Id', wimse.subject],
      ['X-Forwarded-Client-Cert', `URI=${wimse.subject}`],
    ],
    'authentication.missing',
  ],
  // [authentication.wpt.05] [authentication.wpt.29]
  [
    'E8 two Authorization fields',
    [...headersFor(wimse), ['Authorization', 'Bearer x']],
    'authentication.duplicate_field',
  ],
  [
    'E8 the other order and case',
    [['AUTHORIZATION', 'Bearer x'], ...headersFor(wimse)],
    'authentication.duplicate_field',
  ],
  // [credentials.wit.12] [authentication.wpt.29]
  ['D9 two WITs', [...headersFor(wimse), [field, wimse.token]], 'authentication.duplicate_field'],
  [
    'D9 a list of WITs',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, `${wimse.token}, ${wimse.token}`],
    ],
    'authentication.malformed_field',
  ],
  ['two Txn-Tokens', [...headersFor(wimse), ['Txn-Token', 'a'], ['txn-token', 'b']], 'authentication.duplicate_field'],
  // [authentication.wpt.04]
  [
    'E16 WPT with two tokens',
    [
      ['authorization', `WPT ${wpt()} ${wpt()}`],
      [field, wimse.token],
    ],
    'authentication.malformed_field',
  ],
  [
    'WPT with a list',
    [
      ['authorization', `WPT ${wpt()}, Bearer x`],
      [field, wimse.token],
    ],
    'authentication.malformed_field',
  ],
  [
    'WPT without a token',
    [
      ['authorization', 'WPT'],
      [field, wimse.token],
    ],
    'authentication.malformed_field',
  ],
  // [credentials.wit-svid.11]
  ['D2 a WIT without a proof', [[field, wimse.token]], 'authentication.missing_proof'],
  // [authentication.wpt.20]
  [
    'D2 a WIT with an OAuth token',
    [
      [field, wimse.token],
      ['authorization', 'Bearer x'],
    ],
    'authentication.missing_proof',
  ],
  ['a proof without a WIT', [['authorization', `WPT ${wpt()}`]], 'authentication.missing_credential'],
  // [credentials.wit.11]
  ['D1 a WIT as bearer', [['authorization', `Bearer ${wimse.token}`]], 'authentication.wit_as_bearer'],
  [
    'D1 a WIT as bearer, JWT-SVIDs being allowed',
    [['authorization', `Bearer ${wimse.token}`]],
    'authentication.wit_as_bearer',
    { methods: ['jwt-svid'] },
  ],
  // [authentication.profile.16]
  [
    'I2 an aims-00 WIT as bearer',
    [['authorization', `Bearer ${aims00.token}`]],
    'authentication.wit_as_bearer',
    { profiles: ALL },
  ],
  [
    'E15 a WIT as proof',
    [
      ['authorization', `WPT ${wimse.token}`],
      [field, wimse.token],
    ],
    'proof.wrong_type',
  ],
  [
    'E15 a proof as WIT',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, wpt()],
    ],
    'credential.wrong_type',
  ],
  ['E15 a proof as WIT and nothing else', [[field, wpt()]], 'credential.wrong_type'],
  [
    'E14 a proof by the issuer',
    [
      ['authorization', `WPT ${issuerSigned}`],
      [field, wimse.token],
    ],
    'proof.invalid_signature',
  ],
  [
    'E14 a proof by another workload',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, otherKey.token],
    ],
    'proof.invalid_signature',
  ],
  ['E17 a WIT that has expired', headersFor(expired), 'credential.expired', { clock: () => NOW + 2 }],
  // [authentication.wpt.19]
  [
    'a WIT that has expired and a proof that is not for it, for the WIT',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, expired.token],
    ],
    'credential.expired',
    { clock: () => NOW + 2 },
  ],
  // [identifiers.spiffe-id.21] [identifiers.wimse-id.12]
  ['a WIT of an unknown trust domain', headersFor(otherDomain), 'credential.untrusted_domain'],
  [
    'a proof that is not a JWT',
    [
      ['authorization', 'WPT abc'],
      [field, wimse.token],
    ],
    'authentication.malformed_field',
  ],
  [
    'a proof whose header is not JSON',
    [
      ['authorization', 'WPT abc.abc.abc'],
      [field, wimse.token],
    ],
    'proof.malformed',
  ],
  [
    'a WIT whose header is not JSON',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, 'abc.abc.abc'],
    ],
    'credential.malformed',
  ],
  // [authentication.wpt-01.01]
  [
    'two proofs in the older field',
    [...headersFor(wpt01), [proofField, wpt(wpt01)]],
    'authentication.duplicate_field',
    { profiles: ALL },
  ],
  // [authentication.profile.04]
  [
    'I7 proofs of two profiles',
    [...headersFor(wimse), [proofField, wpt(wpt01)]],
    'authentication.mixed_profiles',
    { profiles: ALL },
  ],
  [
    'I7 proofs of two profiles, one of them off',
    [...headersFor(wimse), [proofField, wpt(wpt01)]],
    'authentication.mixed_profiles',
  ],
  // [authentication.profile.05]
  [
    'I7 an old WIT with a new proof',
    [
      ['authorization', `WPT ${wpt()}`],
      [field, s2s03.token],
    ],
    'authentication.mixed_profiles',
    { profiles: ALL },
  ],
  [
    'I7 a new WIT with an old proof',
    [
      [proofField, wpt(s2s03)],
      [field, wimse.token],
    ],
    'authentication.mixed_profiles',
    { profiles: ALL },
  ],
  [
    'I7 a WIT as access token',
    [...headersFor(wpt01), ['authorization', `Bearer ${aims00.token}`]],
    'authentication.mixed_profiles',
    { profiles: ALL },
  ],
  [
    'I7 a new WIT with an aims-00 proof',
    [
      ['authorization', `Bearer ${wimse.token}`],
      [field, wpt(aims00)],
    ],
    'authentication.mixed_profiles',
    { profiles: ALL },
  ],
  [
    'an aims-00 proof with an OAuth token',
    [
      ['authorization', 'Bearer x'],
      [field, wpt(aims00)],
    ],
    'authentication.missing_credential',
    { profiles: ALL },
  ],
  // [authentication.profile.12]
  [
    'I10 an aims-00 proof without typ',
    [
      ['authorization', `Bearer ${aims00.token}`],
      [field, signJwsLocally({}, {}, key)],
    ],
    'proof.wrong_type',
    { profiles: ALL },
  ],
  // [authentication.profile.12]
  [
    'I10 an aims-00 WIT without typ',
    [
      ['authorization', `Bearer ${signJwsLocally({}, {}, key)}`],
      [field, wpt(aims00)],
    ],
    'authentication.missing_credential',
    { profiles: ALL },
  ],
  // [authentication.profile.03]
  [
    'I11 a faulty proof where compat is on',
    [
      ['authorization', `WPT ${wpt(s2s03)}`],
      [field, wimse.token],
    ],
    'proof.wrong_type',
    { profiles: ALL },
  ],
  // [authentication.profile.02]
  [
    'E9 the old field with an unknown typ',
    [
      [proofField, wimse.token],
      [field, wimse.token],
    ],
    'proof.wrong_type',
    { profiles: ALL },
  ],
  // [authentication.profile.06]
  [
    'I8 a profile whose end date has passed',
    headersFor(wpt01),
    'authentication.profile_expired',
    { profiles: [{ profile: 'wimse-wpt-01', trustDomains: [trustDomain], until: NOW }] },
  ],
  // [authentication.profile.06]
  [
    'a profile that is on for another trust domain',
    headersFor(wpt01),
    'authentication.profile_disabled',
    { profiles: [{ profile: 'wimse-wpt-01', trustDomains: [foreign.bundle.trustDomain] }] },
  ],
  [
    'a profile that is on for other subjects',
    headersFor(wpt01),
    'authentication.profile_disabled',
    {
      profiles: [
        { profile: 'wimse-wpt-01', trustDomains: [trustDomain], subjects: [parseSpiffeId('spiffe://example.com/x')] },
      ],
    },
  ],
  [
    'a caller that is authentic and not expected',
    headersFor(wimse),
    'authentication.peer_unexpected',
    { peer: isExactly(parseSpiffeId('spiffe://example.com/x')) },
  ],
  // [authentication.aims.01]
  [
    'a proof where only certificates count',
    headersFor(wimse),
    'authentication.no_client_certificate',
    { methods: ['mtls'] },
  ],
  [
    'a proof where only bearer tokens count',
    headersFor(wimse),
    'authentication.method_not_allowed',
    { methods: ['jwt-svid'] },
  ],
  ['a bearer token where none counts', [['authorization', 'Bearer x']], 'authentication.missing'],
  ['a JWT-SVID that is none', [['authorization', 'Bearer x']], 'credential.malformed', { methods: ['jwt-svid'] }],
  // [authentication.wpt.14]
  ['E10 a Txn-Token that is not bound', [...headersFor(wimse), ['Txn-Token', 't']], 'proof.txn_token_mismatch'],
  // [authentication.wpt.15]
  [
    'E12 a context token that is not bound',
    [...headersFor(wimse), ['Ctx', 'c']],
    'proof.other_token_mismatch',
    { contextTokens: ['ctx'] },
  ],
  [
    'a context token given twice',
    [...headersFor(wimse), ['Ctx', 'c'], ['ctx', 'd']],
    'authentication.duplicate_field',
    { contextTokens: ['ctx'] },
  ],
  [
    'E11 a bound field that occurs twice',
    [...headersFor(wimse, { otherTokens: { ctx: 'c' } }), ['Ctx', 'c'], ['ctx', 'c']],
    'proof.other_token_mismatch',
  ],
  ['E11 a bound field that is absent', headersFor(wimse, { otherTokens: { ctx: 'c' } }), 'proof.other_token_mismatch'],
  // [authentication.wpt.12]
  [
    'E4 a proof for the host the request names',
    [
      ...headersFor(wimse, { audience: 'https://evil.example' }),
      ['Host', 'evil.example'],
      ['X-Forwarded-Host', 'evil.example'],
      ['Forwarded', 'host=evil.example'],
    ],
    'proof.audience_mismatch',
  ],
]

for (const [what, headers, code, given] of REFUSED) {
  test(`refuses ${what}, and records it once`, async () => {
    const { authenticate, events } = service(given)
    await assert.rejects(authenticate({ headers, id: 'request-1' }), { name: 'AimsError', code })
    const expected = {
      type: 'authentication.refused',
      resource: { type: 'http', id: '/api/v1/events' },
      action: 'POST',
      decision: 'deny',
      reasons: [code],
      correlationId: 'request-1',
    }
    const [{ checks = [], ...event } = { checks: [] }, ...more] = events
    assert.deepEqual([event, ...more], [expected])
    // [authentication.explain.01]
    const failed = checks.filter(({ outcome }) => outcome === 'failed')
    assert.deepEqual([failed.length, checks.at(-1)], [1, failed[0]])
    assert.notEqual(failed[0]?.check, 'other')
  })
}

// [authentication.wpt.04]
test('E16: the name of the scheme may be in any case', async () => {
  for (const scheme of ['wpt', 'Wpt', 'WPT']) {
    const headers: RawHeaders = [
      ['authorization', `${scheme}  ${wpt()}`],
      [field, wimse.token],
    ]
    await assert.doesNotReject(service().authenticate({ headers }))
  }
})

test('E5: a proof is good once, also for verifiers that share a store', async () => {
  const replays = createMemoryReplayStore({ capacity: 10 })
  const headers = headersFor(wimse)
  await service({ replays }).authenticate({ headers })
  await assert.rejects(service({ replays }).authenticate({ headers }), { code: 'proof.replayed' })
})

test('of a thousand requests at once with one proof, one is let in', async () => {
  const { authenticate, events } = service()
  const headers = headersFor(wimse)
  const results = await Promise.allSettled(Array.from({ length: 1000 }, () => authenticate({ headers })))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal(events.length, 999)
})

// [authentication.profile.08]
test('I6: who has used a newer profile cannot be made to use an older one', async () => {
  const { authenticate } = service({ profiles: ALL })
  await assert.doesNotReject(authenticate({ headers: headersFor(aims00) }))
  await assert.doesNotReject(authenticate({ headers: headersFor(wpt01) }))
  await assert.rejects(authenticate({ headers: headersFor(aims00) }), { code: 'authentication.downgrade' })
  await assert.doesNotReject(authenticate({ headers: headersFor(wimse) }))
  for (const wit of [wpt01, s2s03, aims00]) {
    await assert.rejects(authenticate({ headers: headersFor(wit) }), { code: 'authentication.downgrade' })
  }
})

test('I6: marks that are kept elsewhere hold for every listener', async () => {
  const highWaterMarks = createMemoryHighWaterMark()
  await service({ highWaterMarks }).authenticate({ headers: headersFor(wimse) })
  const profiles: ProfilePolicy = [{ profile: 'aims-00', trustDomains: [trustDomain] }]
  const { authenticate } = service({ highWaterMarks, profiles })
  await assert.rejects(authenticate({ headers: headersFor(aims00) }), { code: 'authentication.downgrade' })
})

test('a proof that fails does not raise the mark of its caller', async () => {
  const { authenticate } = service({ profiles: ALL })
  await assert.rejects(authenticate({ headers: headersFor(wimse, { method: 'GET' }) }), {
    code: 'proof.method_mismatch',
  })
  await assert.doesNotReject(authenticate({ headers: headersFor(aims00) }))
})

// [authentication.profile.15]
test('I3: cnf.kid counts when the key was registered for that subject, and not otherwise', async () => {
  const token = signJwsLocally(
    { typ: 'wimse-id+jwt', kid: domain.signer.kid },
    { iss: domain.issuer, sub: aims00.subject, aud: [AUDIENCE], exp: NOW + 60, cnf: { kid: key.kid } },
    domain.signer,
  )
  const wit: Wit = { ...aims00, token, key }
  const { confirmation } = domain.verify(aims00)
  const given: Given = { profiles: ALL }
  const registered = service({
    ...given,
    confirmationKeys: { find: (_domain, subject) => (subject === wit.subject ? confirmation : undefined) },
  })
  await assert.doesNotReject(registered.authenticate({ headers: headersFor(wit) }))
  for (const confirmationKeys of [undefined, { find: () => undefined }]) {
    const { authenticate } = service({ ...given, ...(confirmationKeys === undefined ? {} : { confirmationKeys }) })
    await assert.rejects(authenticate({ headers: headersFor(wit) }), { code: 'credential.unresolved_confirmation' })
  }
})

test('the body is asked for when the proof names it and is good otherwise, and compared', async () => {
  const body = Buffer.from('{"title":"standup"}')
  let asked = 0
  const reading = (bytes: Uint8Array) => async () => {
    asked += 1
    return bytes
  }
  const { authenticate } = service()
  const bound = (): RawHeaders => headersFor(wimse, { body })
  const good = await authenticate({ headers: bound(), body: reading(body) })
  assert.equal((good as { covers: { body: boolean } }).covers.body, true)
  assert.equal(asked, 1)
  await authenticate({ headers: headersFor(wimse), body: reading(body) })
  await assert.rejects(authenticate({ headers: bound(), method: 'GET', body: reading(body) }), {
    code: 'proof.method_mismatch',
  })
  assert.equal(asked, 1)
  for (const request of [{ body: reading(Buffer.from('x')) }, { body: Buffer.from('x') }, {}]) {
    await assert.rejects(authenticate({ headers: bound(), ...request }), { code: 'proof.body_mismatch' })
  }
})

// [authentication.wpt.27] [credentials.wit-svid.09]
test('a service may require that proofs name method, target and body', async () => {
  const requireBinding = { method: true, target: true, body: true }
  const body = Buffer.from('x')
  const { authenticate } = service({ requireBinding })
  await assert.doesNotReject(authenticate({ headers: headersFor(wimse, { body }), body }))
  await assert.doesNotReject(authenticate({ headers: headersFor(wimse) }))
  await assert.rejects(authenticate({ headers: headersFor(wimse), body }), { code: 'proof.binding_missing' })
})

// [credentials.jwt-svid.12]
test('a JWT-SVID tells who calls where bearer tokens are allowed, and covers nothing', async () => {
  const jwtAuthorities = domain.bundle.witAuthorities
  const bundles = { bundleFor: () => ({ ...domain.bundle, jwtAuthorities }) }
  const subject = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
  const { token } = await issueJwtSvid({ subject, audiences: [AUDIENCE], now: NOW, ttl: 300 }, domain.signer)
  const headers: RawHeaders = [['authorization', `Bearer ${token}`]]
  const principal = (await service({ bundles, methods: ['wit+wpt', 'jwt-svid'] }).authenticate({ headers })) as {
    method: string
    covers: object
  }
  assert.equal(principal.method, 'jwt-svid')
  assert.deepEqual(principal.covers, { method: false, target: false, body: false, response: false })
  await assert.rejects(service({ bundles }).authenticate({ headers }), { code: 'authentication.missing' })
  const other = service({ bundles, methods: ['jwt-svid'], jwtAudience: 'https://other.example' })
  await assert.rejects(other.authenticate({ headers }), { code: 'credential.audience_mismatch' })
})

// [authentication.wpt.22]
test('E18: no token shows up in what is recorded', async () => {
  const headers = headersFor(wimse)
  const { authenticate, events } = service()
  await authenticate({ headers })
  await assert.rejects(authenticate({ headers, target: '/api/v1/events?secret=1' }))
  await assert.rejects(authenticate({ headers }))
  const text = JSON.stringify(events)
  for (const [, value] of headers) assert.equal(text.includes(value.slice(-40)), false)
  assert.equal(text.includes('secret'), false)
})

test('a refusal that cannot be recorded is a failure of the service', async () => {
  const observer: Observer = { record: () => Promise.reject(new Error('disk full')) }
  await assert.rejects(service({ observer }).authenticate({}), /disk full/)
})

// [credentials.jws.06]
test('a service that does not know its own name does not start', () => {
  const options = {
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 1 }),
    observer: { record: async () => undefined },
  }
  assert.throws(() => createAuthenticator({ ...options, audiences: [] }), TypeError)
  assert.throws(() => createAuthenticator({ ...options, audiences: [''] }), TypeError)
  for (const bad of [{ maxLifetime: Number.NaN }, { clockSkew: '5' as never }, { maxLifetime: 0 }]) {
    assert.throws(() => createAuthenticator({ ...options, audiences: [AUDIENCE], ...bad }), TypeError)
  }
  assert.throws(() => createAuthenticator({ ...options, audiences: [AUDIENCE], profiles: ALL }), TypeError)
})

test('any combination of fields is either a proof that is good, or refused with a code', async () => {
  const tokens = fc.constantFrom(
    wimse.token,
    s2s03.token,
    aims00.token,
    wpt(),
    wpt(s2s03),
    wpt(aims00),
    'x',
    'a.b.c',
    '',
  )
  const value = fc.oneof(
    tokens,
    tokens.map((token) => `WPT ${token}`),
    tokens.map((token) => `Bearer ${token}`),
    fc.string(),
  )
  const name = fc.constantFrom('Authorization', field, proofField, 'Txn-Token', 'Host')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 5 }), async (headers) => {
      const { authenticate, events } = service({ profiles: ALL })
      try {
        await authenticate({ headers })
      } catch (error) {
        assert.match((error as { code: string }).code, /^(authentication|proof|credential)\./)
        assert.equal(events.length, 1)
      }
    }),
    { numRuns: 500 },
  )
})
