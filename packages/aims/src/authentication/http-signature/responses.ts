import { AimsError } from '../../base/errors.ts'
import type { Wit, WitSource } from '../../credentials/wit/source.ts'
import { type AnsweredRequest, type SignableResponse, type SignatureHeaders, signResponse } from './sign.ts'

/** With what a service signs its responses. */
export interface ResponseSigning {
  /** The WITs of the service itself. */
  readonly wits: WitSource
  /** Sign every response to a signed request. Default: those whose request demands it. */
  readonly always?: boolean
  /** Seconds a signature is good for. Default 60. */
  readonly lifetime?: number
}

/** Signs the response to one request. */
export interface ResponseSigner {
  /**
   * The fields that carry the signature; set them in place of others with these names. Sends nothing itself.
   *
   * @throws {@link AimsError} `signature.cannot_sign`: answer with the `problem` of it, never with the response unsigned.
   */
  sign(response: SignableResponse): SignatureHeaders
}

/**
 * The signer for a request, where its response is to be signed. Whether there is a WIT to sign with is asked now, before
 * anything is done for the caller, and again when the response is there.
 *
 * @throws {@link AimsError} `signature.cannot_sign`
 */
export function responseSigner(
  signing: ResponseSigning | undefined,
  { demanded, possible }: { readonly demanded: boolean; readonly possible: boolean },
  request: AnsweredRequest,
  clock: () => number,
): ResponseSigner | undefined {
  if (!demanded && signing?.always !== true) return undefined
  if (signing === undefined) throw new AimsError('signature.cannot_sign', 'this service does not sign responses')
  if (!possible) throw new AimsError('signature.cannot_sign', 'what answers this request cannot be signed')
  const { wits, lifetime } = signing
  currentWit(wits)
  return {
    sign: (response) =>
      signResponse(currentWit(wits), response, request, {
        now: clock(),
        ...(lifetime === undefined ? {} : { lifetime }),
      }),
  }
}

function currentWit(wits: WitSource): Wit {
  let wit: Wit
  try {
    wit = wits.wit()
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('signature.cannot_sign', 'there is no valid WIT to sign the response with', { cause })
  }
  if (wit.profile !== 'wimse') throw new AimsError('signature.cannot_sign', 'responses are signed with a current WIT')
  return wit
}
