import type { Decision } from './decision.ts'
import type { PolicyEngine } from './engine.ts'
import { type AccessRequest, findRequestProblem } from './request.ts'
import { isWithinRights } from './rights.ts'

/**
 * Decides a request: a policy that cannot be evaluated denies, a forbid beats every permit, and silence is a deny.
 *
 * A sub-agent gets nothing beyond the rights in its credential, whatever policies permit.
 *
 * Records nothing: services use {@link createAuthorizer}. Never throws for what a policy or a request does.
 *
 * @see AIMS, section "Agent Authorization"; rules P1 and P4 of the threat model
 */
export function authorize(request: AccessRequest, engine: PolicyEngine): Decision {
  const policySet = engine.version
  if (findRequestProblem(request) !== undefined) {
    return { effect: 'deny', because: 'invalid-request', policies: [], policySet }
  }
  try {
    // Before any policy: what a parent did not give, no policy adds.
    if (!isWithinRights(request)) return { effect: 'deny', because: 'beyond-rights', policies: [], policySet }
    const { permits, forbids, failed } = engine.evaluate(request)
    if (isNonEmpty(failed)) return { effect: 'deny', because: 'policy-error', policies: failed, policySet }
    if (isNonEmpty(forbids)) return { effect: 'deny', because: 'forbidden', policies: forbids, policySet }
    if (isNonEmpty(permits)) return { effect: 'allow', policies: permits, policySet }
    return { effect: 'deny', because: 'no-policy', policies: [], policySet }
  } catch {
    return { effect: 'deny', because: 'policy-error', policies: [], policySet }
  }
}

function isNonEmpty(ids: readonly string[]): ids is readonly [string, ...string[]] {
  return ids.length > 0
}
