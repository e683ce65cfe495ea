import { parsedRights } from '../credentials/delegation/delegation.ts'
import { coversRight, type Right } from '../credentials/delegation/rights.ts'
import type { AccessRequest } from './request.ts'

/**
 * True when a request is within what the caller's parent gave it. Callers that are no sub-agents have no such limits.
 *
 * @throws {@link AimsError} `credential.invalid_rights`
 */
export function isWithinRights(request: AccessRequest): boolean {
  const { delegation } = request.principal
  if (delegation === undefined) return true
  const wanted = rightOf(request)
  return parsedRights(delegation.rights).some((right) => coversRight(right, wanted))
}

function rightOf({ action, resource }: AccessRequest): Right {
  if (resource.kind === 'tool') return { action: 'call', resource: resource.server, within: resource.name }
  return action.kind === 'http'
    ? { action: action.method, resource: resource.id, within: action.path }
    : { action: action.kind, resource: resource.id }
}
