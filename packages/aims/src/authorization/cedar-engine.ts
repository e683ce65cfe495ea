import { AimsError } from '../base/errors.ts'
import { findCedarProblems, loadCedar } from './cedar.ts'
import { toCedarRequest } from './cedar-request.ts'
import type { PolicyEngine, PolicySource } from './engine.ts'
import { CEDAR_SCHEMA, SCHEMA_VERSION } from './schema.ts'

/**
 * An engine on Cedar's official WASM build: policies and schema parsed once, every request checked against the schema.
 *
 * Cedar keeps the parsed set for the life of the thread, under its version: a process that loads thousands of different
 * sets grows. Validates again what `policy/` has validated, so that no other way leads to an engine.
 *
 * @throws {@link AimsError} `authorization.engine_unavailable`, `authorization.invalid_policies`
 * @see Cedar 4, "Authorization"; cedar-wasm `statefulIsAuthorized`
 */
export async function createCedarEngine(source: PolicySource): Promise<PolicyEngine> {
  const cedar = await loadCedar()
  const { version, policies } = source
  const [problem] = findCedarProblems(cedar, policies)
  if (problem !== undefined) {
    throw new AimsError('authorization.invalid_policies', `policy ${problem.policyId}: ${problem.message}`)
  }
  // fromEntries defines own members, also for names like __proto__.
  const byId = Object.fromEntries(policies.map(({ id, text }) => [id, text]))
  if (Object.keys(byId).length !== policies.length) {
    throw new AimsError('authorization.invalid_policies', 'two policies have the same id')
  }
  const parsed = [
    cedar.preparseSchema(SCHEMA_VERSION, CEDAR_SCHEMA),
    cedar.preparsePolicySet(version, { staticPolicies: byId }),
  ]
  if (parsed.some(({ type }) => type !== 'success')) {
    throw new AimsError('authorization.invalid_policies', 'Cedar could not prepare the policy set')
  }

  return {
    version,
    evaluate: (request) => {
      const answer = cedar.statefulIsAuthorized({
        ...toCedarRequest(request),
        validateRequest: true,
        preparsedSchemaName: SCHEMA_VERSION,
        preparsedPolicySetId: version,
      })
      if (answer.type === 'failure') {
        throw new AimsError('authorization.evaluation_failed', 'Cedar refused the request')
      }
      const { decision, diagnostics } = answer.response
      const reason = diagnostics.reason.toSorted()
      return {
        permits: decision === 'allow' ? reason : [],
        forbids: decision === 'deny' ? reason : [],
        // Cedar skips a policy that errors, also one that forbids.
        failed: diagnostics.errors.map(({ policyId }) => policyId).sort(),
      }
    },
  }
}
