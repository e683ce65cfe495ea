export const COMPLIANCE_CODES = {} as const
