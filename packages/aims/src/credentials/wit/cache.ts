import { requireTime } from '../../base/clock.ts'
import type { VerificationKey } from '../../base/keys.ts'
import type { TrustBundle } from '../bundle/bundle.ts'
import type { TokenTimes } from '../lifetime.ts'
import { checkWitTimes, requireRules, verifyWitContent, type WitRules } from './verify.ts'
import { VERIFIED_WITS, type VerifiedWit } from './wit.ts'

/** The rules every token is judged by, and how much may be remembered. */
export interface CachingWitVerifierOptions extends WitRules {
  /** Default 10,000. */
  readonly maxEntries?: number
  /** Estimated memory. Default 48 MiB: a WIT needs about 4 kB. */
  readonly maxBytes?: number
}

interface Entry {
  readonly wit: VerifiedWit
  readonly times: TokenTimes
  readonly bundle: TrustBundle
  readonly authority: VerificationKey
  readonly bytes: number
  /** Asked for since it was last up for removal. */
  isUsed: boolean
}

/** Measured: key object, claims and hash of one WIT, without the token's own text. */
const ENTRY_BYTES = 3400

/**
 * Verifies WITs and remembers those that were good, so that a caller's next request costs no signature check.
 *
 * Remembers by the exact token and by identity of the trust bundle: a changed bundle, or one that no longer exists,
 * drops what it vouched for, and so does a key that was taken out of the bundle's own map. Times are checked on every call. Refusals and `cnf.kid` lookups are never remembered.
 *
 * @returns A function that answers as `verifyWit` would.
 */
export function cachingWitVerifier(options: CachingWitVerifierOptions): (token: string, now: number) => VerifiedWit {
  const { maxEntries = 10_000, maxBytes = 48 * 1024 * 1024, ...rules } = options
  requireRules({ ...rules, now: 0 })
  // The first is the one to go, unless it was used: then it has another turn.
  const entries = new Map<string, Entry>()
  let bytes = 0

  const remove = (token: string, entry: Entry): void => {
    entries.delete(token)
    bytes -= entry.bytes
  }
  const makeRoom = (): void => {
    for (const [token, entry] of entries) {
      if (entries.size <= maxEntries && bytes <= maxBytes) break
      remove(token, entry)
      if (entry.isUsed) keep(token, { ...entry, isUsed: false })
    }
  }
  const keep = (token: string, entry: Entry): void => {
    entries.set(token, entry)
    bytes += entry.bytes
  }

  return (token, now) => {
    requireTime(now)
    const known = entries.get(token)
    if (known !== undefined) {
      if (stillVouches(rules.bundles.bundleFor(known.wit.trustDomain), known) && now < known.times.exp) {
        checkWitTimes(known.times, rules, now)
        known.isUsed = true
        return known.wit
      }
      remove(token, known)
    }
    const { wit: checked, times, bundle, authority, cacheable } = verifyWitContent(token, rules)
    checkWitTimes(times, rules, now)
    const wit = VERIFIED_WITS.seal(checked)
    if (cacheable) {
      keep(token, { wit, times, bundle, authority, bytes: ENTRY_BYTES + token.length, isUsed: false })
      makeRoom()
    }
    return wit
  }
}

// A bundle should never change, but it has a map, and whoever revokes a key there means it.
function stillVouches(bundle: TrustBundle | undefined, { bundle: vouching, authority }: Entry): boolean {
  if (bundle === undefined || bundle !== vouching) return false
  for (const key of bundle.witAuthorities.values()) if (key === authority) return true
  return false
}
