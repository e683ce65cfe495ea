import { ASSURANCE_LEVELS, type Assurance } from '../../credentials/attested.ts'
import type { AttestationResult } from '../attestor.ts'

/**
 * The level that one result reaches.
 *
 * `high`: a hardware vendor's root vouches for the platform, the key is in what the hardware signed for this nonce, the
 * vendor has nothing against its firmware, and nobody can read its memory. `moderate`: a platform or kernel made the
 * statement for this nonce, audience or connection. `low`: everything else, bearer documents first of all.
 */
export function assuranceOf(result: AttestationResult): Assurance {
  const { binding, freshness, hardwareRoot, tcb, debug } = result
  if (debug || binding === 'none' || (freshness !== 'nonce' && freshness !== 'live')) return 'low'
  const isSound = tcb === undefined || tcb.status === 'UpToDate'
  return binding === 'full' && freshness === 'nonce' && hardwareRoot !== undefined && isSound ? 'high' : 'moderate'
}

/** Negative when `a` is weaker than `b`. */
export function compareAssurance(a: Assurance, b: Assurance): number {
  return ASSURANCE_LEVELS.indexOf(a) - ASSURANCE_LEVELS.indexOf(b)
}

/** The strongest of some levels; `low` of none. */
export function strongestAssurance(levels: readonly Assurance[]): Assurance {
  return levels.toSorted(compareAssurance).at(-1) ?? 'low'
}
