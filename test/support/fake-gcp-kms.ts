// Cloud KMS on loopback, over REST, for those who come with a token that a service account has signed for itself.
import { generateKeyPairSync, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { JsonObject, JsonValue } from '../../packages/aims/src/base/json.ts'
import { type FakeKey, type FakeKms, makeKey, shownKey, signDigest } from './fake-kms.ts'
import { tlsHost } from './tls-host.ts'

const KEY_RING = 'projects/test/locations/europe-west1/keyRings/aims'
const EMAIL = 'aims@test.iam.gserviceaccount.com'
// Enumerations come as numbers.
const ASYMMETRIC_SIGN = 5
const ALGORITHMS = { 12: 'ES256', 13: 'ES384' } as const
const STATUS = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
} as const

class GcpError extends Error {
  readonly status: keyof typeof STATUS

  constructor(status: keyof typeof STATUS) {
    super(status)
    this.status = status
  }
}

interface CryptoKey {
  readonly name: string
  labels: { readonly [name: string]: string }
}

/** Writes the key file of the service account to `credentialsFile`, for `GOOGLE_APPLICATION_CREDENTIALS`. */
export async function startFakeGcpKms(credentialsFile: string): Promise<FakeKms> {
  const account = generateKeyPairSync('rsa', { modulusLength: 2048 })
  writeFileSync(
    credentialsFile,
    JSON.stringify({
      type: 'service_account',
      project_id: 'test',
      private_key_id: 'key-1',
      private_key: account.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: EMAIL,
    }),
    { mode: 0o600 },
  )
  const keys = new Map<string, FakeKey>()
  const cryptoKeys = new Map<string, CryptoKey>()
  const operations: string[] = []
  let pending = 0

  const identify = ({ headers }: IncomingMessage): void => {
    const [header = '', payload = '', signature = ''] = (headers.authorization ?? '').replace('Bearer ', '').split('.')
    const read = (part: string): { [name: string]: unknown } =>
      JSON.parse(Buffer.from(part, 'base64url').toString() || '{}')
    const { iss, sub, aud, scope, exp, iat } = read(payload)
    const now = Date.now() / 1000
    const isFor = aud === 'https://cloudkms.googleapis.com/' || String(scope).includes('cloud-platform')
    const isRight =
      read(header).alg === 'RS256' &&
      verify('sha256', Buffer.from(`${header}.${payload}`), account.publicKey, Buffer.from(signature, 'base64url')) &&
      iss === EMAIL &&
      sub === EMAIL &&
      isFor &&
      Number(exp) > now &&
      Number(iat) <= now + 60
    if (!isRight) throw new GcpError('UNAUTHENTICATED')
  }
  const find = (name: string): FakeKey => {
    const key = keys.get(name)
    if (key === undefined) throw new GcpError('NOT_FOUND')
    return key
  }
  const usable = (name: string): FakeKey => {
    const key = find(name)
    if (key.state !== 'enabled') throw new GcpError('FAILED_PRECONDITION')
    return key
  }
  const named = (name: string): string =>
    self.fault === 'answers about another key' ? `${KEY_RING}/cryptoKeys/other/cryptoKeyVersions/1` : name

  // By method and the end of the path; the name is what stands before.
  const OPERATIONS: readonly (readonly [RegExp, string, (name: string, body: JsonObject, url: URL) => JsonObject])[] = [
    [
      /^POST \/v1\/(.+)\/cryptoKeys$/,
      'CreateCryptoKey',
      (parent, body, url) => {
        const template = member(body, 'versionTemplate')
        const { algorithm } = template
        if (parent !== KEY_RING || body.purpose !== ASYMMETRIC_SIGN) throw new GcpError('INVALID_ARGUMENT')
        if (algorithm !== 12 && algorithm !== 13) throw new GcpError('INVALID_ARGUMENT')
        const id = url.searchParams.get('cryptoKeyId') ?? ''
        if (!/^[a-zA-Z0-9_-]{1,63}$/.test(id)) throw new GcpError('INVALID_ARGUMENT')
        const labels = textMembers(member(body, 'labels'))
        if (!Object.values(labels).every((label) => /^[a-z0-9_-]{0,63}$/.test(label)))
          throw new GcpError('INVALID_ARGUMENT')
        const name = `${KEY_RING}/cryptoKeys/${id}`
        cryptoKeys.set(name, { name, labels })
        keys.set(`${name}/cryptoKeyVersions/1`, makeKey(ALGORITHMS[algorithm], labels))
        // The first look finds it not ready.
        pending = 1
        return { name, purpose: 'ASYMMETRIC_SIGN', labels }
      },
    ],
    [
      /^GET \/v1\/(.+)\/cryptoKeys$/,
      'ListCryptoKeys',
      (_, __, url) => {
        const label = /^labels\.([a-z-]+)=([0-9a-f]+)$/.exec(url.searchParams.get('filter') ?? '')
        const found = [...cryptoKeys.values()].filter(({ labels }) => labels[label?.[1] ?? ''] === label?.[2])
        return { cryptoKeys: found.map(({ name, labels }) => ({ name, labels })), totalSize: found.length }
      },
    ],
    [
      /^PATCH \/v1\/(.+\/cryptoKeys\/[^/]+)$/,
      'UpdateCryptoKey',
      (name, body) => {
        const found = cryptoKeys.get(name)
        if (found === undefined) throw new GcpError('NOT_FOUND')
        found.labels = textMembers(member(body, 'labels'))
        return { name }
      },
    ],
    [
      /^GET \/v1\/(.+)\/publicKey$/,
      'GetPublicKey',
      (name) => {
        const key = usable(name)
        if (pending > 0) {
          pending -= 1
          throw new GcpError('FAILED_PRECONDITION')
        }
        const pem = shownKey(key, self.fault).export({ type: 'spki', format: 'pem' })
        return { name: named(name), pem: pem.toString() }
      },
    ],
    [
      /^POST \/v1\/(.+):asymmetricSign$/,
      'AsymmetricSign',
      (name, body) => {
        const key = usable(name)
        const digest = member(body, 'digest')[key.alg === 'ES256' ? 'sha256' : 'sha384']
        if (typeof digest !== 'string') throw new GcpError('INVALID_ARGUMENT')
        const signature = signDigest(key, Buffer.from(digest, 'base64'), self.fault, 'der')
        return { name: named(name), signature: signature.toString('base64') }
      },
    ],
    [
      /^POST \/v1\/(.+):destroy$/,
      'DestroyCryptoKeyVersion',
      (name) => {
        const key = find(name)
        if (key.state === 'destroyed') throw new GcpError('FAILED_PRECONDITION')
        key.state = 'destroyed'
        return { name, state: 'DESTROY_SCHEDULED' }
      },
    ],
    [
      /^GET \/v1\/(.+\/cryptoKeyVersions\/1)$/,
      'GetCryptoKeyVersion',
      (name) => ({ name, state: find(name).state === 'destroyed' ? 'DESTROY_SCHEDULED' : 'ENABLED' }),
    ],
  ]

  const host = await tlsHost(['localhost'], async (request, response) => {
    let text = ''
    for await (const part of request) text += String(part)
    const answer = (status: number, document: JsonObject): void => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(document))
    }
    try {
      identify(request)
      const url = new URL(request.url ?? '', `https://${request.headers.host}`)
      const line = `${request.method} ${decodeURIComponent(url.pathname)}`
      const [pattern, operation, run] = OPERATIONS.find(([one]) => one.test(line)) ?? []
      if (pattern === undefined || operation === undefined || run === undefined) throw new GcpError('NOT_FOUND')
      operations.push(operation)
      const { fault } = self
      if (fault === 'throttled once') self.fault = 'none'
      if (fault.startsWith('throttled')) throw new GcpError('RESOURCE_EXHAUSTED')
      if (fault === 'denied') throw new GcpError('PERMISSION_DENIED')
      if (fault === 'broken') throw new GcpError('INTERNAL')
      answer(200, run(pattern.exec(line)?.[1] ?? '', text === '' ? {} : JSON.parse(text), url))
    } catch (error) {
      if (!(error instanceof GcpError)) throw error
      const code = STATUS[error.status]
      answer(code, { error: { code, message: 'of the fake', status: error.status } })
    }
  })
  const self: FakeKms = {
    host,
    keys,
    operations,
    fault: 'none',
    setting: { 'gcp-kms': { keyRing: KEY_RING, endpoint: `https://localhost:${host.port}` } },
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
  return self
}

function member(body: JsonObject, name: string): JsonObject {
  const value: JsonValue | undefined = body[name]
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {}
}

function textMembers(body: JsonObject): { readonly [name: string]: string } {
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, String(value)]))
}
