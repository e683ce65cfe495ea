import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WorkloadKey } from 'aims/base'
import {
  basicConstraints,
  buildCa,
  buildSvid,
  dns,
  extendedKeyUsage,
  SERVER_AUTH,
  subjectAltName,
  uri,
  NOW as X509_NOW,
} from '../../../test/support/certificates.ts'
import { aims, at, file, verdict } from '../../../test/support/cli.ts'
import { forge, type Part } from '../../../test/support/tokens.ts'

// What somebody passes who tests AIMS from outside, with tokens that are not ours.

const NOW = 1_700_000_000
const authority = WorkloadKey.generate()
const agent = WorkloadKey.generate()
const stranger = WorkloadKey.generate()
const sub = 'spiffe://example.com/agent/calendar-bot'

type Members = { readonly [member: string]: unknown }

function jwk(key: WorkloadKey, more: Members = {}): Members {
  return { ...key.publicKey.export({ format: 'jwk' }), ...more }
}

const bundle = { keys: [jwk(authority, { kid: 'issuer-1' })] }
const trust = (set: object = bundle, domain = 'example.com'): readonly string[] => [
  ...['--bundle', file(set), '--trust-domain', domain, ...at(NOW)],
]

// The WIT and the proof of the overview page, with the typ, jti and keys that it leaves out.
const AIMS_WIT = {
  iss: 'https://spire.example.com',
  sub,
  aud: ['https://api.example.com'],
  exp: NOW + 3600,
  cnf: { kid: 'key-1' },
}
const AIMS_PROOF = {
  iss: sub,
  aud: 'https://api.example.com',
  htm: 'POST',
  htu: '/api/v1/events',
  iat: NOW,
  exp: NOW + 300,
  jti: '0123456789abcdef',
}

interface AimsCase {
  readonly witHeader?: Members
  readonly wit?: Members
  readonly proofHeader?: Members
  readonly proof?: Members
  readonly key?: WorkloadKey
  readonly request?: string
  readonly fields?: (wit: string, proof: string) => readonly string[]
  readonly end?: string
  readonly options?: readonly string[]
  readonly keys?: object | undefined
  readonly audience?: string
}

const REGISTERED = { keys: [jwk(agent, { kid: 'key-1' }), jwk(stranger, { kid: 'key-2' })] }

function aimsRequest(given: AimsCase): ReturnType<typeof verdict> {
  const { key = agent, end = '\r\n', request = 'POST /api/v1/events' } = given
  const keys = 'keys' in given ? given.keys : REGISTERED
  const wit = mint(
    { typ: 'wimse-id+jwt', kid: 'issuer-1', ...given.witHeader },
    { ...AIMS_WIT, ...given.wit },
    authority,
  )
  const proof = mint(
    { typ: 'wimse-proof+jwt', kid: 'key-1', ...given.proofHeader },
    { ...AIMS_PROOF, ...given.proof },
    key,
  )
  const fields = given.fields ?? ((w, p) => [`Authorization: Bearer ${w}`, `Workload-Identity-Token: ${p}`])
  const lines = [`${request} HTTP/1.1`, 'Host: anything.example', ...fields(wit, proof), '', '{"title":"x"}']
  return verdict(
    ...['verify', 'request', '--message', file(lines.join(end)), '--profile', 'aims-00', ...trust()],
    ...['--audience', given.audience ?? 'https://api.example.com'],
    ...(given.options ?? ['--issuer', 'https://spire.example.com']),
    ...(keys === undefined ? [] : ['--confirmation-keys', file(keys)]),
  )
}

function mint(header: Members, claims: Part, key: WorkloadKey): string {
  return forge({ alg: key.alg, ...header }, claims, key)
}

const embedded = { wit: { cnf: { kid: 'key-1', jwk: jwk(agent, { alg: 'ES256' }) } }, keys: undefined }

const AIMS_ACCEPTED: readonly (readonly [what: string, given: AimsCase])[] = [
  ['with the key registered for cnf.kid', {}],
  ['with LF', { end: '\n' }],
  ['with the key in cnf', embedded],
  ['under the default issuer', { wit: { iss: 'https://example.com' }, options: [] }],
  ['with one confirmation key, not in a set', { keys: jwk(agent, { kid: 'key-1' }) }],
  ['with the query in htu', { request: 'POST /api/v1/events?a=1', proof: { htu: '/api/v1/events?a=1' } }],
  ['with an absolute htu', { proof: { htu: 'https://api.example.com/api/v1/events' } }],
  ['with a target in absolute form', { request: 'POST https://api.example.com/api/v1/events' }],
  [
    'whose WIT is for another name of ours',
    {
      audience: 'https://a.example',
      proof: { aud: 'https://a.example' },
      options: ['--issuer', 'https://spire.example.com', '--wit-audience', 'https://api.example.com'],
    },
  ],
  ['with an oth', { proof: { oth: {} } }],
]

