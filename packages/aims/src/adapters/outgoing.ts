import { PROFILE_RULES } from '../authentication/profile-rules.ts'
import { type ProofRequest, proofHeaders } from '../authentication/wpt/create.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { requireSecure } from './plaintext.ts'

/** Whom a client proves itself to, and how. */
export interface ProvingOptions {
  /** The service's own name for itself, as it told you; not derived from the URL. */
  readonly audience: string
  /** Seconds a proof is good for. Default 60. */
  readonly lifetime?: number
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Send over http although others can read and change it on the way. Always allowed to this machine itself. */
  readonly acceptPlaintext?: true
}

/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly method: string
  readonly url: URL
  /** As it goes over the wire. `undefined`: there is none. */
  readonly body: Uint8Array | string | undefined
  /** The value of `Authorization` that it carries already. */
  readonly authorization: string | undefined
  /** Default: path and query of the URL. */
  readonly target?: string
}

/**
 * What clients have in common: the fields that prove who sends a request, for its method, target and body.
 *
 * @throws TypeError without an audience, for plain http to another machine, and for an `Authorization` that has no place
 */
export function provingFields(
  wits: WitSource,
  { audience, lifetime = 60, clock = systemClock, acceptPlaintext }: ProvingOptions,
): (request: OutgoingRequest) => { readonly [field: string]: string } {
  if (typeof audience !== 'string') {
    throw new TypeError("a proof needs { audience }: the service's own name, e.g. 'https://api.example.com'")
  }
  return ({ method, url, body, authorization, target = `${url.pathname}${url.search}` }) => {
    requireSecure(url.protocol, url.hostname, acceptPlaintext)
    const wit = wits.wit()
    const accessToken = /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]
    const hasPlace = accessToken !== undefined && PROFILE_RULES[wit.profile].bindsAccessToken
    if (authorization !== undefined && !hasPlace) {
      throw new TypeError(`profile ${wit.profile} has no place for another Authorization`)
    }
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const proof: ProofRequest = { method, target, audience, body: bytes, accessToken }
    return { ...proofHeaders(wit, proof, { now: clock(), lifetime }) }
  }
}
