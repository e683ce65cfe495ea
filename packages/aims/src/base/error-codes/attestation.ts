export const ATTESTATION_CODES = {} as const
