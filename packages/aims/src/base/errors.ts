import type { ATTESTATION_CODES } from './error-codes/attestation.ts'
import type { AUTHENTICATION_CODES } from './error-codes/authentication.ts'
import type { AUTHORIZATION_CODES } from './error-codes/authorization.ts'
import type { BASE_CODES } from './error-codes/base.ts'
import type { COMPLIANCE_CODES } from './error-codes/compliance.ts'
import type { CREDENTIAL_CODES } from './error-codes/credential.ts'
import type { EGRESS_CODES } from './error-codes/egress.ts'
import type { IDENTIFIER_CODES } from './error-codes/identifier.ts'
import type { MONITORING_CODES } from './error-codes/monitoring.ts'
import type { OPERATION_CODES } from './error-codes/operation.ts'
import type { OUTBOUND_CODES } from './error-codes/outbound.ts'
import type { POLICY_CODES } from './error-codes/policy.ts'
import type { PROTOCOL_CODES } from './error-codes/protocols.ts'
import type { PROVISIONING_CODES } from './error-codes/provisioning.ts'

/**
 * Every reason AIMS refuses something, as `area.reason`. Codes are API: added, never renamed.
 * The tables in `error-codes/` say what each means and what to do about it.
 */
export type AimsErrorCode =
  | keyof typeof BASE_CODES
  | keyof typeof IDENTIFIER_CODES
  | keyof typeof CREDENTIAL_CODES
  | keyof typeof ATTESTATION_CODES
  | keyof typeof PROVISIONING_CODES
  | keyof typeof AUTHENTICATION_CODES
  | keyof typeof AUTHORIZATION_CODES
  | keyof typeof MONITORING_CODES
  | keyof typeof POLICY_CODES
  | keyof typeof COMPLIANCE_CODES
  | keyof typeof OPERATION_CODES
  | keyof typeof OUTBOUND_CODES
  | keyof typeof PROTOCOL_CODES
  | keyof typeof EGRESS_CODES

/** What an {@link AimsError} may carry beside its code and message. */
export interface AimsErrorOptions extends ErrorOptions {
  readonly observed?: string
}

/**
 * The one error class AIMS throws for input it refuses; misuse of the API throws `TypeError`.
 *
 * `message` is safe to log and to return: it never carries a token, key or claim value.
 */
export class AimsError extends Error {
  override readonly name = 'AimsError' as const
  readonly code: AimsErrorCode
  /** What was found in place of what was expected, for the operator's record alone: a digest or a name, never a secret. */
  declare readonly observed?: string

  constructor(code: AimsErrorCode, message: string, options: AimsErrorOptions = {}) {
    super(message, options)
    this.code = code
    // Whoever prints or serialises the error does not see it.
    if (options.observed !== undefined) Object.defineProperty(this, 'observed', { value: options.observed })
  }

  /** True for an AimsError of any copy of this package. */
  static is(value: unknown): value is AimsError {
    return value instanceof Error && value.name === 'AimsError' && typeof (value as AimsError).code === 'string'
  }
}

/** Runs `read` and gives its refusal the code of the caller's own layer; anything but an AimsError passes through. */
export function refuseAs<T>(code: AimsErrorCode, message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (AimsError.is(cause)) throw new AimsError(code, message, { cause })
    throw cause
  }
}
