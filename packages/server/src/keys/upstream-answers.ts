import { AimsError, type AimsErrorCode, type Clock } from 'aims/base'
import type { X509Authority } from 'aims/credentials'
import { completePath } from './ca-path.ts'
import type { CaOrder, CertifiedCa } from './upstream.ts'

/** Seconds in which a server that did not answer is not asked again. */
const PAUSE = 30
/** Seconds that the clocks may be apart. */
const MAX_SKEW = 300

/** What the server above says when the answer is no, now and later. */
const REFUSALS: ReadonlySet<AimsErrorCode> = new Set<AimsErrorCode>([
  'operation.not_permitted',
  'operation.unauthenticated',
  'operation.unknown_route',
  'operation.request_malformed',
  'provisioning.no_downstream',
  'provisioning.key_proof_invalid',
  'credential.key_reuse',
  'x509.weak_key',
])

/** Asks the server above. */
export type Ask = <T>(work: () => Promise<T>) => Promise<T>

/**
 * Makes failures those of an upstream: `operation.upstream_unreachable`, `operation.upstream_refused`, `operation.upstream_invalid`.
 * After one of them it fails for half a minute with the same, without asking.
 *
 * @param invalid - Codes of answers that are not the right ones.
 */
export function asking(clock: Clock, invalid: readonly AimsErrorCode[]): Ask {
  let pause: { readonly until: number; readonly error: AimsError } | undefined
  return async (work) => {
    if (pause !== undefined && clock() < pause.until) throw pause.error
    try {
      const result = await work()
      pause = undefined
      return result
    } catch (cause) {
      if (!AimsError.is(cause)) throw cause
      const error = meaning(cause, invalid)
      pause = { until: clock() + PAUSE, error }
      throw error
    }
  }
}

function meaning(cause: AimsError, invalid: readonly AimsErrorCode[]): AimsError {
  if (cause.code.startsWith('operation.upstream_')) return cause
  if (invalid.includes(cause.code)) return wrong(`something else (${cause.code})`, cause)
  return REFUSALS.has(cause.code)
    ? new AimsError('operation.upstream_refused', `the upstream server refuses (${cause.code})`, { cause })
    : new AimsError('operation.upstream_unreachable', `the upstream server is out of reach (${cause.code})`, { cause })
}

/** The refusal of an answer that is not the right one. */
export function wrong(what: string, cause?: unknown): AimsError {
  return new AimsError('operation.upstream_invalid', `the upstream server gave ${what}`, { cause })
}

/**
 * Reads the CA that was ordered, under one of the roots that are believed.
 *
 * Does not check its end and its path length.
 *
 * @throws {@link AimsError} `operation.upstream_invalid`
 */
export function readCa(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  { key, trustDomain, notBefore }: CaOrder,
): { readonly authority: X509Authority; readonly ca: CertifiedCa } {
  try {
    const complete = completePath(chain, roots, key, trustDomain)
    const root = Buffer.from(complete?.path.at(-1) ?? [])
    if (complete === undefined || !roots.some((one) => root.equals(one))) {
      throw wrong('a CA that leads to no root of the bundle')
    }
    const { authority, path } = complete
    const [certificate = Buffer.of(), ...above] = path
    if (authority.certificate.notBefore > notBefore + MAX_SKEW) throw wrong('a CA that begins later')
    return { authority, ca: { certificate, chain: above, expiresAt: authority.expiresAt } }
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code === 'operation.upstream_invalid') throw cause
    throw wrong('a CA that is not the one of this server', cause)
  }
}
