export const AUTHORIZATION_CODES = {} as const
