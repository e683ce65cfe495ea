import { AimsError } from '../../base/errors.ts'
import type { TpmClock } from './attest.ts'

/** Where a TPM stood at its last accepted statement. The server remembers it per endorsement key. */
export interface TpmProgress extends Pick<TpmClock, 'clock' | 'resetCount' | 'restartCount'> {
  readonly firmwareVersion: bigint
}

/**
 * Checks that a TPM has not gone back since its last accepted statement: neither its count of power cycles, nor its
 * clock within one of them, nor its firmware. A snapshot of a virtual machine that is restored goes back.
 *
 * @throws {@link AimsError} `attestation.stale`, `attestation.tcb_out_of_date`
 * @see TPM 2.0 Library, Part 1, section 36.5 (clock, reset and restart counts)
 */
export function checkTpmProgress(last: TpmProgress, current: TpmProgress): void {
  if (current.firmwareVersion < last.firmwareVersion) {
    throw new AimsError('attestation.tcb_out_of_date', 'the firmware of the TPM is older than at the last statement')
  }
  const cycles = current.resetCount - last.resetCount
  // A power cycle starts restartCount over, and may take the clock back by what it had not yet saved.
  const wentBack = current.restartCount < last.restartCount || current.clock < last.clock
  if (cycles < 0 || (cycles === 0 && wentBack)) {
    throw new AimsError('attestation.stale', 'the TPM has gone back since its last statement')
  }
}
