import type { RawHeaders } from '../authentication/carriage.ts'
import { PROFILE_RULES } from '../authentication/profile-rules.ts'
import { type ProofHeaders, type ProofRequest, proofHeaders } from '../authentication/wpt/create.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { Profile } from '../credentials/profile.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { requireSecure } from './plaintext.ts'

/** Whom requests prove themselves to, and how. */
export interface ProofTokenOptions {
  /** The service's own name for itself, as it told you; not derived from the URL. */
  readonly audience: string
  /** Seconds a proof is good for. Default 60. */
  readonly lifetime?: number
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Header fields, lower-case, whose tokens the proof binds when they are sent. Default none; `txn-token` always is. */
  readonly contextTokens?: readonly string[]
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

/**
 * What clients have in common: the fields that prove who sends a request by a proof token, for its method, target and body.
 *
 * @throws TypeError without an audience, for plain http to another machine, and for an `Authorization` that has no place
 */
export function tokenProver(wits: WitSource, options: ProofTokenOptions): (request: OutgoingRequest) => ProofHeaders {
  const { audience, lifetime = 60, clock = systemClock, contextTokens = [], acceptPlaintext } = options
  requireAudience(audience)
  return (request) => {
    const { method, url, headers } = request
    requireSecure(url.protocol, url.hostname, acceptPlaintext)
    const wit = wits.wit()
    const tokens = tokensIn(headers, contextTokens, wit.profile)
    const proof = { method, target: targetOf(request), audience, body: bytesOf(request), ...tokens }
    return proofHeaders(wit, proof, { now: clock(), lifetime })
  }
}

/** @throws TypeError without one */
export function requireAudience(audience: unknown): void {
  if (typeof audience === 'string') return
  throw new TypeError("a proof needs { audience }: the service's own name, e.g. 'https://api.example.com'")
}

/** The target as it goes over the wire. */
export function targetOf({ url, target = `${url.pathname}${url.search}` }: OutgoingRequest): string {
  return target
}

/** The body as it goes over the wire. */
export function bytesOf({ body }: OutgoingRequest): Uint8Array | undefined {
  return typeof body === 'string' ? Buffer.from(body) : body
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