for (const [what, given] of AIMS_ACCEPTED) {
  test(`a request of profile aims-00 ${what} is accepted`, async () => {
    const { accepted, result } = await aimsRequest(given)
    assert.equal(accepted, true, JSON.stringify(result))
    assert.deepEqual(
      [result.subject, result.origin, result.method, result.profile, result.covers],
      [sub, 'spiffe://example.com', 'wit+wpt', 'aims-00', { method: true, target: true, body: false, response: false }],
    )
  })
}

const AIMS_REFUSED: readonly (readonly [what: string, given: AimsCase, code: string])[] = [
  // The page's proof as it stands.
  ['without jti', { proof: { jti: undefined } }, 'proof.missing_claim'],
  ['without the keys behind cnf.kid', { keys: undefined }, 'credential.unresolved_confirmation'],
  ['with other keys', { keys: { keys: [jwk(agent, { kid: 'key-9' })] } }, 'credential.unresolved_confirmation'],
  ['with a key that has no kid', { keys: jwk(agent) }, 'credential.unresolved_confirmation'],
  ['with keys without kid', { keys: { keys: [jwk(agent), jwk(stranger)] } }, 'bundle.missing_kid'],
  ['with a private key', { keys: { keys: [{ ...jwk(agent), kid: 'key-1', d: 'AAAA' }] } }, 'bundle.private_key'],
  ['without issuer option', { options: [] }, 'credential.issuer_mismatch'],
  ['without iss', { wit: { iss: undefined } }, 'credential.issuer_mismatch'],
  ['whose WIT is for another service', { wit: { aud: ['https://b.example'] } }, 'credential.audience_mismatch'],
  ['whose WIT has no aud', { wit: { aud: undefined } }, 'credential.missing_claim'],
  ['whose WIT has no cnf', { wit: { cnf: undefined } }, 'credential.missing_confirmation'],
  ['whose WIT has expired', { wit: { exp: NOW } }, 'credential.expired'],
  ['whose WIT has no typ', { witHeader: { typ: undefined } }, 'authentication.missing_credential'],
  ['whose WIT is of the current drafts', { witHeader: { typ: 'wit+jwt' } }, 'authentication.mixed_profiles'],
  ['whose proof has no typ', { proofHeader: { typ: undefined } }, 'proof.wrong_type'],
  ['whose proof names another kid', { proofHeader: { kid: 'key-2' } }, 'proof.wit_mismatch'],
  ['whose proof is by another key', { key: stranger }, 'proof.invalid_signature'],
  [
    'whose proof is by another workload',
    { proof: { iss: 'spiffe://example.com/agent/other' } },
    'proof.issuer_mismatch',
  ],
  ['whose proof has a list as aud', { proof: { aud: ['https://api.example.com'] } }, 'proof.invalid_claim'],
  ['whose proof is for another service', { proof: { aud: 'https://b.example' } }, 'proof.audience_mismatch'],
  ['with htm in lower case', { proof: { htm: 'post' } }, 'proof.method_mismatch'],
  ['for another path', { request: 'POST /api/v1/event' }, 'proof.target_mismatch'],
  ['with a query that htu lacks', { request: 'POST /api/v1/events?a=1' }, 'proof.target_mismatch'],
  ['with htu on another origin', { proof: { htu: 'https://b.example/api/v1/events' } }, 'proof.target_mismatch'],
  ['to another origin in absolute form', { request: 'POST https://b.example/api/v1/events' }, 'proof.target_mismatch'],
  ['made 61 seconds ago', { proof: { iat: NOW - 61, exp: NOW + 200 } }, 'proof.expired'],
  ['made in a minute', { proof: { iat: NOW + 61 } }, 'proof.not_yet_valid'],
  ['living 301 seconds', { proof: { iat: NOW - 2, exp: NOW + 299 } }, 'proof.lifetime_too_long'],
  ['without exp in the proof', { proof: { exp: undefined } }, 'proof.missing_claim'],
  ['with the WIT alone', { fields: (wit) => [`Authorization: Bearer ${wit}`] }, 'authentication.wit_as_bearer'],
  [
    'with the proof alone',
    { fields: (_, proof) => [`Workload-Identity-Token: ${proof}`] },
    'authentication.missing_credential',
  ],
  [
    'with the tokens the other way round',
    { fields: (wit, proof) => [`Authorization: Bearer ${proof}`, `Workload-Identity-Token: ${wit}`] },
    'authentication.missing_proof',
  ],
  [
    'with a folded field',
    { fields: (wit, proof) => [`Authorization: Bearer\r\n ${wit}`, `Workload-Identity-Token: ${proof}`] },
    'http.malformed',
  ],
]

