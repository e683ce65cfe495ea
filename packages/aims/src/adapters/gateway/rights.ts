import { type Authorizer, createAuthorizer } from '../../authorization/authorizer.ts'
import type { Observer } from '../../base/event.ts'

/**
 * Decides about sub-agents where there are no policies: as every caller may there, each may do what its parent gave it, and
 * nothing beyond. `authorize` compares that before it asks this engine.
 */
export function rightsAlone(observer: Observer): Authorizer {
  const evaluation = { permits: ['within-rights'], forbids: [], failed: [] }
  return createAuthorizer({ engine: { version: 'none', evaluate: () => evaluation }, observer })
}
