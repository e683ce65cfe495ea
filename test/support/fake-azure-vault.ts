// Key Vault and the place where its tokens come from, on loopback. Who comes without a token is sent for one; tokens are given for a
// client's secret and have a real signature.
import { generateKeyPairSync, randomUUID, sign, verify } from 'node:crypto'
import dns from 'node:dns'
import type { IncomingMessage } from 'node:http'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type FakeKey, type FakeKms, makeKey, shownKey, signDigest } from './fake-kms.ts'
import { tlsHost } from './tls-host.ts'

export const AZURE_CLIENT = {
  AZURE_TENANT_ID: '72f988bf-86f1-41af-91ab-2d7cd011db47',
  AZURE_CLIENT_ID: '0b7d1c0e-3b1c-4b8e-9a53-5cbbd9b1a0c1',
  AZURE_CLIENT_SECRET: 'secret of the test',
}
const RESOURCE = 'https://vault.azure.net'
const VAULT = 'aims-test.vault.azure.net'
const LOGIN = 'login.aims-test.vault.azure.net'

class AzureError extends Error {
  readonly status: number
  readonly inner: string

  constructor(status: number, inner = '') {
    super(String(status))
    this.status = status
    this.inner = inner
  }
}

/** Leads these names to this machine, for every program of this process. @returns a function that ends it */
function resolveHere(...names: readonly string[]): () => void {
  const { lookup } = dns
  const here: typeof lookup = Object.assign(
    ((name: string, ...rest: [never, never]) =>
      lookup(names.includes(name) ? '127.0.0.1' : name, ...rest)) as typeof lookup,
    { __promisify__: lookup.__promisify__ },
  )
  dns.lookup = here
  return () => {
    dns.lookup = lookup
  }
}

