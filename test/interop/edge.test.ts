// `aims/web` and `aims/fetch` as they are published, on Bun, Deno and Cloudflare's workerd: real servers, real requests.
import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import {
  createAuthenticator,
  createMemoryReplayStore,
  type ProofOptions,
  type ProofRequest,
  proofHeaders,
  signRequest,
  verifyResponse,
} from 'aims/authentication'
import { WorkloadKey } from 'aims/base'
import { serializeBundle, type Wit } from 'aims/credentials'
import { isExactly } from 'aims/identifiers'
import { protect } from 'aims/node'
import { EDGE_RUNTIMES, type EdgeService, edgeProject, startEdge } from '../support/edge-runtimes.ts'
import { exchange, listening, type Sent } from '../support/http-exchange.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'

const now = (): number => Math.floor(Date.now() / 1000)
const TARGET = '/api/events?x=1'
const MAX_BODY = 1000
const BODY = 'hello'

const made = now()
const domain = testDomain('example.com', { now: made })
const past = testDomain('past.example', { now: now() - 7200 })
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const edge = await domain.wit({ path: '/service/edge', key: new WorkloadKey(pair.privateKey) })
const peerWit = await domain.wit({ path: '/service/events-api' })
const wit = await domain.wit()
const other = await domain.wit({ path: '/agent/other' })
const expired = await past.wit()
const stranger = await testDomain('stranger.example', { now: now() }).wit()
const forged = await testDomain('example.com', { now: now() }).wit()
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const pss = await domain.wit({ key: new WorkloadKey(rsa, { alg: 'PS256' }) })
const older = await domain.wit({ profile: 'wimse-wpt-01' })

interface Row {
  readonly sent: Partial<Sent>
  readonly status: number
  readonly reason: string
}

type Fields = Sent['fields']

function proof(by: Wit, change: Partial<ProofRequest> = {}, options: Partial<ProofOptions> = {}): Fields {
  const request = { method: 'POST', target: TARGET, audience: AUDIENCE, body: Buffer.from(BODY), ...change }
  return Object.entries(proofHeaders(by, request, { now: now(), ...options }))
}

function signed(change: Partial<Parameters<typeof signRequest>[1]> = {}, at = now()): Fields {
  const request = {
    method: 'POST',
    target: TARGET,
    audience: AUDIENCE,
    headers: [],
    body: Buffer.from(BODY),
    ...change,
  }
  return Object.entries(signRequest(wit, request, { now: at }).headers)
}

const field = (fields: Fields, name: string): Fields => fields.filter(([one]) => one === name)
const big = 'x'.repeat(MAX_BODY + 1)

/** Each breaks one rule. */
const REFUSED: { readonly [what: string]: () => Row } = {
  'nothing that proves anything': () => row([], 'authentication.missing'),
  'identity in fields of a proxy': () =>
    row([['x-forwarded-client-cert', `URI=${wit.subject}`]], 'authentication.missing'),
  'a WIT without a proof': () => row(field(proof(wit), 'workload-identity-token'), 'authentication.missing_proof'),
  'a proof without its WIT': () => row(field(proof(wit), 'authorization'), 'authentication.missing_credential'),
  'a WIT as bearer token': () => row([['authorization', `Bearer ${wit.token}`]], 'authentication.wit_as_bearer'),
  'a proof that has expired': () => row(proof(wit, {}, { now: now() - 120 }), 'proof.expired'),
  'a proof from the future': () => row(proof(wit, {}, { now: now() + 200 }), 'proof.not_yet_valid'),
  'a proof for another service': () =>
    row(proof(wit, { audience: 'https://other.example' }), 'proof.audience_mismatch'),
  'a proof for another target': () => row(proof(wit, { target: '/api/events?x=2' }), 'proof.target_mismatch'),
  'a proof for another method': () => row(proof(wit, { method: 'GET' }), 'proof.method_mismatch'),
  'a proof for another body': () => row(proof(wit, { body: Buffer.from('hallo') }), 'proof.body_mismatch'),
  'a proof by another key': () =>
    row(
      [...field(proof(other), 'authorization'), ...field(proof(wit), 'workload-identity-token')],
      'proof.invalid_signature',
    ),
  'a proof for another WIT': () =>
    row(
      [
        ['authorization', `WPT ${createForeign()}`],
        ['workload-identity-token', wit.token],
      ],
      'proof.wit_mismatch',
    ),
  'a proof by RSA-PSS without salt': () =>
    row(padded({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 0 }), 'proof.invalid_signature'),
  'a proof with the padding of another algorithm': () =>
    row(padded({ padding: constants.RSA_PKCS1_PADDING }), 'proof.invalid_signature'),
  'a WIT that has expired': () => credential(proof(expired), 'credential.expired'),
  'a WIT of a foreign trust domain': () => credential(proof(stranger), 'credential.untrusted_domain'),
  'a WIT of an issuer that nobody knows': () => credential(proof(forged), 'credential.unknown_key'),
  'a WIT that was changed': () => {
    const [header, , signature] = wit.token.split('.')
    const token = [header, other.token.split('.')[1], signature].join('.')
    return credential(proof({ ...wit, token }), 'credential.invalid_signature')
  },
  'a profile that is off': () => row(proof(older), 'authentication.profile_disabled'),
  'two WITs': () => ({
    ...row([...proof(wit), ['workload-identity-token', wit.token]], 'authentication.malformed_field'),
    status: 400,
  }),
  'a body beyond the limit': () => ({
    ...row(proof(wit, { body: Buffer.from(big) }), 'authentication.body_too_large', { body: big }),
    status: 413,
  }),
  'a signature for another service': () =>
    signature({ audience: 'https://other.example' }, 'signature.audience_mismatch'),
  'a signature for another target': () => signature({ target: '/other' }, 'signature.invalid_signature'),
  'a signature for another body': () => signature({ body: Buffer.from('hallo') }, 'signature.digest_mismatch'),
  'a signature without a digest of the body': () => signature({ body: undefined }, 'signature.digest_missing'),
  'a signature that has expired': () => ({ ...row(signed({}, now() - 120), 'signature.expired'), status: 400 }),
}

