export const OPERATION_CODES = {} as const
