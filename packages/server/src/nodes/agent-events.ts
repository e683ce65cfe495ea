import type { AimsError, AuditEvent } from 'aims/base'
import type { Posture } from 'aims/provisioning'
import type { Actor } from '../entries.ts'
import type { RegisteredAgent } from '../store/agent-store.ts'

/** A machine was let in as an agent. */
export function admitted(
  agent: RegisteredAgent,
  posture: Posture,
  assurance: string,
  correlationId: string,
): AuditEvent {
  return {
    type: 'attestation.succeeded',
    agent: { id: agent.spiffeId },
    resource: { type: 'agent', id: agent.id },
    action: 'attest',
    decision: 'allow',
    correlationId,
    posture,
    details: { assurance, mayReattest: agent.mayReattest },
  }
}

/** A machine was not let in, or an agent got no new SVID. */
export function turnedAway(
  action: 'attest' | 'renew',
  who: { readonly spiffeId: string } | undefined,
  { code }: AimsError,
  correlationId: string,
): AuditEvent {
  return {
    type: action === 'attest' ? 'attestation.refused' : 'provisioning.refused',
    ...(who === undefined ? {} : { agent: { id: who.spiffeId } }),
    resource: { type: 'agent', id: who?.spiffeId ?? 'unknown' },
    action,
    decision: 'deny',
    reasons: [code],
    correlationId,
  }
}

/** An operator changed what an agent may. */
export function decided(
  type: 'provisioning.agent-banned' | 'provisioning.agent-evicted',
  { id, spiffeId, type: evidence }: RegisteredAgent,
  actor: Actor,
): AuditEvent {
  return {
    type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'agent', id },
    action: type.slice(type.lastIndexOf('-') + 1),
    decision: 'allow',
    correlationId: actor.correlationId,
    details: { spiffeId, evidence },
  }
}