function row(fields: Fields, reason: string, sent: Partial<Sent> = {}): Row {
  return { sent: { fields, ...sent }, status: 401, reason }
}

function credential(fields: Fields, reason: string): Row {
  return { ...row(fields, reason), status: 400 }
}

function signature(change: Parameters<typeof signed>[0], reason: string): Row {
  return { ...row(signed(change), reason), status: 400 }
}

// By the right key, in another way than its algorithm says.
function padded(how: { readonly padding: number; readonly saltLength?: number }): Fields {
  const fields = proof(pss)
  const [header, payload] = (field(fields, 'authorization')[0]?.[1] ?? '').split('.')
  const input = `${header}.${payload}`
  const signature = sign('sha256', Buffer.from(input.slice('WPT '.length)), { key: rsa, ...how })
  return [['authorization', `${input}.${signature.toString('base64url')}`], ...field(fields, 'workload-identity-token')]
}

// Signed with the key of the WIT, about another token with the same key.
function createForeign(): string {
  return (field(proof({ ...wit, token: other.token }), 'authorization')[0]?.[1] ?? '').slice('WPT '.length)
}

const service = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 100 }),
  observer: { record: async () => undefined },
  responses: { wits: { wit: () => peerWit } },
  requireBinding: { method: true, target: true, body: true },
})
const impostor = createAuthenticator({
  bundles: domain.bundles,
  audiences: [AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 100 }),
  observer: { record: async () => undefined },
  responses: { wits: { wit: () => other } },
})

let project: ReturnType<typeof edgeProject> | undefined
after(() => project?.remove())

// Built once, by the first that needs it.
function prepared(): string {
  const { key: _, ...visible } = edge
  project ??= edgeProject({
    bundles: [domain, past].map(({ bundle }) => ({
      trustDomain: bundle.trustDomain,
      document: serializeBundle(bundle, { includeWit: true }),
    })),
    audience: AUDIENCE,
    peer: peerWit.subject,
    maxBody: MAX_BODY,
    wit: visible,
    token: edge.token,
    key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  })
  return project.folder
}

