import { AimsError } from '../../base/errors.ts'
import { appraiseTd } from '../dcap/td-appraise.ts'
import { appraiseSnp } from '../sev-snp/appraise.ts'
import type { AzureCvmClaims } from './azure-cvm.ts'
import type { AzureCvmPolicy } from './policy.ts'

/**
 * Compares a confidential VM with a policy. Returns warnings.
 *
 * @throws {@link AimsError} those of its hardware, and `attestation.not_allowed`, `.not_enough`, `.measurement_mismatch`
 */
export function appraiseAzureCvm(claims: AzureCvmClaims, policy: AzureCvmPolicy, now: number): readonly string[] {
  const { hardware } = claims
  if (!policy.tees.includes(hardware.tee)) throw notAllowed('the policy does not accept this hardware')
  const warnings =
    hardware.tee === 'sev-snp' ? appraiseSnp(hardware, policy.snp) : appraiseTd(hardware, policy.tdx, now)
  // A bank that is not active comes back empty (N19).
  if (Object.keys(claims.pcrs).length === 0) {
    throw new AimsError('attestation.not_enough', 'nothing is known about what was booted: no PCR is quoted')
  }
  if (policy.requireSecureBoot && !claims.secureBoot) throw notAllowed('secure boot is off')
  if (policy.requireUserData && !claims.isUserDataBound) {
    throw new AimsError('attestation.not_enough', 'the challenge is not in the user data of the runtime data')
  }
  if (policy.vmIds?.includes(claims.vmId) === false) throw notAllowed('the policy does not accept this machine')
  for (const [pcr, accepted] of Object.entries(policy.pcrs ?? {})) {
    if (!accepted.includes(claims.pcrs[pcr] ?? '')) {
      throw new AimsError('attestation.measurement_mismatch', 'a PCR is not quoted, or has not a reference value')
    }
  }
  return policy.pcrs === undefined ? [...warnings, 'the policy names no PCR: any boot passes'] : warnings
}

function notAllowed(message: string): AimsError {
  return new AimsError('attestation.not_allowed', message)
}
