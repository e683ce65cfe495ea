import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { isExactly } from '../../identifiers/matcher.ts'
import { createAuthenticator } from '../authenticate.ts'
import type { RawHeaders } from '../carriage.ts'
import { component } from '../message-signatures/components.ts'
import { contentDigest } from '../message-signatures/content-digest.ts'
import { signMessageLocally } from '../message-signatures/sign.ts'
import { toParameters } from '../message-signatures/signature.ts'
import { createMemoryReplayStore } from '../replay/memory.ts'
import { SIGNATURE_TAG } from './shapes.ts'
import { type AnsweredRequest, signRequest, signResponse } from './sign.ts'
import { type IncomingResponse, type ResponseExpectations, verifyResponse } from './verify-response.ts'

const domain = testDomain()
const client = await domain.wit()
const server = await domain.wit({ path: '/service/events-api' })
const foreign = await testDomain('foreign.example').wit({ path: '/service/events-api' })

const BODY = Buffer.from('{"id":1}')
const TYPE: RawHeaders = [['Content-Type', 'application/json']]
const REQUEST: AnsweredRequest = {
  method: 'POST',
  target: '/api/v1/events?day=1',
  nonce: 'nonce-of-the-request',
  profile: 'wimse',
}

function judge(
  response: IncomingResponse,
  change: Partial<ResponseExpectations> = {},
): ReturnType<typeof verifyResponse> {
  const own = { request: REQUEST, bundles: domain.bundles, peer: isExactly(server.subject), required: true, now: NOW }
  return verifyResponse(response, { ...own, ...change })
}

function signed(body: Uint8Array = BODY, request = REQUEST, holder = server): IncomingResponse {
  const fields = signResponse(holder, { status: 200, headers: TYPE, body }, request, { now: NOW })
  return { status: 200, headers: [...TYPE, ...Object.entries(fields)], body }
}

const COVERED = ['content-type', 'content-digest', 'workload-identity-token']
const OF_REQUEST = ['@method', '@path', '@query']

interface Forged {
  readonly holder?: Wit
  readonly left?: string
  readonly parameters?: { readonly [name: string]: number | string | true | undefined }
}

/** A response signed as our own server would not sign it. */
function forge({ holder = server, left, parameters = {} }: Forged): IncomingResponse {
  const headers: RawHeaders = [
    ...TYPE,
    ['Content-Digest', contentDigest(BODY)],
    ['Workload-Identity-Token', holder.token],
  ]
  const covered = [
    component('@status'),
    ...OF_REQUEST.map((name) => component(name, { req: true })),
    ...COVERED.map((name) => component(name)),
  ].filter(({ identifier }) => identifier !== left)
  const fields = signMessageLocally({ status: 200, headers, request: { ...REQUEST, headers: [] } }, holder.key, {
    label: 'wimse',
    components: covered,
    parameters: toParameters({
      created: NOW,
      expires: NOW + 60,
      nonce: 'nonce-of-the-response',
      tag: SIGNATURE_TAG,
      'wimse-req-nonce': REQUEST.nonce,
      ...parameters,
    }),
  })
  return { status: 200, headers: [...headers, ...Object.entries(fields)], body: BODY }
}

// [authentication.http-signature.11] [authentication.http-signature.12]
test('a signed response tells who answered, and that it answers this request', () => {
  const expected = {
    kind: 'verified-response',
    id: server.subject,
    covers: { status: true, request: true, body: true },
  }
  assert.deepEqual(judge(signed()), expected)
  assert.deepEqual(judge(forge({})), expected)
  assert.deepEqual(judge(signed(new Uint8Array()))?.covers, { status: true, request: true, body: false })
  const older = { ...REQUEST, profile: 'wimse-http-signature-06' } as const
  assert.deepEqual(judge(signed(BODY, older), { request: older }), expected)
})

const changed = (response: IncomingResponse, field: string, change: (value: string) => string): IncomingResponse => ({
  ...response,
  headers: response.headers.map(([name, value]) => [name, name.toLowerCase() === field ? change(value) : value]),
})
const unsigned: IncomingResponse = { status: 200, headers: TYPE, body: BODY }
const without = (response: IncomingResponse, field: string): IncomingResponse => ({
  ...response,
  headers: response.headers.filter(([name]) => name.toLowerCase() !== field),
})

