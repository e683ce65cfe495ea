import { AimsError } from '../../base/errors.ts'
import { type Sealed, sealInTypes } from '../../base/seal.ts'
import { DEFAULT_CLOCK_SKEW } from '../../credentials/lifetime.ts'
import { VERIFIED_WITS, type VerifiedWit } from '../../credentials/wit/wit.ts'
import { type OwnNames, ownAudience } from '../audience.ts'
import type { RequestMessage } from '../message-signatures/message.ts'
import { booleanParameter, type UnverifiedSignature } from '../message-signatures/signature.ts'
import { consume } from '../replay/consume.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { type CheckedSignature, checkSignature, checkSignedBody, requireString } from './check.ts'
import { selectSignature } from './select.ts'
import { type SignatureProfile, shapeOf } from './shapes.ts'

/** What the receiving service knows for itself, and the WIT of the same request. */
export interface RequestSignatureExpectations extends OwnNames {
  /** Already verified: nothing of the request is looked at before. */
  readonly wit: VerifiedWit
  /** Seconds since the epoch. */
  readonly now: number
  /** Refuse signatures that live longer than this, in seconds. Default 300. */
  readonly maxLifetime?: number
  /** How far ahead the signer's clock may be, in seconds: for `created`, never for `expires`. Default 30. */
  readonly clockSkew?: number
  /** Fields, lower-case, with tokens used for authorization: they must be covered when they are there. Default none. */
  readonly contextTokens?: readonly string[]
}

/** A request signature that passed everything but its body and its single use. */
export interface CheckedRequestSignature extends CheckedSignature {
  readonly profile: SignatureProfile
  /** Whether the caller demands a signed response: `wimse-sign-response`. */
  readonly demandsResponse: boolean
  readonly replayKey: string
  /** Seconds since the epoch: until when the nonce could be accepted again. */
  readonly retainUntil: number
}

/**
 * Checks the signature of a request against the WIT it came with: all but the body and the replay.
 *
 * @throws {@link AimsError} `signature.*`, the first check that failed
 * @see draft-ietf-wimse-http-signature-07
 */
export function checkRequestSignature(
  request: RequestMessage,
  signature: UnverifiedSignature,
  expected: RequestSignatureExpectations,
): CheckedRequestSignature {
  const { wit, now, maxLifetime = DEFAULT_MAX_LIFETIME, clockSkew = DEFAULT_CLOCK_SKEW, contextTokens = [] } = expected
  if (!VERIFIED_WITS.isSealed(wit)) throw new TypeError('wit is not what verifyWit returned')
  // Path and query of CONNECT, of `OPTIONS *` and of proxies' targets are not defined alike everywhere.
  if (!request.target.startsWith('/') || request.target.includes('#')) {
    throw new AimsError('signature.target_unsupported', 'the target is not a path with or without a query')
  }
  const shape = shapeOf(signature)
  const audience = requireString(signature, 'wimse-aud')
  const isResponseDemanded = demandsResponse(signature)
  const checked = checkSignature(request, signature, {
    key: wit.confirmation,
    required: shape.request,
    contextTokens,
    forbidden: ['keyid', 'alg', 'wimse-req-nonce'],
    now,
    clockSkew,
    maxLifetime,
  })
  if (ownAudience(audience, expected, request.target) === undefined) {
    throw new AimsError('signature.audience_mismatch', 'the signature is for another service')
  }
  return {
    ...checked,
    profile: shape.profile,
    demandsResponse: isResponseDemanded,
    // Scoped by the key that signed: no holder can use up the nonce of another.
    replayKey: `http-signature ${wit.confirmation.thumbprint} ${checked.nonce}`,
    retainUntil: checked.expiresAt + clockSkew,
  }
}

/** Whether a request demands a signed response. @throws {@link AimsError} `signature.invalid_parameter` */
export function demandsResponse(signature: UnverifiedSignature): boolean {
  return booleanParameter(signature, 'wimse-sign-response')
}

/** How long a signature may live at most, in seconds, unless the verifier says otherwise. */
export const DEFAULT_MAX_LIFETIME = 300

/** What {@link verifyRequestSignature} needs beside {@link RequestSignatureExpectations}. */
export interface SignedRequestExpectations extends RequestSignatureExpectations {
  /** As it was sent: before anything decompresses it. */
  readonly body: Uint8Array
  readonly replays: ReplayStore
}

/** A request signature that was checked against its WIT. Only {@link verifyRequestSignature} makes one. */
export interface VerifiedRequestSignature extends Sealed<'VerifiedRequestSignature'> {
  readonly kind: 'verified-request-signature'
  readonly profile: SignatureProfile
  /** For `wimse-req-nonce` of the response. */
  readonly nonce: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** The caller refuses a response that is not signed. */
  readonly demandsResponse: boolean
  /** Method and target always are. */
  readonly covers: { readonly method: true; readonly target: true; readonly body: boolean }
}

/**
 * Checks the WIMSE signature of a request against the WIT it came with and the body, then uses up its nonce.
 *
 * Accepts the older shape too: `profile` says which it is, and whoever wants the current one only compares it.
 *
 * @throws {@link AimsError} `signature.*`, the first check that failed; `proof.replay_store_*`
 * @see draft-ietf-wimse-http-signature-07
 */
export async function verifyRequestSignature(
  request: RequestMessage,
  expected: SignedRequestExpectations,
): Promise<VerifiedRequestSignature> {
  const signature = selectSignature(request.headers)
  if (signature === undefined) throw new AimsError('signature.missing', 'no signature has the tag of WIMSE')
  const checked = checkRequestSignature(request, signature, expected)
  const body = checkSignedBody(checked, expected.body)
  const consuming = consumeNonce(checked, expected.replays, expected.now)
  if (consuming !== undefined) await consuming
  const { profile, nonce, expiresAt, demandsResponse: isResponseDemanded } = checked
  const covers = { method: true, target: true, body } as const
  return sealInTypes<VerifiedRequestSignature>({
    kind: 'verified-request-signature',
    profile,
    nonce,
    expiresAt,
    demandsResponse: isResponseDemanded,
    covers,
  })
}

/** Uses up the nonce; a promise only when the store needs one. @throws {@link AimsError} `signature.replayed`, `proof.replay_store_*` */
export function consumeNonce(
  { replayKey, retainUntil }: CheckedRequestSignature,
  replays: ReplayStore,
  now: number,
): void | Promise<void> {
  return consume(replays, replayKey, retainUntil, now, 'signature.replayed')
}
