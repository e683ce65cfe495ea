import { AimsError, type Observer } from 'aims/base'
import { parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import type { Actor, EntryRegistry } from '../entries.ts'
import type { RevocationRequest, Revocations } from './revocations.ts'

/** Ends of agents, and of single credentials. */
export interface Retirement {
  /**
   * Ends an agent: what was issued to it and to its sub-agents is revoked, its entry is deleted, and its SPIFFE ID stays
   * known and is given to nobody else. Repeated after a failure it finishes the work.
   *
   * @throws {@link AimsError} `provisioning.entry_not_found`, and what the observer throws
   */
  retire(spiffeId: string, reason: string | undefined, actor: Actor): Promise<SpiffeId>
  /** Revokes. An identity that keeps its entry gets new credentials at once. @throws {@link AimsError} as `Revocations.revoke` */
  revoke(request: RevocationRequest, actor: Actor): ReturnType<Revocations['revoke']>
  /** Revokes what was issued to each of these identities until now: all of them, or none. @throws {@link AimsError} as `revoke` */
  revokeSubjects(subjects: readonly SpiffeId[], reason: string, actor: Actor): Promise<void>
}

/** Makes the ends of agents. */
export function createRetirement({
  entries,
  revocations,
  observer,
}: {
  readonly entries: EntryRegistry
  readonly revocations: Revocations
  readonly observer: Observer
}): Retirement {
  // Agents that hold what was revoked fetch anew when the entry is another one.
  const renew = async (subjects: readonly SpiffeId[], actor: Actor): Promise<void> => {
    const found = subjects.map((subject) => entries.findBySubject(subject)).filter((entry) => entry !== undefined)
    if (found.length > 0)
      await entries.touch(
        found.map(({ id }) => id),
        actor,
      )
  }
  return {
    async retire(text, reason, actor) {
      const spiffeId = parseWorkloadSpiffeId(text)
      const entry = entries.findBySubject(spiffeId)
      if (entry === undefined && entries.findRetired(spiffeId) === undefined) {
        throw new AimsError('provisioning.entry_not_found', 'no entry has this SPIFFE ID')
      }
      await observer.record({
        type: 'provisioning.agent-retired',
        agent: { id: actor.name, method: actor.method },
        resource: { type: 'agent', id: spiffeId },
        action: 'retire',
        decision: 'allow',
        correlationId: actor.correlationId,
        remediation: { action: 'retire', cause: reason ?? 'not given' },
      })
      // No new ones first: what is issued between the two steps would be younger than the revocation.
      if (entry !== undefined) await entries.remove(entry.id, actor)
      await revocations.revoke({ type: 'subject', value: spiffeId, ...(reason === undefined ? {} : { reason }) }, actor)
      return spiffeId
    },
    async revoke(request, actor) {
      const revocation = await revocations.revoke(request, actor)
      if (revocation.type === 'subject') await renew([revocation.value as SpiffeId], actor)
      return revocation
    },
    async revokeSubjects(subjects, reason, actor) {
      await revocations.revokeAll(
        subjects.map((value) => ({ type: 'subject', value, reason })),
        actor,
      )
      await renew(subjects, actor)
    },
  }
}
