// Goal P8: the endpoint at which an agent has a credential signed does at least 0.55 of what a bare server does that says
// hello and makes one signature, with the durable record on; and the record costs at most 15 %. Client and server are in
// this process, over the Unix socket; 64 requests at a time, which share commits. One key is certified again and again:
// making it is the agent's work.
import { sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bindingDigest } from 'aims/attestation'
import { type ApiRequest, apiClient, isJsonObject, type Observer, spkiBytes, systemClock, WorkloadKey } from 'aims/base'
import { createX509Authority, issueCaCertificate } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AuditLog } from 'aims/monitoring'
import { createIssuer, DEFAULT_TTLS, type Issuer, parseEntry, signKeyProof } from 'aims/provisioning'
import { loadConfig, startServer } from 'aims-server'
import { testPlatform } from '../test/support/platform.ts'
import { type BenchCase, type Measured, report, roundRobin } from './harness.ts'

const AT_ONCE = 64
const trustDomain = parseTrustDomain('example.com')
const selectors = ['unix:uid:1000']
const posture = { type: 'unix', selectors }
const entry = { id: 'bot', spiffeId: 'spiffe://example.com/job/bot', selectors }
const key = WorkloadKey.generate()
const publicKey = key.publicKey.export({ format: 'jwk' })
const other = WorkloadKey.generate()
const directory = mkdtempSync(join(tmpdir(), 'aims-bench-'))

// As many requests under way as the endpoint gets.
async function together(times: number, work: () => Promise<unknown>): Promise<void> {
  let left = times
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await work()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}

const config = await loadConfig({
  env: {},
  overrides: { trustDomain, dataDirectory: join(directory, 'data'), 'listen.port': 0, 'limits.issuance': 0 },
})
const platform = testPlatform()
const server = await startServer(config, { verifiers: new Map([['gcp', platform.verifier('gcp', 'full')]]) })
const api = apiClient({ socketPath: server.socketPath })
await api.send({ method: 'POST', path: '/v1/entries', body: entry })
const proven = { id: 'proven', spiffeId: 'spiffe://example.com/job/proven', selectors: ['gcp:image:bot'] }
await api.send({ method: 'POST', path: '/v1/entries', body: proven })

const signed = Buffer.alloc(400, 1)
const hello = createServer((request, response) => {
  request.resume()
  sign('sha256', signed, key.tlsKey)
  response.setHeader('content-type', 'application/json').end('{"hello":"world"}')
})
const bareSocket = join(directory, 'hello.sock')
hello.listen(bareSocket)
await once(hello, 'listening')

const WIT: ApiRequest = { method: 'POST', path: '/v1/agent/wits', body: { entryId: 'bot', posture, publicKey } }
const X509: ApiRequest = { ...WIT, path: '/v1/agent/x509-svids' }
const JWT: ApiRequest = {
  method: 'POST',
  path: '/v1/agent/jwt-svids',
  body: { entryId: 'bot', posture, audiences: ['https://api.example.com'] },
}
// Connections of its own for each round: a server ends those that wait while the others are measured. A round is long, so
// that they do not count: an agent keeps its own.
const asking = (name: string, socketPath: string, request: ApiRequest): BenchCase => ({
  name,
  async run(times) {
    const client = apiClient({ socketPath })
    await together(times, () => client.send(request))
    client.close()
  },
})
// Without an agent: two requests, and two signatures of the client, over the challenge and in the name of its platform.
const byEvidence: BenchCase = {
  name: 'a WIT by evidence: a challenge and its answer, both of them whole',
  async run(times) {
    const jwk = other.publicKey.export({ format: 'jwk' })
    const client = apiClient({ socketPath: server.socketPath })
    await together(times, async () => {
      const asked = { types: ['gcp'], publicKey: jwk }
      const offer = await client.send({ method: 'POST', path: '/v1/attestation/challenges', body: asked })
      if (!isJsonObject(offer)) throw new TypeError('no challenge')
      const { id, nonce } = offer
      const challenge = { nonce: Buffer.from(String(nonce), 'base64url'), publicKey: spkiBytes(other.publicKey) }
      const data = bindingDigest('gcp', challenge, 'sha256').toString('base64')
      const evidence = Buffer.from(await platform.sign({ instance: 'i-1', image: 'bot', data })).toString('base64')
      const keyProof = await signKeyProof({ nonce: String(nonce), trustDomain, thumbprint: other.kid }, other)
      const shown = [{ type: 'gcp', evidence }]
      const body = { challengeId: id, publicKey: jwk, keyProof, evidence: shown, credentialTypes: ['wit'] }
      await client.send({ method: 'POST', path: '/v1/credentials', body })
    })
    client.close()
  },
}
const WIT_CASE = 'a WIT, record durable'
const endpoints = await roundRobin(
  [
    asking('hello, and a signature', bareSocket, WIT),
    asking(WIT_CASE, server.socketPath, WIT),
    asking('a JWT-SVID, record durable', server.socketPath, JWT),
    asking('an X.509-SVID, record durable', server.socketPath, X509),
    byEvidence,
  ],
  { rounds: 7, ms: 800 },
)
const least = 1 / 0.55
report(
  'An agent has a credential signed, processor time of both sides',
  endpoints,
  endpoints.slice(1, 4).map(({ name }) => ({ id: 'P8, endpoint', case: name, atMost: least })),
)

const log = AuditLog.open({
  path: join(directory, 'log.sqlite'),
  origin: 'example.com/bench',
  signer: WorkloadKey.generate('Ed25519'),
})
const record = await roundRobin([
  await issuing('signed', { record: async () => undefined }),
  await issuing('signed, and recorded', log),
])
const [off, on] = record.map(({ microseconds }) => microseconds)
const whole = endpoints.find(({ name }) => name === WIT_CASE)?.microseconds ?? Number.NaN
const without = whole - ((on ?? Number.NaN) - (off ?? Number.NaN))
const cost: readonly Measured[] = [
  { name: 'a WIT, without the record', ratio: 1, microseconds: without },
  { name: WIT_CASE, ratio: whole / without, microseconds: whole },
]
report('What the durable record adds to it', cost, [{ id: 'P8, record', case: WIT_CASE, atMost: 1.15 }])

api.close()
hello.close()
log.close()
await server.close()
rmSync(directory, { recursive: true })

// The issuer as the endpoint uses it, with one observer or another.
async function issuing(name: string, observer: Observer): Promise<BenchCase> {
  const issuer = await makeIssuer(observer)
  const request = { entryId: 'bot', posture, publicKey: key.publicKey, correlationId: '01934f0e-8c1e-7a2b-9d11' }
  return { name, run: (times) => together(times, () => issuer.issueWit(request)) }
}

async function makeIssuer(observer: Observer): Promise<Issuer> {
  const now = Math.floor(systemClock())
  const [ca, token] = [WorkloadKey.generate(), WorkloadKey.generate()]
  const certificate = await issueCaCertificate({
    trustDomain,
    signer: ca,
    notBefore: now - 60,
    notAfter: now + 604_800,
  })
  const x509 = createX509Authority({ trustDomain, signer: ca, certificate })
  const registered = parseEntry(entry, { trustDomain, ttls: DEFAULT_TTLS })
  return createIssuer({
    keys: { x509: () => x509, jwt: () => token, wit: () => token },
    findEntry: () => registered,
    clock: systemClock,
    observer,
    bindings: { bind: async () => true },
    confirmations: { register: async () => undefined },
    isProfileEnabled: () => true,
    issuer: 'https://example.com',
  })
}
