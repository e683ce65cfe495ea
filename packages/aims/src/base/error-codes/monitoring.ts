export const MONITORING_CODES = {} as const
