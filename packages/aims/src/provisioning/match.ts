import type { RegistrationEntry } from './entry.ts'

/**
 * The entries whose selectors are all among those of the workload, in the order given. A workload may show more than an
 * entry asks for, never less. Does not look at credential types or profiles.
 *
 * @see SPIFFE Workload API, section 4; AIMS ID-5
 */
export function matchEntries(
  entries: Iterable<RegistrationEntry>,
  selectors: readonly string[],
): readonly RegistrationEntry[] {
  const present = new Set(selectors)
  const matching: RegistrationEntry[] = []
  for (const entry of entries) {
    if (isMatch(entry, present)) matching.push(entry)
  }
  return matching
}

/** True when every selector of the entry is present. An entry without selectors matches nothing. */
export function isMatch(entry: RegistrationEntry, present: ReadonlySet<string>): boolean {
  return entry.selectors.length > 0 && entry.selectors.every((selector) => present.has(selector))
}
