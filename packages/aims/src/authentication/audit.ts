import type { Check } from '../base/check.ts'
import type { AimsError, AimsErrorCode } from '../base/errors.ts'
import type { AuditEvent } from '../base/event.ts'
import { withoutSecrets } from '../base/secret-text.ts'
import type { Principal } from './principal.ts'
import type { IncomingRequest } from './request.ts'

/** A request was refused: why, after which checks, and no token that it carried. */
export function refusalOf(
  request: IncomingRequest,
  error: AimsError,
  correlationId: string,
  checks: readonly Check[] = [],
): AuditEvent {
  return {
    type: 'authentication.refused',
    resource: resourceOf(request),
    action: actionOf(request),
    decision: 'deny',
    reasons: [error.code],
    ...(checks.length === 0 ? {} : { checks }),
    correlationId,
  }
}

/** A caller still uses an older profile. */
export function compatUseOf(request: IncomingRequest, principal: Principal, correlationId: string): AuditEvent {
  return { type: 'authentication.compat-profile-used', ...useOf(request, principal, correlationId), decision: 'none' }
}

/** A caller proved who it is, and its request goes on. */
export function successOf(request: IncomingRequest, principal: Principal, correlationId: string): AuditEvent {
  return { type: 'authentication.succeeded', ...useOf(request, principal, correlationId), decision: 'allow' }
}

/** What a caller had open beyond its request was ended: its credential does not count any more. */
export function endedOf(
  { id, credential, method }: Principal,
  reason: AimsErrorCode,
  correlationId: string,
): AuditEvent {
  return {
    type: 'authentication.ended',
    agent: { id, credential, method },
    resource: { type: 'request', id: correlationId },
    action: 'continue',
    decision: 'deny',
    reasons: [reason],
    correlationId,
  }
}

function useOf(
  request: IncomingRequest,
  { id, credential, method, profile }: Principal,
  correlationId: string,
): Omit<AuditEvent, 'type' | 'decision'> {
  return {
    agent: { id, credential, method, ...(profile === undefined ? {} : { profile }) },
    resource: resourceOf(request),
    action: actionOf(request),
    correlationId,
  }
}

const MAX_RESOURCE = 512

// Without the query, which may carry secrets. Nothing that a caller sends may make its record one that the log refuses.
function resourceOf({ target }: IncomingRequest): AuditEvent['resource'] {
  const path = withoutSecrets(target.split('?', 1)[0] ?? '').slice(0, MAX_RESOURCE)
  return { type: 'http', id: path === '' ? 'none' : path }
}

function actionOf({ method }: IncomingRequest): string {
  return method === '' ? 'none' : withoutSecrets(method)
}
