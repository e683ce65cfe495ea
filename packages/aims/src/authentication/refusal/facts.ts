import type { CheckFacts } from '../../base/check.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { decodeUnverifiedJws, type UnverifiedJws } from '../../base/jose.ts'
import { type Certificate, parseCertificate } from '../../base/x509-certificate.ts'
import { type Carried, readCarriage } from '../carriage.ts'
import type { AuthenticationMethod } from '../principal.ts'
import type { AuthenticatorOptions, IncomingRequest } from '../request.ts'
import type { RequiredBinding } from '../wpt/verify.ts'

/** What of the options of an authenticator a record of a refusal tells. */
export type RefusingOptions = Pick<
  AuthenticatorOptions,
  'audiences' | 'bundles' | 'contextTokens' | 'jwtAudience' | 'maxLifetime' | 'origins' | 'profiles' | 'revocations'
>

/** A request that was refused, and what it was judged by. */
export interface Refused {
  readonly request: IncomingRequest
  readonly options: RefusingOptions
  /** The methods that count here. */
  readonly accepted: readonly AuthenticationMethod[]
  /** What a proof must name here. */
  readonly binding: RequiredBinding
  readonly now: number
  readonly error: AimsError
}

/** The same taken apart once more. NOTHING in it is verified: it is for the record of the refusal. */
export interface RefusalFacts extends Refused {
  readonly carried: Carried | undefined
  /** The WIT, or the bearer token. */
  readonly credential: UnverifiedJws | undefined
  readonly proof: UnverifiedJws | undefined
  readonly leaf: Certificate | undefined
}

/** One check of a method, for the records of refusals. */
export interface Step<F extends RefusalFacts = RefusalFacts> {
  readonly check: string
  /** Whether it is made at all. Default true. */
  readonly isMade?: (facts: F) => boolean
  /** The codes that a failure of it has. */
  readonly codes: readonly AimsErrorCode[]
  /** For codes that several checks have: whether it was this one. Default true. */
  readonly isIt?: (facts: F) => boolean
  /** What was expected and found. Called when the check was made, whatever came of it. */
  readonly tell?: (facts: F) => CheckFacts
}

/** Takes a refused request apart as far as that goes. */
export function factsOf(refused: Refused): RefusalFacts {
  const { request } = refused
  const carried = attempt(() => readCarriage(request.headers))
  const credential = carried?.kind === 'bearer' ? carried.token : witOf(carried)
  const [leaf] = request.peerCertificates ?? []
  return {
    ...refused,
    carried,
    credential: credential === undefined ? undefined : attempt(() => decodeUnverifiedJws(credential)),
    proof: carried?.kind === 'proof' ? attempt(() => decodeUnverifiedJws(carried.proof)) : undefined,
    leaf: leaf === undefined ? undefined : attempt(() => parseCertificate(leaf)),
  }
}

function witOf(carried: Carried | undefined): string | undefined {
  return carried?.kind === 'proof' || carried?.kind === 'signature' ? carried.wit : undefined
}

/** `undefined` for what cannot be read. What is wrong with it, the error of the refusal says. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (AimsError.is(error)) return undefined
    throw error
  }
}

/** A claim as text. */
export function textOf(value: unknown): string {
  if (value === undefined) return 'none'
  return typeof value === 'string' ? value : `no text (${typeof value})`
}