for (const [what, given, code] of AIMS_REFUSED) {
  test(`a request of profile aims-00 ${what} is refused`, async () => {
    const outcome = await aimsRequest(given)
    assert.equal(outcome.accepted, false)
    assert.equal(outcome.result.code, code, JSON.stringify(outcome.result))
  })
}

const witFile = file(mint({ typ: 'wimse-id+jwt', kid: 'issuer-1' }, AIMS_WIT, authority))

test('the WIT of the overview page is judged alone, and what was not compared is said', async () => {
  const judge = (...options: readonly string[]): ReturnType<typeof verdict> =>
    verdict(
      'verify',
      'wit',
      '--token',
      witFile,
      '--profile',
      'aims-00',
      ...trust(),
      '--confirmation-keys',
      file(REGISTERED),
      ...options,
    )
  const bare = await judge()
  assert.deepEqual(bare.result.warnings, [
    'iss was not compared: pass --issuer',
    'aud of the WIT was not compared: pass --wit-audience',
  ])
  const full = await judge('--issuer', 'https://spire.example.com', '--audience', 'https://api.example.com')
  assert.equal(full.accepted, true)
  assert.deepEqual(full.result.warnings, [])
  assert.equal((await judge('--issuer', 'https://example.com')).result.code, 'credential.issuer_mismatch')
  assert.equal((await judge('--audience', 'https://b.example')).result.code, 'credential.audience_mismatch')
})

test('the proof of the overview page is judged without a message, and what was not compared is said', async () => {
  const proof = file(mint({ typ: 'wimse-proof+jwt', kid: 'key-1' }, AIMS_PROOF, agent))
  const judge = (...options: readonly string[]): ReturnType<typeof verdict> =>
    verdict(
      ...['verify', 'wpt', '--proof', proof, '--wit', witFile, '--profile', 'aims-00', ...trust()],
      ...['--audience', 'https://api.example.com', '--issuer', 'https://spire.example.com'],
      ...['--confirmation-keys', file(REGISTERED), ...options],
    )
  const bare = await judge()
  assert.deepEqual(bare.result.warnings, ['htm was not compared: pass --method', 'htu was not compared: pass --target'])
  const full = await judge('--method', 'POST', '--target', '/api/v1/events')
  assert.deepEqual(full.result.warnings, [])
  assert.equal((await judge('--method', 'PUT', '--target', '/api/v1/events')).result.code, 'proof.method_mismatch')
  assert.equal((await judge('--method', 'POST', '--target', '/')).result.code, 'proof.target_mismatch')
})

// Profile wimse.
const holder = { jwk: jwk(agent, { alg: 'ES256' }) }
const WIT = { iss: 'https://issuer.example', sub, exp: NOW + 3600, iat: NOW, cnf: holder }

async function judgeWit(claims: Members, options: readonly string[], header: Members = {}): ReturnType<typeof verdict> {
  const token = mint({ typ: 'wit+jwt', kid: 'issuer-1', ...header }, { ...WIT, ...claims }, authority)
  return verdict('verify', 'wit', '--token', file(token), ...options)
}

test('an origin judges its own scheme; a name alone judges either, and says which', async () => {
  const wimse = { sub: 'wimse://example.com/agent/calendar-bot' }
  for (const [claims, scheme, other] of [
    [{}, 'spiffe', 'wimse'],
    [wimse, 'wimse', 'spiffe'],
  ] as const) {
    const origin = `${scheme}://example.com`
    for (const domain of ['example.com', origin]) {
      const { accepted, result } = await judgeWit(claims, trust(bundle, domain))
      assert.equal(accepted, true, JSON.stringify(result))
      assert.equal(result.origin, origin)
    }
    const { result } = await judgeWit(claims, trust(bundle, `${other}://example.com`))
    assert.deepEqual([result.ok, result.code], [false, 'credential.untrusted_domain'])
    assert.match(String(result.hint), /--trust-domain/)
  }
})