export async function startFakeAzureVault(): Promise<FakeKms> {
  const issuer = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keys = new Map<string, FakeKey>()
  const operations: string[] = []
  const unresolve = resolveHere(VAULT, LOGIN)
  const origin = (): string => `https://${VAULT}:${host.port}`
  const login = (): string => `https://${LOGIN}:${host.port}/${AZURE_CLIENT.AZURE_TENANT_ID}`

  const identify = ({ headers }: IncomingMessage): void => {
    const [header = '', payload = '', signature = ''] = (headers.authorization ?? '').replace('Bearer ', '').split('.')
    const isSigned = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      issuer.publicKey,
      Buffer.from(signature, 'base64url'),
    )
    const { aud, exp } = JSON.parse(Buffer.from(payload, 'base64url').toString() || '{}')
    if (!isSigned || aud !== RESOURCE || exp <= Date.now() / 1000) throw new AzureError(401)
  }
  // What the place of tokens says: where things are, and a token for the client's secret.
  const issue = (path: string, form: URLSearchParams): JsonObject => {
    if (path.endsWith('/.well-known/openid-configuration')) {
      const base = login()
      return {
        issuer: `${base}/v2.0`,
        token_endpoint: `${base}/oauth2/v2.0/token`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
      }
    }
    const isKnown =
      form.get('client_id') === AZURE_CLIENT.AZURE_CLIENT_ID &&
      form.get('client_secret') === AZURE_CLIENT.AZURE_CLIENT_SECRET &&
      form.get('grant_type') === 'client_credentials' &&
      form.get('scope')?.includes(`${RESOURCE}/.default`) === true
    if (!isKnown) throw new AzureError(401)
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const signed = `${part({ alg: 'RS256' })}.${part({ aud: RESOURCE, exp: Math.floor(Date.now() / 1000) + 3600 })}`
    const signature = sign('sha256', Buffer.from(signed), issuer.privateKey).toString('base64url')
    return { token_type: 'Bearer', expires_in: 3600, access_token: `${signed}.${signature}` }
  }

  const find = (name: string, version: string): { reference: string; key: FakeKey } => {
    const reference = [...keys.keys()].find((one) => one.startsWith(`${origin()}/keys/${name}/${version}`)) ?? ''
    const key = keys.get(reference)
    if (key === undefined || key.state === 'destroyed') throw new AzureError(404)
    return { reference, key }
  }
  const bundle = (reference: string, key: FakeKey): JsonObject => {
    const shown = shownKey(key, self.fault).export({ format: 'jwk' })
    const kid = self.fault === 'answers about another key' ? `${origin()}/keys/other/${'0'.repeat(32)}` : reference
    return {
      key: { ...textsOf(shown), kid, key_ops: ['sign', 'verify'] },
      attributes: { enabled: key.state === 'enabled' },
      tags: key.labels,
    }
  }
  const item = ([reference, { labels, state }]: [string, FakeKey]) => ({
    kid: reference,
    attributes: { enabled: state === 'enabled' },
    tags: labels,
  })
  const alive = (): [string, FakeKey][] => [...keys].filter(([, { state }]) => state !== 'destroyed')

  type Run = (body: JsonObject, name: string, version: string) => JsonObject
  const OPERATIONS: readonly (readonly [RegExp, string, Run])[] = [
    [
      /^POST \/keys\/([^/]+)\/create$/,
      'create',
      ({ kty, crv, tags }, name) => {
        if (kty !== 'EC' || (crv !== 'P-256' && crv !== 'P-384')) throw new AzureError(400)
        const reference = `${origin()}/keys/${name}/${randomUUID().replaceAll('-', '')}`
        const key = makeKey(
          crv === 'P-256' ? 'ES256' : 'ES384',
          textsOf(typeof tags === 'object' && tags !== null ? tags : {}),
        )
        keys.set(reference, key)
        return bundle(reference, key)
      },
    ],
    [
      /^POST \/keys\/([^/]+)\/([^/]+)\/sign$/,
      'sign',
      ({ alg, value }, name, version) => {
        const { reference, key } = find(name, version)
        if (key.state === 'disabled') throw new AzureError(403, 'KeyDisabled')
        if (alg !== key.alg) throw new AzureError(400)
        // The SDK does not show whose signature it says it is.
        const fault = self.fault === 'answers about another key' ? 'signs with another key' : self.fault
        const signature = signDigest(key, Buffer.from(String(value), 'base64url'), fault, 'r and s')
        const kid = self.fault === 'answers about another key' ? `${origin()}/keys/other/${'0'.repeat(32)}` : reference
        return { kid, value: signature.toString('base64url') }
      },
    ],
    [/^GET \/keys$/, 'list', () => ({ value: alive().map(item), nextLink: null })],
    [
      /^GET \/keys\/([^/]+)\/versions$/,
      'versions',
      (_, name) => ({
        value: alive()
          .filter(([one]) => one.includes(`/keys/${name}/`))
          .map(item),
        nextLink: null,
      }),
    ],
    [
      /^GET \/keys\/([^/]+)\/([^/]*)$/,
      'get',
      (_, name, version) => {
        const { reference, key } = find(name, version)
        return bundle(reference, key)
      },
    ],
    [
      /^DELETE \/keys\/([^/]+)$/,
      'delete',
      (_, name) => {
        const { reference, key } = find(name, '')
        key.state = 'destroyed'
        return { ...bundle(reference, key), recoveryId: `${origin()}/deletedkeys/${name}` }
      },
    ],
    [
      /^GET \/deletedkeys\/([^/]+)$/,
      'deleted',
      () => {
        throw new AzureError(404)
      },
    ],
  ]

  const host = await tlsHost([VAULT, LOGIN], async (request, response) => {
    let text = ''
    for await (const part of request) text += String(part)
    const answer = (status: number, document: JsonObject, headers: { readonly [name: string]: string } = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(document))
    }
    const url = new URL(request.url ?? '', origin())
    try {
      if (request.headers.host?.startsWith(LOGIN) === true) {
        return answer(200, issue(url.pathname, new URLSearchParams(text)))
      }
      identify(request)
      const line = `${request.method} ${url.pathname}`
      const [pattern, operation, run] = OPERATIONS.find(([one]) => one.test(line)) ?? []
      if (pattern === undefined || operation === undefined || run === undefined) throw new AzureError(404)
      operations.push(operation)
      const { fault } = self
      if (fault === 'throttled once') self.fault = 'none'
      if (fault.startsWith('throttled')) throw new AzureError(429)
      if (fault === 'denied') throw new AzureError(403, 'ForbiddenByPolicy')
      if (fault === 'broken') throw new AzureError(500)
      const [, name = '', version = ''] = pattern.exec(line) ?? []
      answer(200, run(text === '' ? {} : JSON.parse(text), name, version))
    } catch (error) {
      if (!(error instanceof AzureError)) throw error
      const { status, inner } = error
      if (request.headers.host?.startsWith(LOGIN) === true)
        return answer(status, { error: 'invalid_client', error_description: 'no' })
      const challenge = `Bearer authorization="${login()}", resource="${RESOURCE}"`
      answer(
        status,
        { error: { code: 'Error', message: 'of the fake', innererror: { code: inner } } },
        status === 401 ? { 'www-authenticate': challenge } : {},
      )
    }
  })
  const self: FakeKms = {
    host,
    keys,
    operations,
    fault: 'none',
    setting: { 'azure-key-vault': { vault: origin(), authority: `https://${LOGIN}:${host.port}` } },
    async [Symbol.asyncDispose]() {
      unresolve()
      await host[Symbol.asyncDispose]()
    },
  }
  return self
}

function textsOf(value: object): { readonly [name: string]: string } {
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, String(one)]))
}
