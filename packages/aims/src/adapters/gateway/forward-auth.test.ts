import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import {
  exchange,
  observed,
  proofLines,
  requestText,
  signatureLines,
  statusOf,
} from '../../../../../test/support/gateways.ts'
import { testDomain } from '../../../../../test/support/identities.ts'
import { type ForwardAuthOptions, startForwardAuth } from './forward-auth.ts'
import { createGate } from './gate.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const wit = await domain.wit()
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened) await close()
})

async function start(options: Partial<ForwardAuthOptions> = {}) {
  const seen = observed(domain)
  const gate = createGate({ ...seen, refuseReservedFields: true })
  const server = await startForwardAuth({ gate, proxy: 'nginx', listen: { host: '127.0.0.1', port: 0 }, ...options })
  opened.push(() => server.close())
  return { port: server.port ?? 0, ...seen }
}

const ASKED = ['X-Original-Method: POST', 'X-Original-URI: /api/events?x=1']
const proven = (body?: string): readonly string[] =>
  proofLines(wit, {
    method: 'POST',
    target: '/api/events?x=1',
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  })

test('yes is 200 with the caller in fields and nothing in the body', async () => {
  const { port } = await start()
  const answer = await exchange(port, requestText('GET /auth HTTP/1.1', [...ASKED, ...proven()]))
  assert.equal(statusOf(answer), 200)
  assert.match(answer, new RegExp(`^aims-caller-id: ${wit.subject}\\r$`, 'm'))
  assert.match(answer, /^aims-caller-covers: method target\r$/m)
})

test('a token that is not the proof is given back for the service, and a proof is not', async () => {
  const { port } = await start()
  const other = 'Authorization: Bearer opaque-to-us'
  const request = { method: 'POST', target: '/api/events?x=1' }
  const signed = signatureLines(wit, { ...request, headers: [['authorization', 'Bearer opaque-to-us']] })
  const withToken = await exchange(port, requestText('GET /auth HTTP/1.1', [...ASKED, ...signed, other]))
  assert.equal(statusOf(withToken), 200)
  assert.match(withToken, /^authorization: Bearer opaque-to-us\r$/m)
  const withProof = await exchange(port, requestText('GET /auth HTTP/1.1', [...ASKED, ...proven()]))
  assert.equal(statusOf(withProof), 200)
  assert.doesNotMatch(withProof, /^authorization:/im)
  const refused = await exchange(port, requestText('GET /auth HTTP/1.1', [...ASKED, other]))
  assert.equal(statusOf(refused), 401)
  assert.doesNotMatch(refused, /opaque-to-us/)
})

// One row per way to be refused: what is sent, the status nginx understands, the code in the record.
const REFUSED: readonly (readonly [name: string, lines: () => readonly string[], status: number, code: string])[] = [
  ['without a proof', () => ASKED, 401, 'authentication.missing'],
  ['where the proxy does not say which', () => [ASKED[0] ?? '', ...proven()], 403, 'authentication.malformed_field'],
  [
    'where two say which',
    () => [...ASKED, 'x-original-uri: /admin', ...proven()],
    403,
    'authentication.malformed_field',
  ],
  ['of another target', () => [ASKED[0] ?? '', 'X-Original-URI: /admin', ...proven()], 401, 'proof.target_mismatch'],
  ['of another method', () => ['X-Original-Method: PUT', ASKED[1] ?? '', ...proven()], 401, 'proof.method_mismatch'],
  ['with a body that is named', () => [...ASKED, ...proven('{}')], 401, 'authentication.body_unseen'],
  ['with a reserved field', () => [...ASKED, 'aims_caller_id: x', ...proven()], 403, 'authentication.reserved_field'],
  ['with an upgrade to h2c', () => [...ASKED, 'Upgrade: h2c', ...proven()], 403, 'authentication.target_unsupported'],
]
for (const [name, lines, status, code] of REFUSED) {
  test(`a request ${name} is refused`, async () => {
    const { port, reason } = await start()
    const answer = await exchange(port, requestText('GET /auth HTTP/1.1', lines()))
    assert.equal(statusOf(answer), status)
    assert.equal(reason(), code)
    assert.match(answer, /^aims-request-id: [0-9a-f-]{36}\r$/m)
  })
}

test('a body that is not seen is left uncovered only where that was asked for', async () => {
  const { port } = await start({ acceptUncheckedDigest: true })
  const answer = await exchange(port, requestText('GET /auth HTTP/1.1', [...ASKED, ...proven('{}')]))
  assert.equal(statusOf(answer), 200)
  assert.match(answer, /^aims-caller-covers: method target\r$/m)
})

test('Caddy is told of every field that it copies, empty where there is nothing to say', async () => {
  const { port } = await start({ proxy: 'caddy' })
  const asked = ['X-Forwarded-Method: POST', 'X-Forwarded-Uri: /api/events?x=1']
  const answer = await exchange(port, requestText('GET / HTTP/1.1', [...asked, ...proven()]))
  assert.equal(statusOf(answer), 200)
  for (const name of ['aims-caller-parent', 'aims-caller-via', 'authorization']) {
    assert.match(answer, new RegExp(`^${name}: \\r$`, 'm'))
  }
  assert.match(answer, new RegExp(`^aims-caller-id: ${wit.subject}\\r$`, 'm'))
  const refused = await exchange(port, requestText('GET / HTTP/1.1', asked))
  assert.deepEqual([statusOf(refused), /^aims-caller/m.test(refused)], [401, false])
})

test('Envoy is asked about the request line, and told what to remove', async () => {
  const { port } = await start({ proxy: 'envoy' })
  const answer = await exchange(port, requestText('POST /api/events?x=1 HTTP/1.1', [...proven(), 'Content-Length: 0']))
  assert.equal(statusOf(answer), 200)
  assert.match(answer, /^x-envoy-auth-headers-to-remove: .*\baims-caller-via\b.*\r$/m)
  assert.doesNotMatch(answer, /to-remove:.*aims-caller-id/)
  // [authentication.gateway.09]
  assert.match(answer, /to-remove:.*\bworkload-identity-token, authorization\r$/im)
})

// [authentication.gateway.06]
test('whoever could ask from elsewhere is nobody to believe', async () => {
  const gate = createGate(observed(domain))
  await assert.rejects(startForwardAuth({ gate, proxy: 'nginx', listen: { host: '0.0.0.0', port: 0 } }), TypeError)
})
