/** What Intel says about a TCB level, from best to worst as far as they can be compared. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const

/** A status of Intel. The two `TDRelaunch...` are never in collateral: they follow from a TD report of version 1.5. */
export type TcbStatus = (typeof TCB_STATUSES)[number]

/** What TCB levels of platforms may say. */
export const PLATFORM_STATUSES: readonly TcbStatus[] = TCB_STATUSES.filter((one) => !one.startsWith('TDRelaunch'))
/** What levels of the quoting enclave and of TDX modules may say. */
export const ENCLAVE_STATUSES: readonly TcbStatus[] = ['UpToDate', 'OutOfDate', 'Revoked']

const OUT_OF_DATE: { readonly [status in TcbStatus]?: TcbStatus } = {
  UpToDate: 'OutOfDate',
  SWHardeningNeeded: 'OutOfDate',
  ConfigurationNeeded: 'OutOfDateConfigurationNeeded',
  ConfigurationAndSWHardeningNeeded: 'OutOfDateConfigurationNeeded',
}

/**
 * The status of a platform together with that of its quoting enclave or TDX module: what is out of date or revoked below
 * makes the whole so.
 *
 * @see Intel DCAP QuoteVerificationLibrary, section 4.1.2.4.17
 */
export function converge(platform: TcbStatus, part: TcbStatus): TcbStatus {
  if (part === 'Revoked') return 'Revoked'
  if (part === 'OutOfDate') return OUT_OF_DATE[platform] ?? platform
  return platform
}

/** Whether a status asks for another configuration of the platform. */
export function needsConfiguration(status: TcbStatus): boolean {
  return status.includes('Configuration')
}
