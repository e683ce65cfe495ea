import { randomUUID } from 'node:crypto'
import type { PolicyEngine } from 'aims/authorization'
import type { Observer } from 'aims/base'

/**
 * Loads the policies of a directory into an engine, and records which version is in force.
 *
 * @returns `undefined` without a directory: every decision is then a deny.
 * @throws {@link AimsError} `policy.*`, `authorization.*`
 */
export async function loadPolicies(
  directory: string | undefined,
  observer: Observer,
): Promise<PolicyEngine | undefined> {
  if (directory === undefined) return undefined
  // Loaded on use: a server without policies does not pay for the policy engine.
  const [{ loadPolicyDirectory }, { createCedarEngine }] = await Promise.all([
    import('aims/policy'),
    import('aims/authorization'),
  ])
  const set = await loadPolicyDirectory(directory)
  const engine = await createCedarEngine(set)
  await observer.record({
    type: 'policy.loaded',
    resource: { type: 'policy-set', id: set.version },
    action: 'load',
    decision: 'none',
    correlationId: randomUUID(),
    details: { policies: set.policies.length },
  })
  return engine
}
