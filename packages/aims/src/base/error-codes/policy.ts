export const POLICY_CODES = {} as const