// One row breaks one rule. [authentication.http-signature.14]
const REFUSED: readonly (readonly [string, () => IncomingResponse, string, Partial<ResponseExpectations>?])[] = [
  ['F12 no signature', () => unsigned, 'signature.response_unsigned'],
  [
    'F12 a signature of somebody else only',
    () => forge({ parameters: { tag: 'proxy' } }),
    'signature.response_unsigned',
  ],
  ['F12 the key of the requester', () => forge({ holder: client }), 'authentication.peer_unexpected'],
  ['a service of another domain', () => forge({ holder: foreign }), 'credential.untrusted_domain'],
  [
    'F12 the response to another request',
    () => signed(BODY, { ...REQUEST, nonce: 'nonce-of-another-one' }),
    'signature.request_mismatch',
  ],
  [
    'F12 the response to another target',
    () => signed(BODY, { ...REQUEST, target: '/api/v1/events?day=2' }),
    'signature.invalid_signature',
  ],
  [
    'F12 the response to another method',
    () => signed(BODY, { ...REQUEST, method: 'PUT' }),
    'signature.invalid_signature',
  ],
  [
    'F12 no wimse-req-nonce',
    () => forge({ parameters: { 'wimse-req-nonce': undefined } }),
    'signature.missing_parameter',
  ],
  ['F12 wimse-aud', () => forge({ parameters: { 'wimse-aud': AUDIENCE } }), 'signature.forbidden_parameter'],
  ['F1 keyid', () => forge({ parameters: { keyid: 'k' } }), 'signature.forbidden_parameter'],
  ['F1 alg', () => forge({ parameters: { alg: 'ecdsa-p256-sha256' } }), 'signature.forbidden_parameter'],
  ['F12 another status', () => ({ ...signed(), status: 201 }), 'signature.invalid_signature'],
  ['another body', () => ({ ...signed(), body: Buffer.from('{"id":2}') }), 'signature.digest_mismatch'],
  ['a body that was added', () => ({ ...signed(new Uint8Array()), body: BODY }), 'signature.digest_missing'],
  ['another type', () => changed(signed(), 'content-type', () => 'text/html'), 'signature.invalid_signature'],
  ...[
    '"@status"',
    '"@method";req',
    '"@path";req',
    '"@query";req',
    '"content-type"',
    '"content-digest"',
    '"workload-identity-token"',
  ].map((left) => [`${left} not covered`, () => forge({ left }), 'signature.not_covered'] as const),
  ['no created', () => forge({ parameters: { created: undefined } }), 'signature.missing_parameter'],
  ['no expires', () => forge({ parameters: { expires: undefined } }), 'signature.missing_parameter'],
  ['no nonce', () => forge({ parameters: { nonce: undefined } }), 'signature.missing_parameter'],
  ['a signature that has expired', () => signed(), 'signature.expired', { now: NOW + 60 }],
  [
    'a signature from the future',
    () => forge({ parameters: { created: NOW + 31, expires: NOW + 60 } }),
    'signature.not_yet_valid',
  ],
  ['a signature that lives too long', () => signed(), 'signature.lifetime_too_long', { maxLifetime: 59 }],
  ['no WIT', () => without(signed(), 'workload-identity-token'), 'authentication.missing_credential'],
  [
    'two WITs',
    () => ({ ...signed(), headers: [...signed().headers, ['workload-identity-token', server.token]] }),
    'authentication.duplicate_field',
  ],
  [
    'a signature in the shape of http-signature-06',
    () => signed(BODY, { ...REQUEST, profile: 'wimse-http-signature-06' }),
    'signature.not_covered',
  ],
  ['a service that was revoked', () => signed(), 'credential.revoked', { revocations: { statusOf: () => 'revoked' } }],
  [
    'a bad signature where none is required',
    () => ({ ...signed(), status: 201 }),
    'signature.invalid_signature',
    { required: false },
  ],
]

for (const [what, make, code, change] of REFUSED) {
  test(`a client refuses ${what}`, () => {
    assert.throws(() => judge(make(), change), { code })
  })
}

test('a response that nobody asked to sign may be unsigned, and then nothing is known of it', () => {
  assert.equal(judge(unsigned, { required: false }), undefined)
})

test('a service signs when its caller demands it, or always', async () => {
  const make = (always?: boolean) =>
    createAuthenticator({
      bundles: domain.bundles,
      audiences: [AUDIENCE],
      replays: createMemoryReplayStore({ capacity: 100 }),
      observer: { record: async () => undefined },
      clock: () => NOW,
      responses: { wits: { wit: () => server }, ...(always === undefined ? {} : { always }) },
    })
  for (const [authenticator, demand, isSigned] of [
    [make(), true, true],
    [make(), false, false],
    [make(true), false, true],
  ] as const) {
    const { method, target } = REQUEST
    const request = signRequest(
      client,
      { method, target, audience: AUDIENCE, headers: [], signResponse: demand },
      { now: NOW },
    )
    const principal = await authenticator.authenticate({ method, target, headers: Object.entries(request.headers) })
    assert.equal(principal.covers.response, isSigned)
    const fields = authenticator.responseSigner(principal)?.sign({ status: 200, headers: TYPE, body: BODY })
    assert.equal(fields !== undefined, isSigned)
    const response = { status: 200, headers: [...TYPE, ...Object.entries(fields ?? {})], body: BODY }
    const found = judge(response, { request: { ...REQUEST, nonce: request.nonce }, required: isSigned })
    assert.equal(found?.id, isSigned ? server.subject : undefined)
  }
})

test('a service whose WIT is gone when the response is ready cannot sign it', async () => {
  let profile: Wit['profile'] = 'wimse'
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async () => undefined },
    clock: () => NOW,
    responses: { wits: { wit: () => ({ ...server, profile }) } },
  })
  const { method, target } = REQUEST
  const request = signRequest(
    client,
    { method, target, audience: AUDIENCE, headers: [], signResponse: true },
    { now: NOW },
  )
  const principal = await authenticator.authenticate({ method, target, headers: Object.entries(request.headers) })
  profile = 'aims-00'
  assert.throws(() => authenticator.responseSigner(principal)?.sign({ status: 200, headers: [], body: BODY }), {
    code: 'signature.cannot_sign',
  })
})
