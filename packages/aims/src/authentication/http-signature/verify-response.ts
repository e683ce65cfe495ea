import { AimsError } from '../../base/errors.ts'
import { type Sealed, sealInTypes } from '../../base/seal.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import { DEFAULT_CLOCK_SKEW } from '../../credentials/lifetime.ts'
import { requireLiveWit } from '../../credentials/revocation/require.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import { verifyWit } from '../../credentials/wit/verify.ts'
import type { IdMatcher } from '../../identifiers/matcher.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import type { RawHeaders } from '../carriage.ts'
import { component } from '../message-signatures/components.ts'
import { fieldLines } from '../message-signatures/fields.ts'
import { requirePeer } from '../route.ts'
import { checkSignature, checkSignedBody, requireString } from './check.ts'
import { selectSignature } from './select.ts'
import { SIGNATURE_SHAPES } from './shapes.ts'
import type { AnsweredRequest } from './sign.ts'
import { DEFAULT_MAX_LIFETIME } from './verify-request.ts'

/** A response as it came over the wire. */
export interface IncomingResponse {
  readonly status: number
  /** Every field line in order; `rawHeaders`, not `headers`. */
  readonly headers: RawHeaders
  /** As it was sent: before anything decompresses it. Empty where there is none. */
  readonly body: Uint8Array
}

/** What the client knows for itself. */
export interface ResponseExpectations {
  /** The request that was sent, and the nonce of its signature. */
  readonly request: AnsweredRequest
  readonly bundles: BundleSource
  /** Who may answer. The key of anybody else signs nothing. */
  readonly peer: IdMatcher
  /** Refuse a response that is not signed. */
  readonly required: boolean
  /** Which credentials were revoked. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds a signature may live. Default 300. */
  readonly maxLifetime?: number
  /** Seconds the server's clock may be ahead. Default 30. */
  readonly clockSkew?: number
}

/** A response whose signer is known. Only {@link verifyResponse} makes one. */
export interface VerifiedResponse extends Sealed<'VerifiedResponse'> {
  readonly kind: 'verified-response'
  /** Who answered. */
  readonly id: WorkloadId
  /** Status and the request it answers always are. */
  readonly covers: { readonly status: true; readonly request: true; readonly body: boolean }
}

/**
 * Checks that the expected service signed this response, to this request. A signature that is there must be good, also
 * where none is required.
 *
 * @returns `undefined` for a response that is not signed, where none is required: then nothing is known of it.
 * @throws {@link AimsError} `signature.*`, `credential.*`, `authentication.peer_unexpected`, `authentication.duplicate_field`
 * @see draft-ietf-wimse-http-signature-07
 */
export function verifyResponse(
  response: IncomingResponse,
  expected: ResponseExpectations,
): VerifiedResponse | undefined {
  const { request, bundles, peer, required, revocations, now } = expected
  const { maxLifetime = DEFAULT_MAX_LIFETIME, clockSkew = DEFAULT_CLOCK_SKEW } = expected
  const signature = selectSignature(response.headers)
  if (signature === undefined) {
    if (!required) return undefined
    throw new AimsError('signature.response_unsigned', 'the response is not signed')
  }
  const wit = verifyWit(witOf(response.headers), { bundles, now, profile: 'wimse', clockSkew })
  const answers = requireString(signature, 'wimse-req-nonce')
  const { method, target, nonce, profile } = request
  const checked = checkSignature({ ...response, request: { method, target, headers: [] } }, signature, {
    key: wit.confirmation,
    required: [...SIGNATURE_SHAPES[profile].response, component('workload-identity-token')],
    contextTokens: [],
    forbidden: ['keyid', 'alg', 'wimse-aud', 'wimse-sign-response'],
    now,
    clockSkew,
    maxLifetime,
  })
  if (answers !== nonce) throw new AimsError('signature.request_mismatch', 'the response answers another request')
  const body = checkSignedBody(checked, response.body)
  requirePeer(wit.subject, peer)
  requireLiveWit(revocations, wit, now)
  const covers = { status: true, request: true, body } as const
  return sealInTypes<VerifiedResponse>({ kind: 'verified-response', id: wit.subject, covers })
}

function witOf(headers: RawHeaders): string {
  const [token, ...others] = fieldLines(headers, 'workload-identity-token')
  if (others.length > 0) throw new AimsError('authentication.duplicate_field', 'the response has more than one WIT')
  if (token === undefined)
    throw new AimsError('authentication.missing_credential', 'the response is signed without a WIT')
  return token
}
