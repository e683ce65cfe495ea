import assert from 'node:assert/strict'
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js'
import { DerReader, TAG } from '../../packages/aims/src/base/der.ts'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import { issueCaCertificate } from '../../packages/aims/src/credentials/x509-svid/issue-ca.ts'
import type { X509Svid } from '../../packages/aims/src/credentials/x509-svid/source.ts'
import type { SpireBundle, SpireJwtKey } from '../../packages/aims/src/provisioning/spire/messages.ts'
import { SPIRE_SERVER_API } from '../../packages/aims/src/provisioning/spire/service.ts'
import { FakeWorkloadApi } from './fake-workload-api.ts'
import type { TestCa } from './x509-identities.ts'

type Method = keyof typeof SPIRE_SERVER_API
/** A message as it lies on the wire, or a status. */
type Answer = Buffer | number
/** @param ttl - Seconds, as asked. @returns DER: the new CA, then those above it without the root */
export type Certify = (key: KeyObject, ttl: number) => Promise<readonly Uint8Array[]>

/** One call, and who made it. */
export interface SpireCall {
  readonly method: Method
  readonly request: Buffer
  /** DER of the certificate that the caller showed. */
  readonly caller: Buffer | undefined
}

/** A SPIRE server by grpc-js over TLS with both certificates, which answers what a test tells it to. */
export class FakeSpire {
  readonly calls: SpireCall[] = []
  /** Authorities, DER, of which its bundle says so. */
  readonly tainted: Set<Uint8Array> = new Set()
  readonly #answers = new Map<Method, (request: Buffer) => Answer | Promise<Answer>>()
  readonly #server = new Server()
  #port = 0

  /** @param svid - What it shows. @param authorities - DER: whose callers it takes. */
  static async start(svid: X509Svid, authorities: readonly Uint8Array[], port = 0): Promise<FakeSpire> {
    const fake = new FakeSpire()
    for (const method of Object.keys(SPIRE_SERVER_API) as Method[]) fake.#serve(method)
    const pem = (ders: readonly Uint8Array[]): Buffer =>
      Buffer.from(ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
    const key = Buffer.from(svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }))
    const pair = { private_key: key, cert_chain: pem(svid.certificates) }
    fake.#port = await new Promise<number>((resolve, reject) => {
      const credentials = ServerCredentials.createSsl(pem(authorities), [pair], true)
      fake.#server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      )
    })
    return fake
  }

  get port(): number {
    return this.#port
  }

  /** `https://HOST:PORT`. */
  get address(): string {
    return `https://127.0.0.1:${this.#port}`
  }

  /** Answers `method` so from now on. */
  answer(method: Method, answer: Answer | ((request: Buffer) => Answer | Promise<Answer>)): void {
    this.#answers.set(method, typeof answer === 'function' ? answer : () => answer)
  }

  /**
   * Answers as SPIRE does: certifies whoever has the key, and keeps the keys that are published.
   *
   * @param certify - Default: a CA under that of the trust domain.
   * @returns the keys, by id
   */
  serve(
    ca: TestCa,
    keys: Map<string, SpireJwtKey> = new Map(),
    certify: Certify = (key, ttl) => certifyBelow(ca, key, ttl),
  ): Map<string, SpireJwtKey> {
    const { getBundle, newDownstreamX509Ca, publishJwtAuthority } = SPIRE_SERVER_API
    const { trustDomain, x509Authorities } = ca.bundle
    this.answer('getBundle', () =>
      getBundle.response.encode({
        trustDomain,
        x509Authorities: x509Authorities.map((asn1) => ({ asn1, tainted: this.tainted.has(asn1) })),
        jwtAuthorities: [...keys.values()],
      }),
    )
    this.answer('newDownstreamX509Ca', async (request) => {
      const { csr, preferredTtl } = newDownstreamX509Ca.request.decode(request)
      const key = provenKey(csr)
      if (key === undefined) return status.INVALID_ARGUMENT
      const caCertChain = await certify(key, preferredTtl)
      return newDownstreamX509Ca.response.encode({ caCertChain, x509Authorities })
    })
    this.answer('publishJwtAuthority', (request) => {
      const key = publishJwtAuthority.request.decode(request)
      keys.set(key.keyId, key)
      return publishJwtAuthority.response.encode([...keys.values()])
    })
    return keys
  }

  /** Gives this bundle, whatever is published. */
  answerBundle(bundle: SpireBundle): void {
    this.answer('getBundle', SPIRE_SERVER_API.getBundle.response.encode(bundle))
  }

  /** Breaks all connections and stops. */
  stop(): void {
    this.#server.forceShutdown()
  }

  #serve(method: Method): void {
    const asItIs = (bytes: Buffer): Buffer => bytes
    const definition = {
      path: SPIRE_SERVER_API[method].path,
      requestStream: false,
      responseStream: false,
      requestDeserialize: asItIs,
      requestSerialize: asItIs,
      responseDeserialize: asItIs,
      responseSerialize: asItIs,
    }
    this.#server.addService(
      { [method]: definition },
      {
        [method]: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
          const caller = call.getAuthContext()?.sslPeerCertificate?.raw
          this.calls.push({ method, request: call.request, caller })
          void this.#reply(method, call.request).then((answer) =>
            typeof answer === 'number' ? done({ code: answer, details: 'as told' }) : done(null, answer),
          )
        },
      },
    )
  }

  async #reply(method: Method, request: Buffer): Promise<Answer> {
    return (await this.#answers.get(method)?.(request)) ?? status.UNIMPLEMENTED
  }
}

