import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { component } from '../../packages/aims/src/authentication/message-signatures/components.ts'
import { checkContentDigest } from '../../packages/aims/src/authentication/message-signatures/content-digest.ts'
import type { RequestMessage } from '../../packages/aims/src/authentication/message-signatures/message.ts'
import {
  readSignatures,
  signatureBase,
  type UnverifiedSignature,
} from '../../packages/aims/src/authentication/message-signatures/signature.ts'
import { verifySignature } from '../../packages/aims/src/authentication/message-signatures/verify.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { importVerificationKey, type VerificationKey } from '../../packages/aims/src/base/keys.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Rfc9421 {
  readonly key: JsonObject
  readonly request: {
    readonly method: string
    readonly target: string
    readonly headers: readonly (readonly [string, string])[]
    readonly body: string
  }
  readonly signature_input: string
  readonly signature: string
  readonly signature_base: string
  readonly content_digest_sha256: string
  readonly content_digest_sha512: string
}

const CREATED = 1_618_884_473

function only(message: RequestMessage): UnverifiedSignature {
  const [signature, ...others] = readSignatures(message.headers)
  if (signature === undefined || others.length > 0) throw new Error('not one signature')
  return signature
}

suite('rfc9421', 'wimse/rfc9421', (dir) => {
  const vector: Rfc9421 = JSON.parse(readFileSync(join(dir, 'b2.6-ed25519.json'), 'utf8'))
  const { request } = vector
  const body = Buffer.from(request.body)
  const key = importVerificationKey(vector.key)
  const message = (change: Partial<RequestMessage> = {}): RequestMessage => ({
    ...request,
    headers: [...request.headers, ['Signature-Input', vector.signature_input], ['Signature', vector.signature]],
    ...change,
  })
  const verify = (given: RequestMessage): unknown =>
    verifySignature(given, only(given), { key, required: [component('date'), component('@method')], now: CREATED })
  const accept = (id: string, check: () => unknown): Case => ({ id, expected: 'accept', run: () => outcomeOf(check) })
  const reject = (id: string, code: string, check: () => unknown): Case => ({
    id,
    expected: 'reject',
    code,
    run: () => outcomeOf(check),
  })
  return [
    accept('B.2.6 verifies', () => verify(message())),
    accept('B.2.6 has this base', () => {
      const { components, input } = only(message())
      const base = signatureBase(components, input, message())
      if (base !== vector.signature_base) throw new Error(`another base: ${base}`)
    }),
    reject('B.2.6 with another method', 'signature.invalid_signature', () => verify(message({ method: 'PUT' }))),
    reject('B.2.6 at another path', 'signature.invalid_signature', () => verify(message({ target: '/bar' }))),
    accept('the digest of B.2 with SHA-256', () => checkContentDigest(vector.content_digest_sha256, body)),
    accept('the digest of B.2 with SHA-512', () => checkContentDigest(vector.content_digest_sha512, body)),
    reject('the digest of another body', 'signature.digest_mismatch', () =>
      checkContentDigest(vector.content_digest_sha512, Buffer.from('other')),
    ),
  ]
})

interface WebBotAuth {
  readonly key: JsonObject
  readonly target_url: string
  readonly created_ms: number
  readonly expires_ms: number
  readonly signature: string
  readonly signature_input: string
  readonly signature_agent?: string
}

// Signed by others, with Ed25519 and with rsa-pss-sha512.
suite('web-bot-auth', 'suites/http-message-signatures/web-bot-auth', (dir) =>
  ['web_bot_auth_architecture_v1.json', 'web_bot_auth_architecture_v2.json'].flatMap((file) => {
    const vectors: readonly WebBotAuth[] = JSON.parse(readFileSync(join(dir, file), 'utf8'))
    return vectors.flatMap((vector, at): Case[] => {
      const url = new URL(vector.target_url)
      const key = publicKey(vector.key)
      const agent = vector.signature_agent
      const message = (authority: string): RequestMessage => ({
        method: 'GET',
        target: `${url.pathname}${url.search}`,
        scheme: 'https',
        authority,
        headers: [
          ['Signature-Input', vector.signature_input],
          ['Signature', vector.signature],
          ...(agent === undefined ? [] : [['Signature-Agent', agent] as const]),
        ],
      })
      const run = (given: RequestMessage, now: number) => () =>
        outcomeOf(() => verifySignature(given, only(given), { key, required: [component('@authority')], now }))
      const { created_ms: created, expires_ms: expires } = vector
      return [
        { id: `${file} ${at}`, expected: 'accept', run: run(message(url.host), created / 1000) },
        {
          id: `${file} ${at} at another authority`,
          expected: 'reject',
          code: 'signature.invalid_signature',
          run: run(message('other.example'), created / 1000),
        },
        {
          id: `${file} ${at} when it has expired`,
          expected: 'reject',
          code: 'signature.expired',
          run: run(message(url.host), expires / 1000),
        },
      ]
    })
  }),
)

function publicKey(jwk: JsonObject): VerificationKey {
  const { kty, crv, x, n, e, alg } = jwk
  return importVerificationKey(
    kty === 'RSA' ? { kty, n: n ?? '', e: e ?? '', alg: alg ?? 'PS512' } : { kty, crv: crv ?? '', x: x ?? '' },
  )
}
