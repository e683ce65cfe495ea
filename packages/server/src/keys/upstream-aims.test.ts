import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type AimsErrorCode,
  encodePem,
  importVerificationKey,
  type JsonObject,
  systemClock,
  WorkloadKey,
} from 'aims/base'
import { emptyBundle, issueCaCertificate, serializeBundle, type X509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { FakeWorkloadApi } from '../../../../test/support/fake-workload-api.ts'
import { testCa } from '../../../../test/support/x509-identities.ts'
import { configuredUpstream, type Upstream } from './upstream.ts'

// A server above that lies, and the Workload API that this server has its identity from.
const trustDomain = parseTrustDomain('example.com')
const ca = await testCa()
const stranger = await testCa()
const dir = mkdtempSync(join(tmpdir(), 'aims-liar-'))
const address = `unix://${join(dir, 'workload.sock')}`
const api = await FakeWorkloadApi.start(address)
const pem = (svid: X509Svid): string => svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
const keyPem = (svid: X509Svid): string => svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString()

const mine = await ca.svid('/servers/east')
const roots = Buffer.concat(ca.bundle.x509Authorities)
api.answer('fetchX509Svid', {
  svids: [
    {
      spiffeId: 'spiffe://example.com/servers/east',
      hint: '',
      bundle: roots,
      x509Svid: Buffer.concat(mine.certificates),
      x509SvidKey: mine.key.tlsKey.export({ type: 'pkcs8', format: 'der' }),
    },
  ],
  crl: [],
  federatedBundles: new Map(),
})
api.answer('fetchX509Bundles', { crl: [], bundles: new Map([['spiffe://example.com', roots]]) })
api.answer('fetchJwtBundles', { bundles: new Map([['spiffe://example.com', Buffer.from('{"keys":[]}')]]) })
api.answer('fetchWitBundles', { bundles: new Map([['spiffe://example.com', '{"keys":[]}']]) })

type Answer = (body: JsonObject) => JsonObject | Promise<JsonObject>
let answer: Answer = () => ({})
const server = await serve(await ca.svid('/aims/server'))
const impostor = await serve(await ca.svid('/someone/else'))
after(() => {
  server.close()
  impostor.close()
  api.stop()
  rmSync(dir, { recursive: true })
})

async function serve(svid: X509Svid): Promise<ReturnType<typeof createServer>> {
  const options = { key: keyPem(svid), cert: pem(svid), requestCert: true, rejectUnauthorized: false }
  const made = createServer(options, async (request, response) => {
    let text = ''
    for await (const part of request) text += String(part)
    const body = request.method === 'GET' ? { longestLife: 1 } : await answer(JSON.parse(text))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  made.listen(0, '127.0.0.1')
  await once(made, 'listening')
  return made
}

function upstreamAt(port: number): Upstream {
  const setting = { aims: { server: `https://127.0.0.1:${port}`, workload: address } }
  const upstream = configuredUpstream(setting, trustDomain, systemClock)
  assert.ok(upstream !== undefined)
  return upstream
}
const portOf = (one: typeof server): number => (one.address() as AddressInfo).port

const now = Math.floor(systemClock())
const key = WorkloadKey.generate()
const order = { trustDomain, key, notBefore: now - 60, notAfter: now + 3000, pathLength: 0 }
async function certificateFor(subject: WorkloadKey | undefined, change: object = {}, issuer = ca): Promise<string> {
  const request = { trustDomain, issuer: issuer.authority, notBefore: now - 60, notAfter: now + 2000, pathLength: 0 }
  const subjectKey = (subject ?? key).publicKey
  return Buffer.from(await issueCaCertificate({ ...request, subjectKey, ...change })).toString('base64')
}

test('the right certificate is taken, and leads to the root', async () => {
  answer = async () => ({ chain: [await certificateFor(key)] })
  const { chain, expiresAt } = await (await upstreamAt(portOf(server)).load()).certify(order)
  assert.deepEqual(
    chain.map((der) => Buffer.from(der)),
    ca.bundle.x509Authorities.map((der) => Buffer.from(der)),
  )
  assert.equal(expiresAt, now + 2000)
})

// One row per answer that is not the right one.
for (const [what, lie] of [
  ['for another key', async () => ({ chain: [await certificateFor(WorkloadKey.generate())] })],
  ['that certifies others', async () => ({ chain: [await certificateFor(key, { pathLength: 1 })] })],
  ['of another root of the same name', async () => ({ chain: [await certificateFor(key, {}, stranger)] })],
  [
    'with another root beside it',
    async () => ({
      chain: [
        await certificateFor(key, {}, stranger),
        Buffer.from(stranger.authority.certificate.raw).toString('base64'),
      ],
    }),
  ],
  [
    'that lives longer than it was asked for',
    async () => ({ chain: [await certificateFor(key, { notAfter: now + 3400 })] }),
  ],
  ['that begins later', async () => ({ chain: [await certificateFor(key, { notBefore: now + 1000 })] })],
  ['that is none', () => ({ chain: ['AAAA'] })],
  ['that is no Base64', () => ({ chain: ['?'] })],
  ['that is not there', () => ({ chain: [] })],
  ['in another form', () => ({ chain: 'AAAA' })],
] as const satisfies readonly (readonly [string, Answer])[]) {
  test(`a CA certificate is refused: one ${what}`, async () => {
    answer = lie
    const upstream = await upstreamAt(portOf(server)).load()
    await assert.rejects(upstream.certify(order), { code: 'operation.upstream_invalid' })
  })
}

const jwt = WorkloadKey.generate()
const keys = [{ purpose: 'jwt', key: jwt, until: now + 3600 }] as const
const bundleWith = (...known: readonly WorkloadKey[]): string => {
  const jwtAuthorities = new Map(
    known.map(({ kid, alg, publicKey }) => {
      return [kid, importVerificationKey({ ...publicKey.export({ format: 'jwk' }), alg, kid })] as const
    }),
  )
  return serializeBundle({ ...emptyBundle(trustDomain), ...ca.bundle, jwtAuthorities }, { includeWit: true })
}

test('published keys come back in the bundle, or the bundle is refused', async () => {
  const publish = async (bundle: JsonObject): Promise<string | undefined> => {
    answer = () => bundle
    return (await upstreamAt(portOf(server)).publish?.(keys))?.bundle
  }
  assert.equal(await publish({ bundle: bundleWith(jwt) }), bundleWith(jwt))
  for (const lie of [{ bundle: bundleWith(WorkloadKey.generate()) }, { bundle: '{}' }, { bundle: 1 }, {}]) {
    await assert.rejects(publish(lie), { code: 'operation.upstream_invalid' })
  }
})

for (const [what, port, code] of [
  ['somebody else of the trust domain', portOf(impostor), 'operation.upstream_invalid'],
  ['nobody', 1, 'operation.upstream_unreachable'],
] as const satisfies readonly (readonly [string, number, AimsErrorCode])[]) {
  test(`the server above is ${what}: nothing is asked, and for a while not tried again`, async () => {
    answer = () => assert.fail('it was asked')
    const upstream = upstreamAt(port)
    const first = await upstream.load().catch((error: unknown) => error)
    assert.ok(first instanceof Error && 'code' in first && first.code === code)
    // The same object: it comes from memory.
    assert.equal(await upstream.load().catch((error: unknown) => error), first)
  })
}
