import { AimsError } from '../../base/errors.ts'
import { pathOf } from '../../identifiers/spiffe-id.ts'
import type { RegistrationEntry } from '../entry.ts'
import { selectorStrength } from './selector-strength.ts'

/** Where agents are, unless somebody says otherwise. */
export const AGENT_PREFIXES: readonly string[] = ['/agent/']

/** True when the SPIFFE ID is below one of the paths where agents are. */
export function isAgent({ spiffeId }: Pick<RegistrationEntry, 'spiffeId'>, prefixes: readonly string[]): boolean {
  const path = pathOf(spiffeId)
  return prefixes.some((prefix) => path.startsWith(prefix))
}

/**
 * Refuses an agent that nobody answers for, that has no purpose, or whose selectors two agents at a time could show. Other
 * entries pass.
 *
 * @param prefixes - Paths below which agents are, each with a slash at both ends.
 * @throws {@link AimsError} `provisioning.owner_missing`, `.purpose_missing`, `.class_selectors`
 * @see AIMS ID-5
 */
export function requireAgentRules(entry: RegistrationEntry, prefixes: readonly string[] = AGENT_PREFIXES): void {
  if (!isAgent(entry, prefixes)) return
  if (entry.owner.trim() === '')
    throw new AimsError('provisioning.owner_missing', 'owner is missing: who answers for it')
  if (entry.purpose.trim() === '')
    throw new AimsError('provisioning.purpose_missing', 'purpose is missing: what is it for')
  if (!entry.shared && selectorStrength(entry) === 'class') {
    throw new AimsError(
      'provisioning.class_selectors',
      'selectors tell a class of workloads and not one agent; several that share one identity say shared: true',
    )
  }
}