for (const domain of [
  '',
  'wimse://',
  'spiffe://example.com/',
  'spiffe://example.com/a',
  'https://example.com',
  'wimse://spiffe://example.com',
  'Example.com',
  'example.com\n',
]) {
  test(`--trust-domain ${JSON.stringify(domain)} is wrong use`, async () => {
    const { exit, results } = await aims('verify', 'wit', '--token', witFile, ...trust(bundle, domain))
    assert.deepEqual([exit, results[0]?.ok, results[0]?.code], [2, false, 'operation.usage'])
  })
}

// Bundles for a token with kid, and for one without.
const second = jwk(stranger, { kid: 'issuer-2' })
const KID: readonly (readonly [what: string, set: object, header: Members, code: string | undefined])[] = [
  ['a kid, and two keys', { keys: [...bundle.keys, second] }, {}, undefined],
  ['no kid, and one key', bundle, { kid: undefined }, undefined],
  ['no kid, and a key without kid', jwk(authority), { kid: undefined }, undefined],
  ['no kid, and two keys', { keys: [...bundle.keys, second] }, { kid: undefined }, 'credential.missing_kid'],
  ['another kid', bundle, { kid: 'issuer-2' }, 'credential.unknown_key'],
  ['a kid, and two keys of which one has none', { keys: [jwk(authority), second] }, {}, 'bundle.missing_kid'],
  ['a kid, and two keys of that kid', { keys: [...bundle.keys, ...bundle.keys] }, {}, 'bundle.duplicate_kid'],
  ['a kid, and a key for encryption', jwk(authority, { kid: 'issuer-1', use: 'enc' }), {}, 'credential.unknown_key'],
  [
    'a kid, and a key for JWT-SVIDs',
    jwk(authority, { kid: 'issuer-1', use: 'jwt-svid' }),
    {},
    'credential.unknown_key',
  ],
  [
    'a kid, and a key that is for another algorithm',
    jwk(authority, { kid: 'issuer-1', alg: 'ES384' }),
    {},
    'bundle.invalid_key',
  ],
  ['a kid, and no JSON', Buffer.from('issuer-1'), {}, 'bundle.malformed'],
  ['a kid, and a list of keys', bundle.keys, {}, 'bundle.malformed'],
  ['a kid, and a string', Buffer.from('"x"'), {}, 'bundle.malformed'],
  ['a kid, and nothing', Buffer.alloc(0), {}, 'bundle.malformed'],
]

for (const [what, set, header, code] of KID) {
  test(`a WIT with ${what} is ${code ?? 'accepted'}`, async () => {
    const { result } = await judgeWit({}, trust(set), header)
    assert.equal(result.code, code, JSON.stringify(result))
    assert.equal(result.ok, code === undefined)
  })
}

// EdDSA and Ed25519 are two names, never aliases.
for (const [alg, named, code] of [
  ['EdDSA', 'EdDSA', undefined],
  ['Ed25519', 'Ed25519', undefined],
  ['EdDSA', undefined, undefined],
  ['EdDSA', 'Ed25519', 'credential.invalid_signature'],
  ['Ed25519', 'EdDSA', 'credential.invalid_signature'],
] as const) {
  test(`a WIT of alg ${alg} under a key for ${named ?? 'any'} is ${code ?? 'accepted'}`, async () => {
    const key = WorkloadKey.generate(alg)
    const token = mint({ typ: 'wit+jwt', kid: 'ed' }, WIT, key)
    const set = jwk(key, { kid: 'ed', ...(named === undefined ? {} : { alg: named }) })
    const { result } = await verdict('verify', 'wit', '--token', file(token), ...trust(set))
    assert.equal(result.code, code, JSON.stringify(result))
  })
}

async function judgeRequest(claims: Members, ...options: readonly string[]): ReturnType<typeof verdict> {
  const wit = mint({ typ: 'wit+jwt', kid: 'issuer-1' }, { ...WIT, ...claims }, authority)
  const wth = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(wit))).toString('base64url')
  const aud = 'https://api.example.com/v1'
  const proof = mint({ typ: 'wpt+jwt' }, { aud, exp: NOW + 60, jti: '0123456789abcdef', wth }, agent)
  const message = `GET /v1 HTTP/1.1\nAuthorization: WPT ${proof}\nWorkload-Identity-Token: ${wit}\n`
  return verdict('verify', 'request', '--message', file(message), '--audience', aud, ...trust(), ...options)
}

