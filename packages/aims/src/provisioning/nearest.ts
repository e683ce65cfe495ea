import { type Check, checkOf } from '../base/check.ts'
import type { SpiffeId } from '../identifiers/spiffe-id.ts'
import type { RegistrationEntry } from './entry.ts'

/** An entry that a workload does not match, and for want of what. */
interface NearEntry {
  readonly spiffeId: SpiffeId
  readonly missing: readonly string[]
}

type Selecting = Pick<RegistrationEntry, 'spiffeId' | 'selectors' | 'credentialTypes'>

/**
 * Entries that a workload comes close to: it shows some of their selectors, or other values of them (another
 * `unix:uid`). Those with the fewest missing first, at most three. For records of refusals; it decides nothing.
 */
function nearestEntries(entries: Iterable<Selecting>, selectors: readonly string[]): readonly NearEntry[] {
  const shown = new Set(selectors)
  const keys = new Set(selectors.map(keyOf))
  const near: (NearEntry & { readonly shared: number })[] = []
  for (const { spiffeId, selectors: wanted } of entries) {
    const missing = wanted.filter((selector) => !shown.has(selector))
    if (missing.length === 0 || !wanted.some((selector) => keys.has(keyOf(selector)))) continue
    near.push({ spiffeId, missing, shared: wanted.length - missing.length })
  }
  near.sort((a, b) => a.missing.length - b.missing.length || b.shared - a.shared || (a.spiffeId < b.spiffeId ? -1 : 1))
  return near.slice(0, MAX_ENTRIES).map(({ spiffeId, missing }) => ({ spiffeId, missing }))
}

/**
 * Why a workload got nothing: what it shows, and to which entries that comes close, or what those that it matches give. For
 * the record of the refusal.
 */
export function noIdentityChecks(entries: Iterable<Selecting>, selectors: readonly string[]): readonly Check[] {
  const all = [...entries]
  const attested = checkOf('workload.attested', 'passed', { observed: selectors.join(' ') })
  const shown = new Set(selectors)
  const matching = all.filter((entry) => entry.selectors.every((selector) => shown.has(selector)))
  if (matching.length > 0) return [attested, ...matching.slice(0, MAX_ENTRIES).map(givesOther)]
  const near = nearestEntries(all, selectors)
  if (near.length > 0) return [attested, ...near.map((one) => lacks(one, selectors))]
  const expected = 'an entry for these selectors'
  return [attested, checkOf('workload.entry', 'failed', { expected, difference: 'none' })]
}

const MAX_ENTRIES = 3

function givesOther({ spiffeId, credentialTypes }: Selecting): Check {
  const observed = `${credentialTypes.join(' ')}, for ${spiffeId}`
  return checkOf('workload.credential', 'failed', {
    expected: 'an entry that gives what was asked for',
    observed,
    difference: 'credential-type',
  })
}

function lacks({ spiffeId, missing }: NearEntry, selectors: readonly string[]): Check {
  return checkOf('workload.entry', 'failed', {
    expected: `${missing.join(' ')}, for ${spiffeId}`,
    observed: shownInstead(missing, selectors),
    difference: 'selectors',
  })
}

function shownInstead(missing: readonly string[], selectors: readonly string[]): string {
  const keys = new Set(missing.map(keyOf))
  const instead = selectors.filter((selector) => keys.has(keyOf(selector)))
  return instead.length === 0 ? 'nothing of the kind' : instead.join(' ')
}

// `unix:uid` of `unix:uid:1000`. A value may have colons of its own.
function keyOf(selector: string): string {
  return selector.split(':', 2).join(':')
}
