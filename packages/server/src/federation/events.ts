import { type AuditEvent, sha256Base64url } from 'aims/base'
import { bundleContent, type TrustBundle } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { FederationRelationship } from 'aims/provisioning'
import type { Actor } from '../entries.ts'

function event(type: AuditEvent['type'], trustDomain: TrustDomain, actor: Actor): Omit<AuditEvent, 'action'> {
  return {
    type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'trust-domain', id: trustDomain },
    decision: 'allow',
    correlationId: actor.correlationId,
  }
}

/** A relationship began, or became another one. */
export function relationshipSet(one: FederationRelationship, actor: Actor): AuditEvent {
  const { trustDomain, url, profile, endpointSpiffeId, networks, redirects } = one
  return {
    ...event('provisioning.federation-set', trustDomain, actor),
    action: 'federate',
    details: {
      url,
      profile,
      ...(endpointSpiffeId === undefined ? {} : { endpointSpiffeId }),
      ...(networks.length === 0 ? {} : { networks: networks.join(' ') }),
      redirects,
      // Ties the record to the bundle and the authorities, too.
      contentHash: sha256Base64url(JSON.stringify(one)),
    },
  }
}

/** A relationship ended. */
export function relationshipEnded(trustDomain: TrustDomain, actor: Actor): AuditEvent {
  return { ...event('provisioning.federation-ended', trustDomain, actor), action: 'end-federation' }
}

/** A bundle came from its endpoint, or from an operator. */
export function bundleTaken(
  bundle: TrustBundle,
  facts: { readonly changed: boolean; readonly action: 'fetch' | 'import' },
  actor: Actor,
): AuditEvent {
  const { trustDomain, sequence, x509Authorities, jwtAuthorities, witAuthorities } = bundle
  return {
    ...event('provisioning.bundle-fetched', trustDomain, actor),
    action: facts.action,
    details: {
      changed: facts.changed,
      ...(sequence === undefined ? {} : { sequence: String(sequence) }),
      x509Keys: x509Authorities.length,
      jwtKeys: jwtAuthorities.size,
      witKeys: witAuthorities.size,
      contentHash: sha256Base64url(bundleContent(bundle)),
    },
  }
}

/** A bundle did not come, or was refused. What was held before stays. */
export function bundleRefused(
  trustDomain: TrustDomain,
  reasons: readonly string[],
  action: 'fetch' | 'import',
  actor: Actor,
): AuditEvent {
  return { ...event('provisioning.bundle-refused', trustDomain, actor), action, decision: 'deny', reasons }
}
