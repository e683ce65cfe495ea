import type { Observer } from 'aims/base'
import type { FollowedPolicies } from 'aims/policy'

/**
 * Loads the policies of a directory into an engine, and records which version is in force.
 *
 * @returns `undefined` without a directory: every decision is then a deny.
 * @throws {@link AimsError} `policy.*`, `authorization.*`
 */
export async function loadPolicies(
  directory: string | undefined,
  observer: Observer,
): Promise<FollowedPolicies | undefined> {
  if (directory === undefined) return undefined
  // Loaded on use: a server without policies does not pay for the policy engine.
  const { followPolicies } = await import('aims/policy')
  return await followPolicies(directory, { observer })
}
