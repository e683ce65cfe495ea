import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SIGNATURE_SHAPES } from '../../packages/aims/src/authentication/http-signature/shapes.ts'
import {
  type SignedRequestExpectations,
  verifyRequestSignature,
} from '../../packages/aims/src/authentication/http-signature/verify-request.ts'
import { verifyResponse } from '../../packages/aims/src/authentication/http-signature/verify-response.ts'
import { component } from '../../packages/aims/src/authentication/message-signatures/components.ts'
import { checkContentDigest } from '../../packages/aims/src/authentication/message-signatures/content-digest.ts'
import { readSignatures } from '../../packages/aims/src/authentication/message-signatures/signature.ts'
import { verifySignature } from '../../packages/aims/src/authentication/message-signatures/verify.ts'
import { createMemoryReplayStore } from '../../packages/aims/src/authentication/replay/memory.ts'
import { parseHttpRequest } from '../../packages/aims/src/base/http.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { importVerificationKey } from '../../packages/aims/src/base/keys.ts'
import type { BundleSource } from '../../packages/aims/src/credentials/bundle/bundle.ts'
import { verifyWit } from '../../packages/aims/src/credentials/wit/verify.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

type Headers = readonly (readonly [string, string])[]

interface Signed {
  readonly headers: Headers
  readonly body: string
  readonly signature_input: string
  readonly signature: string
}

interface Vector extends Omit<Signed, 'headers'> {
  readonly issuer_verifying_key: JsonObject
  readonly verify_now: number
  readonly params: { readonly nonce: string; readonly wimse_aud: string }
  readonly request: {
    readonly method: string
    readonly path: string
    readonly query: string | null
    readonly headers: Headers
  }
  readonly wit: string
  readonly accept_audience?: string
  readonly max_age?: number
  readonly required_components?: readonly string[]
  readonly negative: readonly (Partial<Vector> & { readonly id: string; readonly expect: string })[]
  readonly response: Signed & {
    readonly status: number
    readonly expected_req_nonce: string
    readonly negative: readonly ResponseNegative[]
  }
}

interface ResponseNegative {
  readonly id: string
  readonly expect: string
  readonly request?: Vector['request']
  readonly expected_req_nonce?: string
}

const REASONS: { readonly [reason: string]: string } = {
  forbidden_parameter: 'signature.forbidden_parameter',
  missing_parameter: 'signature.missing_parameter',
  wrong_tag: 'signature.missing',
  audience_mismatch: 'signature.audience_mismatch',
  content_digest_mismatch: 'signature.digest_mismatch',
  invalid_signature: 'signature.invalid_signature',
  created_in_future: 'signature.not_yet_valid',
  too_old: 'signature.lifetime_too_long',
  missing_required_component: 'signature.not_covered',
  request_nonce_mismatch: 'signature.request_mismatch',
}

function trusting(jwk: JsonObject): BundleSource {
  const key = importVerificationKey(jwk)
  return {
    bundleFor: (trustDomain) => ({
      trustDomain,
      x509Authorities: [],
      jwtAuthorities: new Map(),
      witAuthorities: new Map([['issuer-key-1', key]]),
    }),
  }
}

const targetOf = ({ path, query }: Vector['request']): string => (query === null ? path : `${path}?${query}`)
const signed = ({ headers, signature_input: input, signature }: Omit<Signed, 'body'>): Headers => [
  ...headers,
  ['Signature-Input', input],
  ['Signature', signature],
]

