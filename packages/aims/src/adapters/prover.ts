import { systemClock } from '../base/clock.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import {
  bytesOf,
  type OutgoingRequest,
  type ProofTokenOptions,
  requireAudience,
  targetOf,
  tokenProver,
} from './outgoing.ts'
import { requireSecure } from './plaintext.ts'
import { type HttpSignatureOptions, type SignedExchange, signedExchange } from './signed-exchange.ts'

/** Whom a client proves itself to, and how. */
export interface ProvingOptions extends ProofTokenOptions {
  /** Sign each request, and check the response, in place of a proof token. Default: a proof token. */
  readonly httpSignature?: HttpSignatureOptions
}

/** What to send with a request, and what to ask of its response. */
export interface OutgoingProof {
  /** Fields to set, in place of others with these names. */
  readonly fields: { readonly [field: string]: string }
  /** `undefined`: the response proves nothing. */
  readonly exchange?: SignedExchange
}

/**
 * What clients of HTTP have in common: proofs of who sends a request, for its method, target and body, by a token or a signature.
 *
 * @throws TypeError as {@link tokenProver}
 */
export function prover(wits: WitSource, options: ProvingOptions): (request: OutgoingRequest) => OutgoingProof {
  const { audience, lifetime = 60, clock = systemClock, contextTokens = [], httpSignature, acceptPlaintext } = options
  if (httpSignature === undefined) {
    const prove = tokenProver(wits, options)
    return (request) => ({ fields: prove(request) })
  }
  requireAudience(audience)
  return (request) => {
    const { method, url, headers } = request
    requireSecure(url.protocol, url.hostname, acceptPlaintext)
    const signable = { method, target: targetOf(request), audience, body: bytesOf(request), headers }
    const exchange = signedExchange(wits.wit(), signable, httpSignature, { clock, lifetime, contextTokens })
    return { fields: exchange.headers, exchange }
  }
}
