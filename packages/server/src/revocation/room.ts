import { AimsError } from 'aims/base'
import { MAX_REVOCATION_BYTES, MAX_REVOCATIONS, type Revocation } from 'aims/credentials'
import { isSelfOrDescendant, type SpiffeId, type WorkloadId } from 'aims/identifiers'

/** Of the list, what is left to operators whatever agents do, and what one agent may take for its sub-agents. */
const SHARES = { agents: 1 / 2, one: 1 / 16 } as const

/**
 * Refuses revocations for which the list has no room: readers would not take it, and then accept nobody. A newer revocation
 * of what is listed already takes the place of the older one.
 *
 * @param root - The agent that revokes a sub-agent of its own. Absent: an operator revokes.
 * @throws {@link AimsError} `provisioning.revocations_full`
 */
export function requireRoom(
  next: readonly Revocation[],
  listed: readonly Revocation[],
  root: SpiffeId | undefined,
): void {
  const named = new Set(next.map(nameOf))
  const all = [...listed.filter((one) => !named.has(nameOf(one))), ...next]
  requireWithin(all, 1, 'the list of revocations is full')
  if (root === undefined) return
  requireWithin(all, SHARES.agents, 'the part of the list of revocations that is for agents is full')
  const own = all.filter(({ type, value }) => type === 'subject' && isSelfOrDescendant(value as WorkloadId, root))
  requireWithin(own, SHARES.one, 'the agent has revoked as many sub-agents as one may: revoke one above them')
}

function nameOf({ type, value }: Revocation): string {
  return `${type} ${value}`
}

function requireWithin(list: readonly Revocation[], share: number, message: string): void {
  const isWithin =
    list.length <= MAX_REVOCATIONS * share &&
    Buffer.byteLength(JSON.stringify(list)) <= Math.floor(MAX_REVOCATION_BYTES * share)
  if (!isWithin) throw new AimsError('provisioning.revocations_full', message)
}
