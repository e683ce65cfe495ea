import { type AimsError, type AuditEvent, canonicalJson, sha256Base64url } from 'aims/base'
import { entryToJson, type RegistrationEntry } from 'aims/provisioning'
import type { Actor } from '../entries.ts'

/** The record of a change. */
export function changeEvent(type: AuditEvent['type'], entry: RegistrationEntry, actor: Actor): AuditEvent {
  return {
    type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'entry', id: entry.id },
    action: type.slice(type.indexOf('entry-')),
    decision: 'allow',
    correlationId: actor.correlationId,
    details: {
      spiffeId: entry.spiffeId,
      revision: entry.revision,
      selectors: entry.selectors.join(' '),
      // Ties the record to the whole entry, however long it is (L2).
      contentHash: sha256Base64url(canonicalJson(entryToJson(entry))),
    },
  }
}

/** The record of a change that was refused. */
export function refusedEvent(
  action: string,
  { code }: AimsError,
  actor: Actor,
  { id = 'new' }: { readonly id?: string } = {},
): AuditEvent {
  return {
    type: 'provisioning.entry-refused',
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'entry', id },
    action,
    decision: 'deny',
    reasons: [code],
    correlationId: actor.correlationId,
  }
}
