import { AimsError, type AimsErrorCode, ERROR_CODES } from 'aims/base'

/** An RFC 9457 problem document. `id` finds everything about the request with `aims explain`. */
export interface Problem {
  readonly title: string
  readonly status: number
  readonly code: AimsErrorCode
  readonly id: string
  /** For callers on this machine only. */
  readonly detail?: string
}

// Areas of codes and the status they mean; what is absent is 500.
const STATUS_BY_AREA: { readonly [area: string]: number } = {
  identifier: 400,
  json: 400,
  key: 400,
  credential: 400,
  attestation: 403,
  provisioning: 400,
  bundle: 400,
  authorization: 400,
  policy: 400,
  monitoring: 503,
  storage: 503,
}

// Where one code differs from its area.
const STATUS_BY_CODE: { readonly [code in AimsErrorCode]?: number } = {
  'attestation.malformed': 400,
  'attestation.too_large': 413,
  'attestation.unknown_type': 400,
  'attestation.challenge_unknown': 409,
  'attestation.replayed': 409,
  'attestation.taken': 409,
  'attestation.collateral_missing': 503,
  'attestation.collateral_expired': 503,
  'provisioning.key_proof_invalid': 403,
  'provisioning.no_identity': 403,
  'credential.key_reuse': 409,
  'provisioning.agent_banned': 403,
  'provisioning.agent_unknown': 401,
  'provisioning.agent_not_found': 404,
  'provisioning.entry_not_found': 404,
  'provisioning.entry_exists': 409,
  'provisioning.subject_taken': 409,
  'provisioning.subject_fixed': 409,
  'provisioning.subject_retired': 409,
  'provisioning.revision_conflict': 409,
  'provisioning.not_delegated': 403,
  'provisioning.federation_not_found': 404,
  'provisioning.federation_configured': 409,
  'provisioning.not_entitled': 403,
  'provisioning.profile_disabled': 403,
  'provisioning.sub_agents_not_allowed': 403,
  'provisioning.sub_agents_too_deep': 403,
  'provisioning.rights_exceeded': 403,
  'provisioning.too_many_sub_agents': 409,
  'provisioning.parent_expired': 403,
  'provisioning.revocations_full': 503,
  'provisioning.authority_expired': 503,
  'provisioning.authority_not_found': 404,
  'provisioning.authority_prepared': 409,
  'provisioning.authority_unpublished': 409,
  'provisioning.authority_active': 409,
  'provisioning.authority_state': 409,
  'audit.missing_field': 400,
  'audit.unknown_field': 400,
  'audit.invalid_field': 400,
  'audit.forbidden_value': 400,
  'audit.too_large': 413,
  'audit.unknown_index': 404,
  'operation.request_malformed': 400,
  'operation.key_manager_unavailable': 503,
  'operation.upstream_unreadable': 503,
  'operation.upstream_unreachable': 503,
  'operation.upstream_refused': 503,
  'operation.upstream_invalid': 503,
  'provisioning.no_downstream': 409,
  'provisioning.upstream_expiring': 503,
  'provisioning.upstream_unusable': 503,
  'operation.key_manager_refused': 503,
  'operation.key_manager_denied': 503,
  'operation.key_manager_throttled': 503,
  'operation.key_manager_timeout': 503,
  'operation.key_manager_invalid': 503,
  'operation.key_manager_missing': 503,
  'operation.request_too_large': 413,
  'operation.unsupported_media_type': 415,
  'operation.unknown_route': 404,
  'operation.backup_unknown': 404,
  'operation.method_not_allowed': 405,
  'operation.host_not_allowed': 421,
  'operation.origin_not_allowed': 403,
  'operation.unauthenticated': 401,
  'operation.not_permitted': 403,
  'operation.rate_limited': 429,
  'operation.busy': 503,
  'operation.shutting_down': 503,
}

/** What to answer for an error. What is not an {@link AimsError} says nothing but `operation.internal`. */
export function problemFor(error: unknown, id: string, options: { readonly showDetail: boolean }): Problem {
  const code = AimsError.is(error) ? error.code : 'operation.internal'
  const status = STATUS_BY_CODE[code] ?? STATUS_BY_AREA[code.slice(0, code.indexOf('.'))] ?? 500
  const detail = AimsError.is(error) && options.showDetail ? { detail: error.message } : {}
  return { title: ERROR_CODES[code], status, code, id, ...detail }
}