test('a whole request is judged by every option that is accepted', async () => {
  assert.equal((await judgeRequest({}, '--issuer', 'https://issuer.example', '--svid')).accepted, true)
  for (const [claims, options, code] of [
    [{}, ['--issuer', 'https://other.example'], 'credential.issuer_mismatch'],
    [{ iss: undefined }, ['--issuer', 'https://issuer.example'], 'credential.issuer_mismatch'],
    [{ aud: 'a' }, ['--svid'], 'credential.forbidden_claim'],
    [{ iat: NOW + 1 }, [], 'credential.issued_in_future'],
    [{ sub: 'wimse://example.com/a' }, ['--svid'], 'credential.invalid_subject'],
  ] as const) {
    const { result } = await judgeRequest(claims, ...options)
    assert.deepEqual([result.ok, result.code], [false, code])
  }
  assert.equal((await judgeRequest({ iat: NOW + 1 }, '--clock-skew', '1')).accepted, true)
  assert.equal((await judgeRequest({}, '--audience', 'https://alias.example')).accepted, true)
})

// JWT-SVIDs: the verifier's own order of checks, whatever the subject is.
for (const [what, claims, header, options, code] of [
  ['sound', {}, {}, [], undefined],
  ['of the domain that is named', {}, {}, ['--trust-domain', 'spiffe://example.com'], undefined],
  ['of another domain', {}, {}, ['--trust-domain', 'other.example'], 'credential.wrong_trust_domain'],
  ['without sub', { sub: undefined }, {}, [], 'credential.missing_claim'],
  ['of no SPIFFE ID', { sub: 'agent' }, {}, [], 'credential.invalid_subject'],
  ['of a WIMSE identifier', { sub: 'wimse://example.com/a' }, {}, [], 'credential.invalid_subject'],
  ['of no SPIFFE ID and typ wit+jwt', { sub: 'agent' }, { typ: 'wit+jwt' }, [], 'credential.wrong_type'],
  ['for another audience', { aud: 'b' }, {}, [], 'credential.audience_mismatch'],
] as const) {
  test(`a JWT-SVID ${what} is ${code ?? 'accepted'}`, async () => {
    const token = mint({ kid: 'issuer-1', ...header }, { sub, aud: ['a'], exp: NOW + 300, ...claims }, authority)
    const { result } = await verdict(
      ...['verify', 'jwt-svid', '--token', file(token), '--bundle', file(bundle), '--audience', 'a', ...at(NOW)],
      ...options,
    )
    assert.equal(result.code, code, JSON.stringify(result))
  })
}

// Certificates.
const ca = buildCa({ subject: 'root' })
const wic = {
  basicConstraints: basicConstraints(false),
  keyUsage: undefined,
  extendedKeyUsage: extendedKeyUsage(SERVER_AUTH),
}
const named = (...names: readonly Buffer[]) =>
  buildSvid({ issuer: ca, extensions: { ...wic, subjectAltName: subjectAltName(names) } })

for (const [what, leaf, options, code] of [
  ['a WIC', named(uri(sub), dns('a.example')), ['--mode', 'wic'], undefined],
  ['a WIC of a WIMSE identifier', named(uri('wimse://example.com/a')), ['--mode', 'wic'], undefined],
  [
    'a WIC of a WIMSE identifier under spiffe://',
    named(uri('wimse://example.com/a')),
    ['--mode', 'wic', '--trust-domain', 'spiffe://example.com'],
    'x509.untrusted_domain',
  ],
  [
    'a WIC of a SPIFFE ID under wimse://',
    named(uri(sub)),
    ['--mode', 'wic', '--trust-domain', 'wimse://example.com'],
    'x509.untrusted_domain',
  ],
  ['a WIC as X.509-SVID', named(uri(sub)), [], 'x509.missing_key_usage'],
  ['a WIC of a WIMSE identifier as X.509-SVID', named(uri('wimse://example.com/a')), [], 'x509.invalid_identifier'],
  ['a WIC of no identifier', named(dns('a.example')), ['--mode', 'wic'], 'x509.uri_san_count'],
  ['the CA itself', ca, ['--mode', 'wic'], 'x509.uri_san_count'],
] as const) {
  test(`${what} is ${code ?? 'accepted'}`, async () => {
    const { result } = await verdict(
      ...['verify', 'x509-svid', '--chain', file(leaf.der), '--bundle', file(ca.der)],
      ...['--trust-domain', 'example.com', ...at(X509_NOW), ...options],
    )
    assert.equal(result.code, code, JSON.stringify(result))
  })
}