suite('wimsey-httpsig06', 'wimse/wimsey-httpsig06', (dir) => {
  const given: Vector = JSON.parse(readFileSync(join(dir, 'sign-eddsa-draft06.json'), 'utf8'))
  const bundles = trusting(given.issuer_verifying_key)
  // The case is about the signature: the WIT is judged when it was valid.
  const wit = verifyWit(given.wit, { bundles, now: given.verify_now, profile: 'wimse' })

  const judgeRequest = (vector: Vector): unknown => {
    const { method, headers } = vector.request
    const message = { method, target: targetOf(vector.request), headers: signed({ ...vector, headers }) }
    const { max_age: maxLifetime, required_components: required } = vector
    if (required !== undefined) {
      const [signature] = readSignatures(message.headers)
      if (signature === undefined) throw new Error('no signature')
      const components = required.map((text) => component(text.slice(1, -1)))
      return verifySignature(message, signature, {
        key: wit.confirmation,
        required: components,
        now: vector.verify_now,
      })
    }
    const expected: SignedRequestExpectations = {
      wit,
      audiences: [vector.accept_audience ?? vector.params.wimse_aud],
      now: vector.verify_now,
      clockSkew: 0,
      body: Buffer.from(vector.body),
      replays: createMemoryReplayStore({ capacity: 1 }),
      ...(maxLifetime === undefined ? {} : { maxLifetime }),
    }
    return verifyRequestSignature(message, expected)
  }

  const judgeResponse = (change: Partial<ResponseNegative>): unknown => {
    const { status, body, expected_req_nonce: nonce } = { ...given.response, ...change }
    const request = change.request ?? given.request
    return verifyResponse(
      { status, headers: signed(given.response), body: Buffer.from(body) },
      {
        request: { method: request.method, target: targetOf(request), nonce, profile: 'wimse-http-signature-06' },
        bundles,
        peer: (id) => id === wit.subject,
        required: true,
        now: given.verify_now,
      },
    )
  }

  return [
    { id: 'request', expected: 'accept', run: () => outcomeOf(() => judgeRequest(given)) },
    ...given.negative.map(({ id, expect, ...change }): Case => {
      const code = REASONS[expect] ?? `no code for ${expect}`
      return { id, expected: 'reject', code, run: () => outcomeOf(() => judgeRequest({ ...given, ...change })) }
    }),
    { id: 'response', expected: 'accept', run: () => outcomeOf(() => judgeResponse({})) },
    ...given.response.negative.map(({ id, expect, ...change }): Case => {
      const code = REASONS[expect] ?? `no code for ${expect}`
      return { id: `response ${id}`, expected: 'reject', code, run: () => outcomeOf(() => judgeResponse(change)) }
    }),
  ]
})

interface Draft {
  readonly includes: { readonly [file: string]: string }
}

// The issuer of the WITs in these examples was never published, so the signatures are judged under the printed keys.
suite('ietf-drafts-http-signature', 'wimse/ietf-drafts', (dir) =>
  readdirSync(dir)
    .filter((file) => file.includes('http-signature') || file.startsWith('main'))
    .flatMap((file): Case[] => {
      const name = file.replace('.json', '')
      const { includes }: Draft = JSON.parse(readFileSync(join(dir, file), 'utf8'))
      const request = includes['includes/sigs-request.txt']
      const response = includes['includes/sigs-response.txt']
      const [clientJwk, serverJwk] = ['a', 'b'].map((one) => includes[`includes/sigs-svc${one}-jwk.txt`])
      if (request === undefined || response === undefined || clientJwk === undefined || serverJwk === undefined)
        return []
      const [clientKey, serverKey] = [clientJwk, serverJwk].map((text) => {
        const { d: _, ...jwk }: JsonObject = JSON.parse(text)
        return importVerificationKey(jwk)
      })
      if (clientKey === undefined || serverKey === undefined) return []
      const sent = parseHttpRequest(Buffer.from(request), { isFile: true })
      const answer = readResponse(response)
      const shape = SIGNATURE_SHAPES['wimse-http-signature-06']
      const verify = (
        message: Parameters<typeof verifySignature>[0],
        required: typeof shape.request,
        key = clientKey,
      ) => {
        const [signature] = readSignatures(message.headers)
        if (signature === undefined) throw new Error('no signature')
        const now = Number(signature.parameters.get('created')?.value)
        return verifySignature(message, signature, { key, required, now })
      }
      return [
        { id: `${name} request`, expected: 'accept', run: () => outcomeOf(() => verify(sent, shape.request)) },
        {
          id: `${name} request to another target`,
          expected: 'reject',
          code: 'signature.invalid_signature',
          run: () => outcomeOf(() => verify({ ...sent, target: '/' }, shape.request)),
        },
        {
          id: `${name} response`,
          expected: 'accept',
          run: () => outcomeOf(() => verify({ ...answer, request: sent }, shape.response, serverKey)),
        },
        {
          id: `${name} response under the key of the requester`,
          expected: 'reject',
          code: 'signature.invalid_signature',
          run: () => outcomeOf(() => verify({ ...answer, request: sent }, shape.response, clientKey)),
        },
        {
          id: `${name} body of the response`,
          expected: 'accept',
          run: () => {
            const digest = answer.headers.find(([field]) => field.toLowerCase() === 'content-digest')?.[1] ?? ''
            return outcomeOf(() => checkContentDigest(digest, answer.body))
          },
        },
      ]
    }),
)

function readResponse(text: string): { readonly status: number; readonly headers: Headers; readonly body: Uint8Array } {
  const end = text.indexOf('\n\n')
  const [status = '', ...lines] = text.slice(0, end).split('\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  return { status: Number(status.split(' ')[1]), headers, body: Buffer.from(text.slice(end + 2)) }
}
