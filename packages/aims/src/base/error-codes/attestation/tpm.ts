/** Why evidence of a TPM is refused, beyond what all types share. */
export const TPM_CODES = {
  'attestation.activation_failed':
    'the secret of this challenge did not come back from the TPM that was challenged: activate its credential again',
} as const