for (const [name, runtime] of Object.entries(EDGE_RUNTIMES)) {
  const skip = runtime.program === undefined ? `no ${name} on this machine` : false
  describe(`on ${name}`, { skip, timeout: 300_000 }, () => {
    let running: EdgeService
    before(async () => {
      running = await startEdge(runtime, prepared())
    })
    after(() => running?.close())

    const send = (sent: Partial<Sent>) =>
      exchange(running.port, { method: 'POST', target: TARGET, fields: [], body: BODY, ...sent })
    const reasonOf = async (body: string): Promise<unknown> => {
      const { id } = JSON.parse(body)
      return JSON.parse(
        (await exchange(running.port, { method: 'POST', target: '/reasons', fields: [], body: id })).body,
      )
    }
    const ask = async (to: number, signs: boolean): Promise<unknown> => {
      const body = JSON.stringify({ url: `http://127.0.0.1:${to}/notes`, sign: signs })
      return JSON.parse((await exchange(running.port, { method: 'POST', target: '/ask', fields: [], body })).body)
    }

    test('a proven request reaches the handler, with its body, whatever the algorithm of the key', async () => {
      for (const key of [
        WorkloadKey.generate('ES256'),
        WorkloadKey.generate('ES384'),
        new WorkloadKey(rsa, { alg: 'RS256' }),
        new WorkloadKey(rsa, { alg: 'PS256' }),
      ]) {
        const by = await domain.wit({ key })
        const { status, body } = await send({ fields: proof(by) })
        assert.equal(status, 200, `${key.alg}: ${body}`)
        const covers = { method: true, target: true, body: true, response: false }
        assert.deepEqual(JSON.parse(body), { caller: by.subject, method: 'wit+wpt', covers, body: BODY })
      }
    })

    test('a signed request gets a signed response', async () => {
      const request = { method: 'POST', target: TARGET, audience: AUDIENCE, headers: [], body: Buffer.from(BODY) }
      const { headers, nonce } = signRequest(wit, { ...request, signResponse: true }, { now: now() })
      const response = await fetch(`http://127.0.0.1:${running.port}${TARGET}`, {
        method: 'POST',
        headers: { ...headers },
        body: Buffer.from(BODY),
      })
      const body = Buffer.from(await response.arrayBuffer())
      assert.equal(response.status, 200, body.toString())
      const verified = verifyResponse(
        { status: 200, headers: [...response.headers], body },
        {
          request: { method: 'POST', target: TARGET, nonce, profile: 'wimse' },
          bundles: domain.bundles,
          peer: isExactly(edge.subject),
          required: true,
          now: now(),
        },
      )
      assert.equal(verified?.id, edge.subject)
      assert.equal(JSON.parse(body.toString()).method, 'http-signature')
    })

    for (const [what, make] of Object.entries(REFUSED)) {
      test(`refused: ${what}`, async () => {
        const { sent, status, reason } = make()
        const answer = await send(sent)
        assert.equal(answer.status, status, answer.body)
        assert.deepEqual(await reasonOf(answer.body), [reason])
      })
    }

    test('refused: what was seen before, proof and signature', async () => {
      for (const [fields, status, reason] of [
        [proof(wit), 401, 'proof.replayed'],
        [signed(), 400, 'signature.replayed'],
      ] as const) {
        assert.equal((await send({ fields })).status, 200)
        const again = await send({ fields })
        assert.equal(again.status, status)
        assert.deepEqual(await reasonOf(again.body), [reason])
      }
    })

    // [authentication.aims.06]
    test('a stream of events breaks off when the credential of its caller ends', { timeout: 60_000 }, async () => {
      const ends = now() + 8
      const brief = await domain.wit({ ttl: ends - made })
      const proven = proofHeaders(brief, { method: 'GET', target: '/events', audience: AUDIENCE }, { now: now() })
      const headers = Object.entries(proven).map(([one, value]): [string, string] => [one, value])
      const response = await fetch(`http://127.0.0.1:${running.port}/events`, { headers })
      assert.equal(response.status, 200)
      let last = 0
      try {
        for await (const _ of response.body ?? []) last = now()
      } catch {
        // Or it only stops, which chunked coding of the runtime tells.
      }
      assert.ok(last > 0 && last <= ends && now() >= ends, `${last - ends}, ${now() - ends}`)
    })

    test('as an agent it proves itself, and takes no answer of another', async () => {
      const handler = protect(service, (_request, response, { principal }) =>
        response.end(`${principal.id} ${principal.method}`),
      )
      const port = await listening(handler)
      assert.deepEqual(await ask(port, false), { status: 200, text: `${edge.subject} wit+wpt` })
      assert.deepEqual(await ask(port, true), { status: 200, text: `${edge.subject} http-signature` })
      const wrong = await listening(protect(impostor, (_request, response) => response.end('mine')))
      assert.deepEqual(await ask(wrong, true), { code: 'authentication.peer_unexpected' })
      const unsigned = await listening((_request, response) => response.end('mine'))
      assert.deepEqual(await ask(unsigned, true), { code: 'signature.response_unsigned' })
      const moved = await listening((_request, response) => response.writeHead(307, { location: '/elsewhere' }).end())
      for (const signs of [false, true]) {
        assert.deepEqual(await ask(moved, signs), {
          code: 'TypeError: the service redirects, and a proof is for one target',
        })
      }
    })
  })
}
