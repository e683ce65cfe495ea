import type { Clock } from '../base/clock.ts'
import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import type { Observer } from '../base/event.ts'
import type { BundleSource } from '../credentials/bundle/bundle.ts'
import type { RevocationSource } from '../credentials/revocation/revocation.ts'
import type { KeyRegistry } from '../credentials/wit/confirmation.ts'
import type { IdMatcher } from '../identifiers/matcher.ts'
import type { TrustedProxy } from './by-forwarding.ts'
import type { Carried, RawHeaders } from './carriage.ts'
import type { HighWaterMark } from './high-water/high-water-mark.ts'
import type { ResponseSigning } from './http-signature/responses.ts'
import { lateBody } from './late-body.ts'
import type { AuthenticationMethod, Principal } from './principal.ts'
import type { ProfilePolicy } from './profile-policy.ts'
import type { ReplayStore } from './replay/replay-store.ts'
import type { RequiredBinding } from './wpt/verify.ts'

/** A request as it came over the wire. */
export interface IncomingRequest {
  /** As on the wire: `POST`, not `post`. */
  readonly method: string
  /** The request target as on the wire, e.g. `/api/v1/events?day=1`: `req.url`, not a parsed or rewritten URL. */
  readonly target: string
  /** Every field line in order; `rawHeaders`, not `headers`. */
  readonly headers: RawHeaders
  /** The body, or how to read it: asked for only when a proof that is good otherwise names it. Default: empty. */
  readonly body?: Uint8Array | (() => Promise<Uint8Array>) | UnseenBody
  /**
   * DER, leaf first, as the TLS client of this connection presented and proved it. Never from a header field.
   * Pass the same array for all requests of a connection: the path is then verified once.
   */
  readonly peerCertificates?: readonly Uint8Array[] | undefined
  /** What answers it cannot be signed, so a caller that demands a signature is refused. Default: it can. */
  readonly answersUnsigned?: boolean
  /** Ties the records of this request together. Default: a random one. */
  readonly id?: string
}

/** A body that this verifier is not shown, as behind a proxy that asks about heads of requests. Nothing is known of it. */
export interface UnseenBody {
  readonly kind: 'unseen'
  /** Accept proofs that name a body, without comparing it: they do not cover it then. Default false: refused. */
  readonly acceptUncheckedDigest?: boolean
}

/** What a service knows for itself. */
export interface AuthenticatorOptions {
  readonly bundles: BundleSource
  /** This service's own URIs; a proof must be for one of them, byte for byte. At least one. */
  readonly audiences: readonly string[]
  /** See {@link ProofExpectations}: accepts target URIs on these origins as audience. Default none. */
  readonly origins?: readonly string[]
  readonly replays: ReplayStore
  readonly observer: Observer
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Default: `wimse` only. */
  readonly profiles?: ProfilePolicy
  /** What each caller has used before, for when more than one profile is on. Default: in memory. */
  readonly highWaterMarks?: HighWaterMark
  /**
   * Default `http-signature`, `wit+wpt` and `mtls`. `jwt-svid` is a bearer token: who sees it can use it. `forwarded`
   * needs `proxies`.
   */
  readonly methods?: readonly AuthenticationMethod[]
  /** With what responses are signed, for callers that demand it. Default: their requests are refused, with 501. */
  readonly responses?: ResponseSigning
  /** Proxies that end TLS, and what is believed of them. Default none: what a proxy says is never looked at. */
  readonly proxies?: readonly TrustedProxy[]
  /** What every proof must name. Default: what it names is checked, and it need not name anything. */
  readonly requireBinding?: RequiredBinding
  /** Which credentials were revoked, asked at every request. Default: none is checked, and each lives until it expires. */
  readonly revocations?: RevocationSource
  /** Who may call at all. Default: every workload of the bundles' trust domains. */
  readonly peer?: IdMatcher
  /** Fields, lower-case, that carry tokens used for authorization: a proof must bind those that are present. Default none. */
  readonly contextTokens?: readonly string[]
  /** Seconds a proof may live. Default 300. */
  readonly maxLifetime?: number
  /** Seconds a caller's clock may be ahead. Default 30. */
  readonly clockSkew?: number
  /** `aims-00` only: the accepted `iss` of WITs, per trust domain. */
  readonly issuers?: { readonly [trustDomain: string]: readonly string[] }
  /** `aims-00` only: the audience WITs are for. Default: the first of `audiences`. */
  readonly witAudience?: string
  /** `aims-00` only: the keys behind `cnf.kid`. */
  readonly confirmationKeys?: KeyRegistry
  /** `jwt-svid` only: the audience of the tokens. Default: the first of `audiences`. */
  readonly jwtAudience?: string
  /** `mtls` only: accept Workload Identity Certificates that are no X.509-SVIDs. Default `svid`. */
  readonly x509Mode?: 'svid' | 'wic'
  /** `mtls` only: accept certificates with an Ed25519 key. Default false. */
  readonly x509Ed25519?: boolean
}

/** One request on its way through the method that judges it. */
export interface Case {
  readonly request: IncomingRequest
  readonly carried: Carried
  /** The methods that count here. */
  readonly accepted: readonly AuthenticationMethod[]
  /** What a proof must name of the request here. */
  readonly binding: RequiredBinding
  readonly now: number
  readonly id: string
}

/** Verifies by one method. @throws {@link AimsError} when it does not hold */
export type Judge = (given: Case) => Principal | Promise<Principal>

const NO_BODY = new Uint8Array()

/**
 * The body of a request. Asked for once nothing but it is left to check.
 *
 * @param isNamed - The proof says which body it is for.
 * @returns `undefined` for one that is not seen.
 * @throws {@link AimsError} `authentication.body_unseen` for one that is named and not seen
 */
export function readBody(
  { body = NO_BODY }: IncomingRequest,
  isNamed: boolean,
): Uint8Array | Promise<Uint8Array> | undefined {
  if (typeof body === 'function') return body()
  if (body instanceof Uint8Array) return body
  if (!isNamed || body.acceptUncheckedDigest === true) return undefined
  throw new AimsError('authentication.body_unseen', 'the proof names a body, and this verifier is not shown it')
}

/**
 * The time after a wait for the client, which takes as long as it likes. What has expired by then is refused: a replay
 * store remembers it no longer.
 *
 * @throws {@link AimsError} `code`, when that time is `expiresAt` or later
 */
export function timeAfter(
  { now, expiresAt }: { readonly now: number; readonly expiresAt: number },
  clock: Clock,
  code: AimsErrorCode,
): number {
  const later = Math.max(now, clock())
  if (expiresAt <= later) {
    throw new AimsError(code, 'it has expired before the body was there', { observed: lateBody(later - now) })
  }
  return later
}

/**
 * Judges a credential again, so many seconds after it was good: its caller has taken the time that the body came in.
 *
 * @throws {@link AimsError} what `judge` throws
 */
export function judgeAfter(waited: number, judge: () => unknown): void {
  try {
    judge()
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code !== 'credential.expired') throw cause
    throw new AimsError(cause.code, cause.message, { cause, observed: lateBody(waited) })
  }
}
