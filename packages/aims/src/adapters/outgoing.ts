import type { RawHeaders } from '../authentication/carriage.ts'
import { PROFILE_RULES } from '../authentication/profile-rules.ts'
import { type ProofRequest, proofHeaders } from '../authentication/wpt/create.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { Profile } from '../credentials/profile.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { requireSecure } from './plaintext.ts'
import { type HttpSignatureOptions, type SignedExchange, signedExchange } from './signed-exchange.ts'

/** Whom a client proves itself to, and how. */
export interface ProvingOptions {
  /** The service's own name for itself, as it told you; not derived from the URL. */
  readonly audience: string
  /** Seconds a proof is good for. Default 60. */
  readonly lifetime?: number
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Header fields, lower-case, whose tokens the proof binds when they are sent. Default none; `txn-token` always is. */
  readonly contextTokens?: readonly string[]
  /** Sign each request, and check the response, in place of a proof token. Default: a proof token. */
  readonly httpSignature?: HttpSignatureOptions
  /** Send over http although others can read and change it on the way. Always allowed to this machine itself. */
  readonly acceptPlaintext?: true
}

/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly method: string
  readonly url: URL
  /** As it goes over the wire. `undefined`: there is none. */
  readonly body: Uint8Array | string | undefined
  /** The fields that it carries already. Those of the proof of an earlier attempt say nothing about this one. */
  readonly headers: RawHeaders
  /** Default: path and query of the URL. */
  readonly target?: string
}

/** What to send with a request, and what to ask of its response. */
export interface OutgoingProof {
  /** Fields to set, in place of others with these names. */
  readonly fields: { readonly [field: string]: string }
  /** `undefined`: the response proves nothing. */
  readonly exchange?: SignedExchange
}

/**
 * What clients have in common: proofs of who sends a request, for its method, target and body.
 *
 * @throws TypeError without an audience, for plain http to another machine, and for an `Authorization` that has no place
 */
export function prover(wits: WitSource, options: ProvingOptions): (request: OutgoingRequest) => OutgoingProof {
  const { audience, lifetime = 60, clock = systemClock, contextTokens = [], httpSignature, acceptPlaintext } = options
  if (typeof audience !== 'string') {
    throw new TypeError("a proof needs { audience }: the service's own name, e.g. 'https://api.example.com'")
  }
  return ({ method, url, body: content, headers, target = `${url.pathname}${url.search}` }) => {
    requireSecure(url.protocol, url.hostname, acceptPlaintext)
    const wit = wits.wit()
    const body = typeof content === 'string' ? Buffer.from(content) : content
    const request = { method, target, audience, body }
    if (httpSignature !== undefined) {
      const exchange = signedExchange(wit, { ...request, headers }, httpSignature, { clock, lifetime, contextTokens })
      return { fields: exchange.headers, exchange }
    }
    const proof = { ...request, ...tokensIn(headers, contextTokens, wit.profile) }
    return { fields: { ...proofHeaders(wit, proof, { now: clock(), lifetime }) } }
  }
}

// What the proof binds beside the request itself. A field that a retry finds there is that of the attempt before.
function tokensIn(
  headers: RawHeaders,
  contextTokens: readonly string[],
  profile: Profile,
): Pick<ProofRequest, 'accessToken' | 'txnToken' | 'otherTokens'> {
  const tokenIn = (field: string): string | undefined => headers.find(([name]) => name.toLowerCase() === field)?.[1]
  const authorization = tokenIn('authorization')
  const bearer = /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]
  const accessToken = PROFILE_RULES[profile].bindsAccessToken ? bearer : undefined
  if (authorization !== undefined && accessToken === undefined && !/^WPT /.test(authorization)) {
    throw new TypeError(`profile ${profile} has no place for another Authorization`)
  }
  const others = contextTokens.flatMap((field) => {
    const value = tokenIn(field)
    return value === undefined ? [] : [[field, value] as const]
  })
  const bound = others.length === 0 ? {} : { otherTokens: Object.fromEntries(others) }
  return { accessToken, txnToken: tokenIn('txn-token'), ...bound }
}

/** Fields as pairs, one for each value, without those that have none. */
export function fieldPairs(fields: Iterable<readonly [string, FieldValue]>): RawHeaders {
  return [...fields].flatMap(([name, value]) =>
    [value ?? []].flat().map((one): readonly [string, string] => [name, String(one)]),
  )
}

type FieldValue = string | number | readonly string[] | null | undefined
