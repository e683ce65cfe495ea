import type { AimsErrorCode } from '../errors.ts'
import { ATTESTATION_CODES } from './attestation.ts'
import { AUTHENTICATION_CODES } from './authentication.ts'
import { AUTHORIZATION_CODES } from './authorization.ts'
import { BASE_CODES } from './base.ts'
import { COMPLIANCE_CODES } from './compliance.ts'
import { CREDENTIAL_CODES } from './credential.ts'
import { EGRESS_CODES } from './egress.ts'
import { IDENTIFIER_CODES } from './identifier.ts'
import { MONITORING_CODES } from './monitoring.ts'
import { OPERATION_CODES } from './operation.ts'
import { OUTBOUND_CODES } from './outbound.ts'
import { POLICY_CODES } from './policy.ts'
import { PROTOCOL_CODES } from './protocols.ts'
import { PROVISIONING_CODES } from './provisioning.ts'

/** Every error code with what it means and what to do about it. `aims explain` and docs/errors.md are made of it. */
export const ERROR_CODES: { readonly [code in AimsErrorCode]: string } = {
  ...BASE_CODES,
  ...IDENTIFIER_CODES,
  ...CREDENTIAL_CODES,
  ...ATTESTATION_CODES,
  ...PROVISIONING_CODES,
  ...AUTHENTICATION_CODES,
  ...AUTHORIZATION_CODES,
  ...MONITORING_CODES,
  ...POLICY_CODES,
  ...COMPLIANCE_CODES,
  ...OPERATION_CODES,
  ...OUTBOUND_CODES,
  ...PROTOCOL_CODES,
  ...EGRESS_CODES,
}
