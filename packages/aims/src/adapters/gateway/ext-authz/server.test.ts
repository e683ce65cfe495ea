import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { checkRequest, type Question, type Reply, readReply } from '../../../../../../test/support/ext-authz.ts'
import { type Observed, observed } from '../../../../../../test/support/gateways.ts'
import { AUDIENCE, testDomain } from '../../../../../../test/support/identities.ts'
import { mutableBundles, mutableSvid, testCa } from '../../../../../../test/support/x509-identities.ts'
import type { RawHeaders } from '../../../authentication/carriage.ts'
import type { AuthenticatorOptions } from '../../../authentication/request.ts'
import { type ProofRequest, proofHeaders } from '../../../authentication/wpt/create.ts'
import { AimsError } from '../../../base/errors.ts'
import { noObserver } from '../../../base/event.ts'
import { isExactly } from '../../../identifiers/matcher.ts'
import { GrpcConnection } from '../../../provisioning/grpc/grpc-connection.ts'
import { workloadApiTarget } from '../../../provisioning/workload-api/target.ts'
import { createGate } from '../gate.ts'
import { decodeCheckRequest } from './messages.ts'
import { type ExtAuthzOptions, startExtAuthz } from './server.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now() })
const wit = await domain.wit()
const directory = mkdtempSync(join(tmpdir(), 'aims-ext-authz-'))
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
  rmSync(directory, { recursive: true, force: true })
})

let started = 0
async function start(
  options: Partial<ExtAuthzOptions> = {},
  rules: Partial<AuthenticatorOptions> = {},
): Promise<Observed & { ask(request: Uint8Array, path?: string): Promise<Reply> }> {
  const seen = observed(domain, rules)
  started += 1
  const path = join(directory, `${started}.sock`)
  const server = await startExtAuthz({ gate: createGate(seen), listen: { path, mode: 0o600 }, ...options })
  const connection = new GrpcConnection(workloadApiTarget({ kind: 'unix', path }), 1_000_000)
  opened.push(
    () => server.close(),
    () => connection.close(),
  )
  return {
    ...seen,
    async ask(request, method = '/envoy.service.auth.v3.Authorization/Check') {
      const replies: Buffer[] = []
      await connection.run({ path: method, request, onMessage: (message) => void replies.push(message) })
      assert.equal(replies.length, 1)
      return readReply(replies[0] ?? Buffer.alloc(0))
    },
  }
}

function proven(change: Partial<ProofRequest> = {}, more: RawHeaders = []): RawHeaders {
  const request = { method: 'GET', target: '/api/events', audience: AUDIENCE, ...change }
  const fields = Object.entries(proofHeaders(wit, request, { now: now() }))
  return [...fields.map(([name, value]) => [name.toLowerCase(), value] as const), ...more]
}

test('a good request is OK, with its caller in place of what the client says, and without its proof', async () => {
  const { ask } = await start()
  const forged: RawHeaders = [
    [':path', '/api/events'],
    ['aims-caller-id', 'spiffe://example.com/agent/admin'],
    ['aims_caller_via', 'spiffe://example.com/agent/admin'],
  ]
  const { status, headers, remove } = await ask(checkRequest({ headers: proven({}, forged) }))
  assert.equal(status, 200)
  assert.equal(headers['aims-caller-id'], wit.subject)
  assert.deepEqual([...remove].sort(), ['aims_caller_via', 'authorization', 'workload-identity-token'])
})

