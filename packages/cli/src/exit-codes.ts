import { AimsError, type AimsErrorCode } from 'aims/base'

/** What a program ends with: 0 done, 1 a negative answer, 2 wrong use, 3 could not be done. */
export type ExitCode = 0 | 1 | 2 | 3

// By the area of the code. An area that is absent: could not be done.
const BY_AREA: { readonly [area: string]: ExitCode } = {
  identifier: 1,
  attestation: 1,
  credential: 1,
  x509: 1,
  bundle: 1,
  jose: 1,
  proof: 1,
  authentication: 1,
  authorization: 1,
  provisioning: 1,
  policy: 1,
}

// Where one code differs from its area.
const BY_CODE: { readonly [code in AimsErrorCode]?: ExitCode } = {
  'attestation.policy_malformed': 2,
  'egress.secret_invalid': 2,
  'egress.secret_unknown': 1,
  'operation.config_invalid': 2,
  'operation.config_unreadable': 2,
  'operation.request_malformed': 2,
  'operation.not_permitted': 1,
  'operation.unauthenticated': 1,
  'policy.unreadable': 3,
  'provisioning.malformed_entry': 2,
  'provisioning.malformed_file': 2,
  'provisioning.malformed_selector': 2,
  'provisioning.no_selectors': 2,
  'provisioning.unknown_member': 2,
  'provisioning.federation_malformed': 2,
  'provisioning.missing_member': 2,
  'provisioning.no_endpoint': 2,
  'provisioning.invalid_endpoint': 2,
  'provisioning.endpoint_unavailable': 3,
  'provisioning.endpoint_refused': 3,
  'provisioning.unimplemented': 3,
  'provisioning.malformed_message': 3,
  'provisioning.message_too_large': 3,
  'provisioning.invalid_response': 3,
  'provisioning.timeout': 3,
  'provisioning.closed': 3,
}

/** The exit code for an error that ended a program or a command; what is not an {@link AimsError} could not be done. */
export function exitCodeFor(error: unknown): ExitCode {
  if (!AimsError.is(error)) return 3
  return BY_CODE[error.code] ?? BY_AREA[error.code.slice(0, error.code.indexOf('.'))] ?? 3
}