test('a bundle says what was ignored, and when nobody is trusted', async () => {
  const judge = (set: object): ReturnType<typeof verdict> => verdict('verify', 'bundle', ...trust(set))
  const spiffe = {
    spiffe_sequence: 7,
    keys: [jwk(authority, { use: 'jwt-svid' }), jwk(stranger, { use: 'x', kid: 'k' })],
  }
  const { result } = await judge(spiffe)
  assert.deepEqual(result.warnings, [
    'key 0 is ignored: it has no kid',
    'key 1 is ignored: its use is absent or unknown',
    'no usable authority: nobody of this trust domain is trusted',
  ])
  assert.deepEqual((await judge({ keys: [] })).result.warnings, [
    'no usable authority: nobody of this trust domain is trusted',
  ])
  assert.deepEqual((await judge(bundle)).result.warnings, [])
  assert.equal((await judge(ca.der.subarray(0, -1))).result.code, 'x509.malformed')
})

// What `aims id check` says beside the parsers' own tests.
const IDS: readonly (readonly [options: readonly string[], id: string, code: string | undefined])[] = [
  [['--wimse'], 'wimse://example.com', undefined],
  [['--wimse'], 'wimse://example.com/a%2Fb', undefined],
  [['--wimse'], 'wimse://example.com/a%2fb', 'identifier.bad_escape'],
  [['--wimse'], 'wimse://example.com/%2E%2E/a', 'identifier.bad_escape'],
  [['--wimse'], 'wimse://example.com/%zz', 'identifier.bad_escape'],
  [['--wimse'], 'spiffe://example.com/a%2Fb', 'identifier.bad_path_char'],
  [['--wimse'], 'https://example.com/a', 'identifier.wrong_scheme'],
  [['--wimse'], 'WIMSE://example.com/a', 'identifier.wrong_scheme'],
  [['--wimse'], 'wimse://10.0.0.1/a', 'identifier.bad_trust_domain'],
  [['--wimse'], 'wimse://[::1]/a', 'identifier.bad_trust_domain'],
  [['--wimse'], 'wimse://user@example.com/a', 'identifier.bad_trust_domain'],
  [[], 'wimse://example.com/a', 'identifier.wrong_scheme'],
  [['--exactly', sub], sub, undefined],
  [['--exactly', sub], `${sub}s`, 'identifier.unexpected'],
  [['--exactly', 'spiffe://a/pay'], 'spiffe://b/pay', 'identifier.unexpected'],
  [['--wimse', '--exactly', 'spiffe://a/pay'], 'wimse://a/pay', 'identifier.unexpected'],
  [['--below', 'spiffe://a/pay'], 'spiffe://a/pay/eu', undefined],
  [['--below', 'spiffe://a/pay'], 'spiffe://a/payroll-attacker', 'identifier.unexpected'],
  [['--below', 'spiffe://a/pay'], 'spiffe://a/pay', 'identifier.unexpected'],
  [['--below', 'spiffe://a/pay'], 'spiffe://a/pay/../admin', 'identifier.dot_segment'],
  [['--below', 'spiffe://a/pay'], 'spiffe://b/pay/eu', 'identifier.unexpected'],
  [['--wimse', '--below', 'wimse://a/pay'], 'spiffe://a/pay/eu', 'identifier.unexpected'],
  [['--below', 'spiffe://a', '--allow-entire-trust-domain'], 'spiffe://a/pay', undefined],
  [['--below', 'spiffe://a', '--allow-entire-trust-domain'], 'spiffe://a.evil/pay', 'identifier.unexpected'],
]

for (const [options, id, code] of IDS) {
  test(`id check ${options.join(' ')} ${id}: ${code ?? 'ok'}`, async () => {
    const { result } = await verdict('id', 'check', ...options, id)
    assert.equal(result.code, code, JSON.stringify(result))
    if (code === undefined) assert.equal(result.id, id)
  })
}

for (const options of [
  ['--below', 'spiffe://a'],
  ['--below', ''],
  ['--exactly', 'a'],
  ['--exactly', 'wimse://a/b'],
  ['--exactly', 'spiffe://a/b', '--below', 'spiffe://a/b'],
]) {
  test(`id check ${options.join(' ')} is wrong use`, async () => {
    const { exit, results } = await aims('id', 'check', ...options, 'spiffe://a/b')
    assert.deepEqual([exit, results[0]?.ok, results[0]?.code], [2, false, 'operation.usage'])
  })
}
