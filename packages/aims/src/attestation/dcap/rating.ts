import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import type { DcapPlatform } from './pck.ts'
import { masked } from './qe-identity.ts'
import type { TdReport } from './report-body.ts'
import type { IsvLevel, RatedLevel, TcbInfo, TcbLevel, TdxModuleIdentity } from './tcb-info.ts'
import { converge, needsConfiguration, type TcbStatus } from './tcb-status.ts'

/** What a platform and everything its quote went through is rated. */
export interface Rating {
  readonly status: TcbStatus
  /** Of all levels that count, without repetition. */
  readonly advisories: readonly string[]
  /** Seconds since the epoch: the earliest date of the levels that count. */
  readonly date: number
}

/**
 * Rates an SGX platform: its level, made worse by that of the quoting enclave.
 *
 * @throws {@link AimsError} `attestation.tcb_unknown` when no level fits: that is never "up to date" (N14)
 */
export function rateSgx(info: TcbInfo, platform: DcapPlatform, qe: IsvLevel): Rating {
  const level = info.levels.find((one) => reachesSgx(platform, one))
  if (level === undefined) throw noLevel('the platform')
  return rating(converge(level.status, qe.status), [level, qe])
}

/**
 * Rates a TDX platform: its level, made worse by those of the TDX module and the quoting enclave; a guest that was
 * launched under an old module which has been updated since is advised to be launched again.
 *
 * @throws {@link AimsError} `attestation.tcb_unknown`, `.chain_invalid` when the module is not Intel's
 * @see Intel DCAP QuoteVerificationLibrary, sections 4.1.2.4.11 and 4.1.2.4.17
 */
export function rateTdx(info: TcbInfo, platform: DcapPlatform, report: TdReport, qe: IsvLevel): Rating {
  const moduleLevel = rateModule(info, report)
  const reached = info.levels.filter((one) => reachesSgx(platform, one))
  const [sgxLevel] = reached
  const level = reached.find((one) => reachesTdx(report.teeTcbSvn, one))
  if (sgxLevel === undefined || level === undefined) throw noLevel('the platform')
  const moduleStatus = moduleLevel?.status ?? 'UpToDate'
  const atLaunch = converge(level.status, moduleStatus)
  const status =
    report.teeTcbSvn2 !== undefined &&
    qe.status === 'UpToDate' &&
    isCurrent(sgxLevel.status) &&
    isOutOfDate(atLaunch) &&
    moduleStatus === 'OutOfDate' &&
    isLatestModule(info, report.teeTcbSvn2)
      ? needsConfiguration(sgxLevel.status) || needsConfiguration(atLaunch)
        ? 'TDRelaunchAdvisedConfigurationNeeded'
        : 'TDRelaunchAdvised'
      : atLaunch
  return rating(converge(status, qe.status), moduleLevel === undefined ? [level, qe] : [level, moduleLevel, qe])
}

function reachesSgx(platform: DcapPlatform, level: TcbLevel): boolean {
  return (
    platform.pceSvn >= level.pceSvn && level.sgx.every((needed, at) => (platform.componentSvns[at] as number) >= needed)
  )
}

// Modules with a major version are rated by their identity; then components 0 and 1 are theirs and do not count here.
function reachesTdx(svn: Uint8Array, level: TcbLevel): boolean {
  const first = (svn[1] as number) > 0 ? 2 : 0
  return level.tdx.every((needed, at) => at < first || (svn[at] as number) >= needed)
}

function rateModule(info: TcbInfo, report: TdReport): IsvLevel | undefined {
  const [isvSvn, version] = [report.teeTcbSvn[0] as number, report.teeTcbSvn[1] as number]
  const identity = version > 0 ? findIdentity(info, version) : undefined
  const expected = identity ?? info.module
  if (expected === undefined) throw noLevel('the TDX module')
  // Intel: all attributes of a module are reserved, whatever the mask.
  const isIntels =
    asBuffer(report.mrSignerSeam).equals(expected.mrSigner) &&
    masked(report.seamAttributes, expected.attributesMask).equals(expected.attributes) &&
    report.seamAttributes.every((byte) => byte === 0)
  if (!isIntels) throw new AimsError('attestation.chain_invalid', "the TDX module is not the one of Intel's statement")
  if (identity === undefined) return undefined
  const level = identity.levels.find((one) => isvSvn >= one.isvSvn)
  if (level === undefined) throw noLevel('the TDX module')
  return level
}

function findIdentity({ moduleIdentities }: TcbInfo, version: number): TdxModuleIdentity {
  const id = `TDX_${version.toString(16).padStart(2, '0').toUpperCase()}`
  const found = moduleIdentities.find((one) => one.id === id)
  if (found === undefined) throw noLevel('the TDX module')
  return found
}

function isLatestModule(info: TcbInfo, svn: Uint8Array): boolean {
  const [isvSvn, version, microcode] = [svn[0] as number, svn[1] as number, svn[2] as number]
  const latest = info.levels[0] as TcbLevel
  const needed = version === 0 ? latest.tdx[0] : findIdentity(info, version).levels[0]?.isvSvn
  return isvSvn >= (needed as number) && microcode >= (latest.tdx[2] as number)
}

function isCurrent(status: TcbStatus): boolean {
  return !isOutOfDate(status) && status !== 'Revoked'
}

function isOutOfDate(status: TcbStatus): boolean {
  return status === 'OutOfDate' || status === 'OutOfDateConfigurationNeeded'
}

function rating(status: TcbStatus, levels: readonly RatedLevel[]): Rating {
  return {
    status,
    advisories: [...new Set(levels.flatMap(({ advisories }) => advisories))],
    date: Math.min(...levels.map(({ date }) => date)),
  }
}

function noLevel(what: string): AimsError {
  return new AimsError('attestation.tcb_unknown', `no level that Intel lists fits ${what}`)
}
