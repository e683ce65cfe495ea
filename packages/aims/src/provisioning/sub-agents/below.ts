import type { SpiffeId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf, isSelfOrDescendant } from '../../identifiers/sub-agent-id.ts'

/**
 * True for a SPIFFE ID that is a sub-agent's of `root` and nobody else's: below it, and neither registered itself nor below
 * another identity that is. Whoever is registered answers for itself, wherever its path begins.
 *
 * @param isRegistered - Whether an entry has this SPIFFE ID.
 */
export function isSubAgentOf(id: SpiffeId, root: SpiffeId, isRegistered: (id: SpiffeId) => boolean): boolean {
  if (id === root || !isSelfOrDescendant(id, root)) return false
  // Of a SPIFFE ID, what is above it is one too.
  const between = ancestorsOf(id).slice(ancestorsOf(root).length + 1) as readonly SpiffeId[]
  return ![...between, id].some(isRegistered)
}
