import type { AimsError, AuditEvent } from 'aims/base'
import type { DownstreamServer } from './downstream.ts'

/** What servers below this one do here. */
type DownstreamAction = 'certify' | 'publish'

function eventOf(
  { id, serialNumber }: DownstreamServer,
  action: DownstreamAction,
  correlationId: string,
): Omit<AuditEvent, 'type' | 'decision'> {
  const credential = { type: 'x509-svid', id: serialNumber }
  return {
    agent: { id, credential, method: 'mtls' },
    resource: { type: 'signing-key', id },
    action,
    correlationId,
  }
}

/** The CA of a server below this one is certified. */
export function certified(
  server: DownstreamServer,
  ca: { readonly thumbprint: string; readonly expiresAt: number },
  correlationId: string,
): AuditEvent {
  return {
    ...eventOf(server, 'certify', correlationId),
    type: 'provisioning.ca-certified',
    decision: 'allow',
    details: { ...ca },
  }
}

/** The keys of tokens of a server below this one stand in the bundle. */
export function published(
  server: DownstreamServer,
  counts: { readonly jwt: number; readonly wit: number },
  correlationId: string,
): AuditEvent {
  return {
    ...eventOf(server, 'publish', correlationId),
    type: 'provisioning.bundle-changed',
    decision: 'allow',
    details: counts,
  }
}

/** It got nothing. */
export function turnedDown(
  server: DownstreamServer,
  action: DownstreamAction,
  { code }: AimsError,
  correlationId: string,
): AuditEvent {
  return {
    ...eventOf(server, action, correlationId),
    type: 'provisioning.refused',
    decision: 'deny',
    reasons: [code],
  }
}

/** The keys of a server that is no longer one below this one leave the bundle. */
export function withdrawn(id: string, correlationId: string): AuditEvent {
  return {
    type: 'provisioning.bundle-changed',
    resource: { type: 'signing-key', id },
    action: 'withdraw',
    decision: 'allow',
    correlationId,
  }
}
