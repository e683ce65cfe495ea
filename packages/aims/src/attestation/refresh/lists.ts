import { AimsError } from '../../base/errors.ts'
import { parseRevocationList } from '../x509/revocation.ts'

/**
 * Refuses a revocation list that is older than the one at hand, by its number and its date.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`, `attestation.collateral_rollback`
 */
export function refuseOlderList(der: Uint8Array, present: Uint8Array | undefined): void {
  const fresh = parseRevocationList(der)
  if (present === undefined) return
  const before = parseRevocationList(present)
  if ((fresh.number ?? 0n) < (before.number ?? 0n) || fresh.thisUpdate < before.thisUpdate) {
    throw new AimsError('attestation.collateral_rollback', 'the answer is older than the file at hand')
  }
}
