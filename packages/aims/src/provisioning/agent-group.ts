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

/** Selectors of which an agent shows one alone: two values are two machines. */
const ONE_OF_A_KIND: readonly string[] = ['join-token:name:', 'x509-pop:subject-cn:', 'spiffe:id:']

/**
 * True when one agent may serve both entries, so that a workload that shows the selectors of both has both identities. An
 * entry without groups is that of the agent beside the server, which is in no group.
 */
export function mayShareAgent(
  { agents: ours }: { readonly agents?: readonly AgentGroup[] },
  { agents: theirs }: { readonly agents?: readonly AgentGroup[] },
): boolean {
  if (ours === undefined || theirs === undefined) return ours === theirs
  return ours.some((one) => theirs.some((other) => mayBeOne(one, other)))
}

function mayBeOne(one: AgentGroup, other: AgentGroup): boolean {
  // What an agent that is named by its SPIFFE ID shows is not known here.
  if (typeof one === 'string' || typeof other === 'string') return typeof one !== typeof other || one === other
  return ONE_OF_A_KIND.every((kind) => {
    const values = new Set([...one, ...other].filter((selector) => selector.startsWith(kind)))
    return values.size < 2
  })
}
