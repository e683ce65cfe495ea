import type { RawHeaders } from '../carriage.ts'
import { type Component, component } from '../message-signatures/components.ts'
import { contentDigest } from '../message-signatures/content-digest.ts'
import { signMessageLocally } from '../message-signatures/sign.ts'
import { toParameters } from '../message-signatures/signature.ts'
import { randomId } from '../random-id.ts'
import type { ProvingWit } from '../wpt/create.ts'
import { COVERED_FIELDS, SIGNATURE_SHAPES, SIGNATURE_TAG, type SignatureProfile } from './shapes.ts'

/** The request to sign. */
export interface SignableRequest {
  /** As on the wire, e.g. `POST`. */
  readonly method: string
  /** Path and query as on the wire, e.g. `/api/v1/events?day=1`. */
  readonly target: string
  /** The service: the URI it knows itself by. The draft recommends the target URI without query. */
  readonly audience: string
  /** The fields that are sent, of which `content-type`, `authorization`, `txn-token` and `contextTokens` are covered. */
  readonly headers: RawHeaders
  /** Absent or empty: no `Content-Digest` is sent. */
  readonly body?: Uint8Array | undefined
  /** Demand a signed response. Default false. */
  readonly signResponse?: boolean
}

/** When a message is signed, and how long the signature is good for. */
export interface MessageSigningOptions {
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds. Default 60, at most 300. */
  readonly lifetime?: number
  /** Default: 128 random bits. */
  readonly nonce?: string
  /** Default `wimse`. */
  readonly profile?: SignatureProfile
  /** Further fields, lower-case, to cover when they are sent. Default none. */
  readonly contextTokens?: readonly string[]
}

/** The fields that carry a signature: set them, in place of others with these names. */
export interface SignatureHeaders {
  readonly [field: string]: string
}

/** A signed request: what to send with it, and what its response will answer to. */
export interface SignedRequest {
  readonly headers: SignatureHeaders
  /** What `wimse-req-nonce` of the response must be. */
  readonly nonce: string
}

/**
 * Signs one request with the key of a WIT. A signature is used once: sign again for every attempt.
 *
 * @throws TypeError for a lifetime that verifiers refuse, for a WIT of an older profile, and for a target that is no path
 * @see draft-ietf-wimse-http-signature-07
 */
export function signRequest(wit: ProvingWit, request: SignableRequest, options: MessageSigningOptions): SignedRequest {
  const { method, target, audience, body, signResponse = false } = request
  if (!target.startsWith('/')) throw new TypeError('the target of a signed request is a path with or without a query')
  const { nonce = randomId(), profile = 'wimse' } = options
  const added = addedFields(wit, body)
  const headers = withFields(request.headers, added)
  const fields = signMessageLocally({ method, target, headers }, wit.key, {
    label: LABEL,
    components: coveredBy(SIGNATURE_SHAPES[profile].request, headers, options.contextTokens),
    parameters: toParameters({
      ...timesOf(options),
      nonce,
      tag: SIGNATURE_TAG,
      'wimse-aud': audience,
      'wimse-sign-response': signResponse ? true : undefined,
    }),
  })
  return { headers: { ...added, ...fields }, nonce }
}

/** The response to sign. */
export interface SignableResponse {
  readonly status: number
  /** The fields that are sent, of which `content-type` is covered. */
  readonly headers: RawHeaders
  /** As it is sent. Empty where the response has none, as to HEAD. */
  readonly body: Uint8Array
}

/** The request that a response answers. */
export interface AnsweredRequest {
  readonly method: string
  readonly target: string
  /** Of its signature. */
  readonly nonce: string
  readonly profile: SignatureProfile
}

/**
 * Signs a response with the key of the service's own WIT, bound to the request it answers.
 *
 * @throws TypeError for a lifetime that verifiers refuse
 * @see draft-ietf-wimse-http-signature-07
 */
export function signResponse(
  wit: ProvingWit,
  { status, headers: sent, body }: SignableResponse,
  { method, target, nonce: requestNonce, profile }: AnsweredRequest,
  options: Omit<MessageSigningOptions, 'profile' | 'contextTokens'>,
): SignatureHeaders {
  const added = addedFields(wit, body)
  const headers = withFields(sent, added)
  const fields = signMessageLocally({ status, headers, request: { method, target, headers: [] } }, wit.key, {
    label: LABEL,
    components: coveredBy(SIGNATURE_SHAPES[profile].response, headers),
    parameters: toParameters({
      ...timesOf(options),
      nonce: options.nonce ?? randomId(),
      tag: SIGNATURE_TAG,
      'wimse-req-nonce': requestNonce,
    }),
  })
  return { ...added, ...fields }
}

const LABEL = 'wimse'

function timesOf({ now, lifetime = 60 }: Pick<MessageSigningOptions, 'now' | 'lifetime'>): {
  readonly created: number
  readonly expires: number
} {
  if (!(lifetime > 0 && lifetime <= 300)) throw new TypeError('a signature lives 1 to 300 seconds')
  const created = Math.floor(now)
  return { created, expires: created + Math.ceil(lifetime) }
}

function addedFields({ token, profile }: ProvingWit, body: Uint8Array | undefined): SignatureHeaders {
  if (profile !== 'wimse') throw new TypeError(`HTTP signatures need a WIT of profile wimse, not ${profile}`)
  const digest = body === undefined || body.length === 0 ? {} : { 'content-digest': contentDigest(body) }
  return { ...digest, 'workload-identity-token': token }
}

function withFields(headers: RawHeaders, added: SignatureHeaders): RawHeaders {
  return [...headers.filter(([name]) => !REPLACED.has(name.toLowerCase())), ...Object.entries(added)]
}

// What an earlier attempt left behind says nothing about this one.
const REPLACED: ReadonlySet<string> = new Set([
  'content-digest',
  'workload-identity-token',
  'signature',
  'signature-input',
])

function coveredBy(
  always: readonly Component[],
  headers: RawHeaders,
  contextTokens: readonly string[] = [],
): readonly Component[] {
  const present = new Set(headers.map(([name]) => name.toLowerCase()))
  const further = contextTokens.map((field) => component(field))
  return [...always, ...[...COVERED_FIELDS, ...further].filter(({ name }) => present.has(name))]
}
