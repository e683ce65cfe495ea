export const PROVISIONING_CODES = {} as const
