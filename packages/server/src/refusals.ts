import type { AimsErrorCode, AuditEvent, Clock, Observer } from 'aims/base'
import { type LimitedObserver, limitRefusals } from 'aims/monitoring'
import type { Caller, Route } from './http/route.ts'
import type { Metrics } from './metrics.ts'

const LIMITED = new Set<AuditEvent['type']>([
  'authentication.refused',
  'authorization.decided',
  'attestation.refused',
  'provisioning.entry-refused',
])

/**
 * An observer that records the first refusals of each caller, and counts what comes after. Of each caller by
 * itself: strangers are one, and who is known by the kernel or a certificate does not lose to them.
 */
export function limited(
  name: string,
  observer: Observer,
  { clock, metrics }: { readonly clock: Clock; readonly metrics: Metrics },
): LimitedObserver {
  return limitRefusals(observer, {
    name,
    clock,
    group: ({ type, agent }) => (LIMITED.has(type) ? (agent?.id ?? 'unknown') : undefined),
    onOmitted: () => metrics.count('aims_refusals_omitted_total'),
  })
}

/** The record of a caller that a route refused. */
export function routeRefused(
  { name, method }: Caller,
  { method: verb, path }: Route,
  { id, code }: { readonly id: string; readonly code: AimsErrorCode },
): AuditEvent {
  return {
    type: method === 'none' ? 'authentication.refused' : 'authorization.decided',
    agent: { id: name, method },
    resource: { type: 'api', id: path },
    action: verb,
    decision: 'deny',
    reasons: [code],
    correlationId: id,
  }
}
