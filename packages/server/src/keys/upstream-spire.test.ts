import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { AimsError, type AimsErrorCode, spkiBytes, systemClock, WorkloadKey } from 'aims/base'
import { issueCaCertificate, type X509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { SPIRE_SERVER_API } from 'aims/provisioning'
import { buildCa, subjectAltName, uri } from '../../../../test/support/certificates.ts'
import { FakeSpire, fakeSpireAgent } from '../../../../test/support/fake-spire.ts'
import { type TestCa, testCa } from '../../../../test/support/x509-identities.ts'
import { configuredUpstream, type Upstream } from './upstream.ts'

// A SPIRE server that lies, and the Workload API of an agent of its own.
const trustDomain = parseTrustDomain('example.com')
const ca = await testCa()
const stranger = await testCa()
const foreign = await testCa('other.example')
const dir = mkdtempSync(join(tmpdir(), 'aims-spire-'))
const mine = await ca.svid('/servers/east')
const SERVER = '/spire/server'
let sockets = 0
async function workloadApi(svid: X509Svid | undefined): Promise<string> {
  sockets += 1
  const address = `unix://${join(dir, `${sockets}.sock`)}`
  const api = await fakeSpireAgent(address, svid, ca.bundle.x509Authorities)
  after(() => api.stop())
  return address
}
const workload = await workloadApi(mine)

async function startSpire(svid: X509Svid): Promise<FakeSpire> {
  const fake = await FakeSpire.start(svid, ca.bundle.x509Authorities)
  after(() => fake.stop())
  return fake
}
const spire = await startSpire(await ca.svid(SERVER))
after(() => rmSync(dir, { recursive: true }))

const { newDownstreamX509Ca } = SPIRE_SERVER_API
const chain = (...caCertChain: readonly Uint8Array[]): Buffer =>
  newDownstreamX509Ca.response.encode({ caCertChain, x509Authorities: [] })
spire.serve(ca)

function upstreamAt(server: string, at = workload): Upstream {
  const upstream = configuredUpstream({ spire: { server, workload: at } }, trustDomain, systemClock)
  assert.ok(upstream !== undefined)
  return upstream
}

const now = Math.floor(systemClock())
const key = WorkloadKey.generate()
const order = { trustDomain, key, notBefore: now - 60, notAfter: now + 3000, pathLength: 0 }
async function certificateFor(change: object = {}, issuer: TestCa = ca): Promise<Uint8Array> {
  const request = { trustDomain, issuer: issuer.authority, notBefore: now - 60, notAfter: now + 2000 }
  return issueCaCertificate({ ...request, subjectKey: key.publicKey, ...change })
}

test('SPIRE certifies the key that the request proves, for as long as was asked, and the caller shows its SVID', async () => {
  const right = await certificateFor()
  spire.answer('newDownstreamX509Ca', () => chain(right))
  const ready = await upstreamAt(spire.address).load()
  spire.calls.length = 0
  const { certificate, chain: above, expiresAt } = await ready.certify(order)
  assert.deepEqual(Buffer.from(certificate), Buffer.from(right))
  assert.deepEqual(
    above.map((der) => Buffer.from(der)),
    ca.bundle.x509Authorities.map((der) => Buffer.from(der)),
  )
  assert.equal(expiresAt, now + 2000)
  const [call] = spire.calls
  assert.deepEqual(call?.caller, Buffer.from(mine.certificates[0] ?? []))
  const { csr, preferredTtl } = newDownstreamX509Ca.request.decode(call?.request ?? Buffer.of())
  assert.ok(Buffer.from(csr).includes(spkiBytes(key.publicKey)))
  assert.ok(preferredTtl <= 3000 && preferredTtl > 2900, String(preferredTtl))
})

test('a CA with a longer life than was asked for is used for as long as was asked', async () => {
  const long = await certificateFor({ notAfter: now + 3500 })
  spire.answer('newDownstreamX509Ca', () => chain(long))
  const { expiresAt } = await (await upstreamAt(spire.address).load()).certify(order)
  assert.equal(expiresAt, now + 3000)
})

const leaf = await ca.svid('/workload', { key })
const middle = buildCa({ subject: 'middle', notBefore: now - 60, notAfter: now + 2000 })
const root = buildCa({ subject: 'root', notBefore: now - 60, notAfter: now + 2000 })
const other = buildCa({
  subject: 'other',
  issuer: root,
  key: { publicKey: key.publicKey, privateKey: key.tlsKey },
  notBefore: now - 60,
  notAfter: now + 2000,
  extensions: { subjectAltName: subjectAltName([uri('spiffe://other.example')], false) },
})

// One row per answer that is not the right one.
for (const [what, lie] of [
  ['for another key', async () => chain(await certificateFor({ subjectKey: WorkloadKey.generate().publicKey }))],
  ['of another root of the same name', async () => chain(await certificateFor({}, stranger))],
  [
    'with another root beside it',
    async () => chain(await certificateFor({}, stranger), ...stranger.bundle.x509Authorities),
  ],
  ['for another trust domain', () => chain(other.der, root.der)],
  ['that is a leaf', () => chain(...leaf.certificates)],
  ['with a CA between that is not above it', async () => chain(await certificateFor(), middle.der)],
  ['whose time is over', async () => chain(await certificateFor({ notBefore: now - 600, notAfter: now - 1 }))],
  ['that begins later', async () => chain(await certificateFor({ notBefore: now + 1000 }))],
  ['that is none', () => chain(Buffer.from('none'))],
  ['that is empty', () => chain(Buffer.of())],
  ['that is not there', () => chain()],
  ['in a message that is no protobuf', () => Buffer.from([0x0a, 0xff])],
  ['in a message that is too large', () => Buffer.alloc(4 * 1024 * 1024 + 1, 1)],
] as const satisfies readonly (readonly [string, () => Buffer | Promise<Buffer>])[]) {
  test(`a CA certificate is refused: one ${what}`, async () => {
    spire.answer('newDownstreamX509Ca', lie)
    const ready = await upstreamAt(spire.address).load()
    await assert.rejects(ready.certify(order), { code: 'operation.upstream_invalid' })
  })
}

// What the status of a call means.
for (const [name, code] of [
  ['PERMISSION_DENIED', 'operation.upstream_refused'],
  ['UNAUTHENTICATED', 'operation.upstream_refused'],
  ['UNIMPLEMENTED', 'operation.upstream_refused'],
  ['INVALID_ARGUMENT', 'operation.upstream_refused'],
  ['RESOURCE_EXHAUSTED', 'operation.upstream_unreachable'],
  ['DEADLINE_EXCEEDED', 'operation.upstream_unreachable'],
  ['INTERNAL', 'operation.upstream_unreachable'],
  ['UNAVAILABLE', 'operation.upstream_unreachable'],
] as const satisfies readonly (readonly [keyof typeof status, AimsErrorCode])[]) {
  test(`a call that ends with ${name} is ${code}`, async () => {
    spire.answer('newDownstreamX509Ca', status[name])
    const ready = await upstreamAt(spire.address).load()
    await assert.rejects(ready.certify(order), { code })
  })
}

const impostor = await startSpire(await ca.svid('/aims/server'))
const neighbour = await startSpire(await foreign.svid(SERVER))
const forger = await startSpire(await stranger.svid(SERVER))
const late = await startSpire(await ca.svid(SERVER, { ttl: -1 }))
const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
plain.listen(0, '127.0.0.1')
await once(plain, 'listening')
after(() => plain.close())

for (const [what, server, code] of [
  ['somebody else of the trust domain', impostor.address, 'operation.upstream_invalid'],
  ['the SPIRE server of another trust domain', neighbour.address, 'operation.upstream_invalid'],
  ['one with a certificate of another CA', forger.address, 'operation.upstream_invalid'],
  ['one whose certificate has expired', late.address, 'operation.upstream_invalid'],
  ['one without TLS', `https://127.0.0.1:${(plain.address() as AddressInfo).port}`, 'operation.upstream_invalid'],
  ['nobody', 'https://127.0.0.1:1', 'operation.upstream_unreachable'],
] as const satisfies readonly (readonly [string, string, AimsErrorCode])[]) {
  test(`the server above is ${what}: nothing is asked, and for a while not tried again`, async () => {
    const upstream = upstreamAt(server)
    const first = await upstream.load().catch((error: unknown) => error)
    assert.ok(first instanceof Error && 'code' in first, String(first))
    assert.equal(first.code, code)
    // The same object: it comes from memory.
    assert.equal(await upstream.load().catch((error: unknown) => error), first)
    for (const { calls } of [impostor, neighbour, forger, late]) assert.deepEqual(calls, [])
  })
}

const unregistered = await workloadApi(undefined)
const elsewhere = await workloadApi(await foreign.svid('/servers/east'))
for (const [what, at, cause] of [
  ['that is not there', `unix://${join(dir, 'nobody.sock')}`, 'provisioning.endpoint_unavailable'],
  ['that does not know this server', unregistered, 'provisioning.not_ready'],
  ['of another trust domain', elsewhere, 'x509.wrong_trust_domain'],
] as const satisfies readonly (readonly [string, string, AimsErrorCode])[]) {
  test(`without an identity nothing is asked: a Workload API ${what}`, async () => {
    spire.calls.length = 0
    const error = await upstreamAt(spire.address, at)
      .load()
      .catch((reason: unknown) => reason)
    assert.ok(AimsError.is(error) && AimsError.is(error.cause), String(error))
    assert.deepEqual([error.code, error.cause.code], ['operation.upstream_unreachable', cause])
    assert.deepEqual(spire.calls, [])
  })
}
