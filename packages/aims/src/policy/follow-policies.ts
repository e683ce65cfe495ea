import { randomUUID } from 'node:crypto'
import { createCedarEngine } from '../authorization/cedar-engine.ts'
import type { PolicyEngine } from '../authorization/engine.ts'
import { AimsError } from '../base/errors.ts'
import type { Observer } from '../base/event.ts'
import { loadPolicyDirectory } from './policy-directory.ts'

/** An engine whose policy set is exchanged while it is in use, as a whole. */
export interface FollowedPolicies extends PolicyEngine {
  /** Of the set in force now. */
  readonly version: string
  /**
   * Reads the directory again. A set that cannot be used, or whose coming into force cannot be recorded, changes nothing: the
   * one before decides on, and `policy.refused` is recorded.
   *
   * @returns The version in force.
   * @throws {@link AimsError} `policy.*`, `authorization.*`; whatever the observer rejects with
   */
  reload(): Promise<string>
}

/**
 * Loads the policies of a directory into an engine and records which set is in force: `policy.loaded`. It is not looked at
 * again until `reload`: who writes several files says when they belong together.
 *
 * @throws {@link AimsError} `policy.*`, `authorization.*`: without a first set there is no engine
 */
export async function followPolicies(
  directory: string,
  { observer }: { readonly observer: Observer },
): Promise<FollowedPolicies> {
  const load = async (): Promise<PolicyEngine> => {
    const set = await loadPolicyDirectory(directory)
    const engine = await createCedarEngine(set)
    // First of all: what decides is in the log before it decides.
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
  let current = await load()

  const exchange = async (): Promise<string> => {
    try {
      current = await load()
      return current.version
    } catch (error) {
      if (AimsError.is(error)) await observer.record(refusedEvent(error, current.version))
      throw error
    }
  }
  // One after the other, so that the newest is what stays.
  let last: Promise<unknown> = Promise.resolve()
  return {
    get version() {
      return current.version
    },
    evaluate: (request) => current.evaluate(request),
    reload() {
      const next = last.then(exchange)
      last = next.catch(() => undefined)
      return next
    },
  }
}

function refusedEvent({ code }: AimsError, version: string): Parameters<Observer['record']>[0] {
  return {
    type: 'policy.refused',
    resource: { type: 'policy-set', id: 'unknown' },
    action: 'load',
    decision: 'deny',
    reasons: [code],
    correlationId: randomUUID(),
    details: { inForce: version },
  }
}