// [authentication.gateway.05] [authentication.gateway.07]
// One row per way to be refused: the question, the status that Envoy is to answer, the code in the record.
const body = '{"a":1}'
const named = { method: 'POST', body: Buffer.from(body) }
const REFUSED: readonly (readonly [
  name: string,
  question: () => Question,
  status: number,
  code: string,
  options?: Partial<ExtAuthzOptions>,
])[] = [
  ['without a proof', () => ({ headers: [] }), 401, 'authentication.missing'],
  [
    'with header lines that Envoy has joined',
    () => ({ headers: proven(), joined: true }),
    400,
    'authentication.malformed_field',
  ],
  [
    'with two proofs that Envoy has joined',
    () => ({ headers: proven().map(([name, value]) => [name, `${value},${value}`]), joined: true }),
    400,
    'authentication.malformed_field',
    { acceptJoinedHeaders: true },
  ],
  [
    'with a second Authorization line',
    () => ({ headers: proven({}, [['authorization', 'Bearer x']]) }),
    400,
    'authentication.duplicate_field',
  ],
  [
    'proven for a body that Envoy does not send',
    () => ({ method: 'POST', headers: proven(named) }),
    401,
    'authentication.body_unseen',
  ],
  [
    'proven for a body of which a part came',
    () => ({ method: 'POST', body, headers: proven(named, [['x-envoy-auth-partial-body', 'true']]) }),
    401,
    'authentication.body_unseen',
    { seesBodies: true },
  ],
  [
    'proven for a body that was announced and did not come',
    () => ({ method: 'POST', headers: proven(named, [['content-length', '7']]) }),
    401,
    'authentication.body_unseen',
    { seesBodies: true },
  ],
  [
    'proven for a body that was announced in capitals and did not come',
    () => ({ method: 'POST', headers: proven(named, [['Content-Length', '7']]) }),
    401,
    'authentication.body_unseen',
    { seesBodies: true },
  ],
  [
    'proven for another body',
    () => ({ method: 'POST', body: '{"a":2}', headers: proven(named, [['x-envoy-auth-partial-body', 'false']]) }),
    401,
    'proof.body_mismatch',
    { seesBodies: true },
  ],
  [
    'with a path of two spellings',
    () => ({ path: '/api/%2e%2e/x', headers: proven() }),
    400,
    'authorization.ambiguous_path',
  ],
  [
    "with a principal on a connection that is nobody's",
    () => ({ headers: [], principal: wit.subject }),
    401,
    'authentication.missing',
  ],
]
for (const [name, question, status, code, options] of REFUSED) {
  test(`a request ${name} is refused`, async () => {
    const { ask, reason } = await start(options)
    assert.equal((await ask(checkRequest(question()))).status, status)
    assert.equal(reason(), code)
  })
}

test('a body is compared when it is whole, and left uncovered only where that was asked for', async () => {
  const whole = await start({ seesBodies: true })
  const headers = proven(named, [['x-envoy-auth-partial-body', 'false']])
  const seen = await whole.ask(checkRequest({ method: 'POST', body, headers }))
  assert.deepEqual([seen.status, seen.headers['aims-caller-covers']], [200, 'method target body'])
  const blind = await start({ acceptUncheckedDigest: true })
  const unseen = await blind.ask(checkRequest({ method: 'POST', headers: proven(named) }))
  assert.deepEqual([unseen.status, unseen.headers['aims-caller-covers']], [200, 'method target'])
})

test('what is no question is an error of gRPC, on which Envoy lets nothing through', async () => {
  const { ask, events } = await start({ maxMessage: 5000 })
  const refusals: readonly (readonly [request: Uint8Array, path: string | undefined])[] = [
    [Buffer.alloc(0), undefined],
    [Buffer.from('ffff', 'hex'), undefined],
    [checkRequest({ headers: [['x', 'x'.repeat(5000)]] }), undefined],
    [checkRequest({ headers: proven() }), '/envoy.service.auth.v2.Authorization/Check'],
  ]
  for (const [request, path] of refusals) {
    await assert.rejects(ask(request, path), (error) => AimsError.is(error) && error.code.startsWith('provisioning.'))
  }
  assert.deepEqual(events, [])
})

test('any bytes are a question or no well-formed message', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeCheckRequest(bytes)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'provisioning.malformed_message')
      }
    }),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.stringMatching(/^[a-z-]{1,8}$/), fc.stringMatching(/^[ -~]{0,20}$/))),
      (headers) => {
        const read = decodeCheckRequest(checkRequest({ headers, path: '/p' }))
        assert.deepEqual([read.path, read.headers], ['/p', { areRaw: true, fields: headers }])
      },
    ),
  )
})

// [authentication.gateway.06]
test("whoever could ask anything is nobody to believe, and the certificate of a connection is no caller's", async () => {
  const { authenticator, observer } = observed(domain, { methods: ['wit+wpt', 'mtls'] })
  const withMtls = createGate({ authenticator, observer })
  await assert.rejects(startExtAuthz({ gate: withMtls, listen: { host: '127.0.0.1', port: 0 } }), TypeError)
  const gate = createGate(observed(domain))
  await assert.rejects(startExtAuthz({ gate, listen: { host: '0.0.0.0', port: 0 } }), TypeError)
  const ca = await testCa()
  const source = mutableSvid(await ca.svid('/gateway'))
  const tls = {
    source,
    bundles: mutableBundles(ca.bundle),
    peer: isExactly(wit.subject),
    observer: noObserver,
    admitWithoutCertificate: true,
  }
  await assert.rejects(startExtAuthz({ gate, listen: { host: '0.0.0.0', port: 0 }, tls }), TypeError)
})
