import type { JsonValue } from '../base/json.ts'
import { isSpiffeId, type SpiffeId } from '../identifiers/spiffe-id.ts'
import { isSelector } from './selector.ts'

/** One agent by its SPIFFE ID, or all agents whose attestation shows every one of these selectors. */
export type AgentGroup = SpiffeId | readonly string[]

/** What is known about an agent. */
export interface AttestedAgent {
  readonly spiffeId: SpiffeId
  /** What its attestation found out, e.g. `x509-pop:subject-cn:web-1`. */
  readonly selectors: readonly string[]
}

/** True for a well-formed group in JSON. */
export function isAgentGroup(value: JsonValue): value is AgentGroup {
  if (typeof value === 'string') return isSpiffeId(value)
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= 16 &&
    value.every((one: JsonValue) => typeof one === 'string' && isSelector(one))
  )
}

/** True when an agent is one of the groups. An entry without groups has no agent on another host. */
export function isServedBy(
  { agents = [] }: { readonly agents?: readonly AgentGroup[] },
  { spiffeId, selectors }: AttestedAgent,
): boolean {
  const shown = new Set(selectors)
  return agents.some((group) =>
    typeof group === 'string' ? group === spiffeId : group.length > 0 && group.every((selector) => shown.has(selector)),
  )
}