const now = (): number => Math.floor(Date.now() / 1000)
// A test may stop its clock when it begins: what is certified minutes later is good then as well.
const BEGUN = now()

async function certifyBelow({ authority }: TestCa, subjectKey: KeyObject, ttl: number): Promise<readonly Uint8Array[]> {
  const { trustDomain } = authority
  const times = { notBefore: BEGUN - 10, notAfter: now() + ttl }
  return [await issueCaCertificate({ trustDomain, issuer: authority, subjectKey, ...times })]
}

// The key of a request, when its signature is by that key: ECDSA with SHA-256.
function provenKey(csr: Uint8Array): KeyObject | undefined {
  const outer = DerReader.of(csr).enter(TAG.sequence)
  const info = outer.element(TAG.sequence)
  outer.element(TAG.sequence)
  const signature = outer.octets()
  const fields = DerReader.of(info).enter(TAG.sequence)
  assert.equal(fields.smallInteger(), 0)
  fields.element(TAG.sequence)
  const spki = fields.element(TAG.sequence)
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return verify('sha256', info, key, signature) ? key : undefined
}

/** The Workload API of a SPIRE agent, which knows one workload, or nobody, and has no WITs. @param address - `unix:///PATH` */
export async function fakeSpireAgent(
  address: string,
  svid: X509Svid | undefined,
  authorities: readonly Uint8Array[],
): Promise<FakeWorkloadApi> {
  const api = await FakeWorkloadApi.start(address)
  const id = 'spiffe://example.com'
  const bundle = Buffer.concat(authorities)
  api.answer('fetchX509Bundles', { crl: [], bundles: new Map([[id, bundle]]) })
  api.answer('fetchJwtBundles', { bundles: new Map([[id, Buffer.from('{"keys":[]}')]]) })
  api.answer('fetchWitSvid', status.UNIMPLEMENTED)
  api.answer('fetchWitBundles', status.UNIMPLEMENTED)
  if (svid === undefined) return api
  const x509Svid = Buffer.concat(svid.certificates)
  const x509SvidKey = svid.key.tlsKey.export({ type: 'pkcs8', format: 'der' })
  const message = { spiffeId: svid.spiffeId, hint: '', bundle, x509Svid, x509SvidKey }
  api.answer('fetchX509Svid', { svids: [message], crl: [], federatedBundles: new Map() })
  return api
}
