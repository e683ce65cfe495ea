import type { RawHeaders } from '../authentication/carriage.ts'
import {
  type AnsweredRequest,
  type SignableRequest,
  type SignatureHeaders,
  signRequest,
} from '../authentication/http-signature/sign.ts'
import { type IncomingResponse, verifyResponse } from '../authentication/http-signature/verify-response.ts'
import type { Clock } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { BundleSource } from '../credentials/bundle/bundle.ts'
import type { RevocationSource } from '../credentials/revocation/revocation.ts'
import type { Wit } from '../credentials/wit/source.ts'
import type { IdMatcher } from '../identifiers/matcher.ts'
import type { BodyRefusals } from './read-message.ts'
import { MAX_SIGNED_BODY } from './signing-response.ts'

/** How to sign requests in place of proof tokens, and what to ask of the responses. */
export interface HttpSignatureOptions {
  /** For the WIT of the service, which comes with a signed response. */
  readonly bundles: BundleSource
  /** Who may answer. */
  readonly peer: IdMatcher
  /** Demand a signed response, and refuse another. One that is signed must be good either way. Default true. */
  readonly demandResponse?: boolean
  /** Which credentials were revoked. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Bytes of a response, which is read whole before it is handed on. Default 1,048,576. */
  readonly maxSignedBody?: number
}

/** One signed request on its way. */
export interface SignedExchange {
  readonly headers: SignatureHeaders
  readonly maxBody: number
  /** @throws {@link AimsError} as `verifyResponse`: nothing of the response may be used then. */
  verify(response: IncomingResponse): void
}

/** Signs a request, and is ready for its response. */
export function signedExchange(
  wit: Wit,
  request: Omit<SignableRequest, 'signResponse'>,
  options: HttpSignatureOptions,
  {
    clock,
    lifetime,
    contextTokens,
  }: {
    readonly clock: Clock
    readonly lifetime: number | undefined
    readonly contextTokens: readonly string[]
  },
): SignedExchange {
  const { bundles, peer, demandResponse: required = true, revocations, maxSignedBody = MAX_SIGNED_BODY } = options
  const { headers, nonce } = signRequest(
    wit,
    { ...request, signResponse: required },
    {
      now: clock(),
      contextTokens,
      ...(lifetime === undefined ? {} : { lifetime }),
    },
  )
  const answered: AnsweredRequest = { method: request.method, target: request.target, nonce, profile: 'wimse' }
  return {
    headers,
    maxBody: maxSignedBody,
    verify(response) {
      const known = revocations === undefined ? {} : { revocations }
      verifyResponse(response, { request: answered, bundles, peer, required, now: clock(), ...known })
    },
  }
}

/** What to say when a response, read whole before anybody sees any of it, does not come as it should. */
export const RESPONSE_REFUSALS: BodyRefusals = {
  lost: () => new AimsError('signature.digest_mismatch', 'the response did not arrive'),
  tooLarge: (limit) => new AimsError('authentication.body_too_large', `the response has more than ${limit} bytes`),
}

/** Fields as pairs, without those that are absent. */
export function pairsOf(headers: { readonly [field: string]: string | number | undefined }): RawHeaders {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as const],
  )
}
