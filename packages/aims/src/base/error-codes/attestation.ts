import { CONTAINER_CODES } from './attestation/container.ts'
import { EVIDENCE_CODES } from './attestation/evidence.ts'
import { TPM_CODES } from './attestation/tpm.ts'
import { UNIX_CODES } from './attestation/unix.ts'

/** Why a workload or node could not be attested. Without attestation there is no identity. */
export const ATTESTATION_CODES: typeof UNIX_CODES & typeof CONTAINER_CODES & typeof EVIDENCE_CODES & typeof TPM_CODES =
  {
    ...UNIX_CODES,
    ...CONTAINER_CODES,
    ...EVIDENCE_CODES,
    ...TPM_CODES,
  }
