import { PROFILES, type Profile } from '../../credentials/profile.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'

/** Remembers the strongest profile each caller has used, so that nobody can make it fall back to a weaker one. */
export interface HighWaterMark {
  /**
   * Notes that a caller proved itself under a profile. False when it has used a stronger one before; then nothing
   * changes. Atomic for all threads or processes that share the mark.
   */
  admit(caller: WorkloadId, profile: Profile): boolean | Promise<boolean>
}

/** 0 is the strongest. */
export function rankOf(profile: Profile): number {
  return PROFILES.indexOf(profile)
}

/**
 * Keeps the marks in this process, for at most `capacity` callers. Beyond that, callers it does not know are admitted
 * under the strongest profile only. A restart forgets them all.
 */
export function createMemoryHighWaterMark(options: { readonly capacity?: number } = {}): HighWaterMark {
  const { capacity = 100_000 } = options
  const marks = new Map<WorkloadId, number>()
  return {
    admit(caller, profile) {
      const rank = rankOf(profile)
      const known = marks.get(caller)
      if (known === undefined && marks.size >= capacity) return rank === 0
      if (known !== undefined && known <= rank) return known === rank
      marks.set(caller, rank)
      return true
    },
  }
}
