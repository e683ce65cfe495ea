import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { member } from './signed-json.ts'
import { ENCLAVE_STATUSES, PLATFORM_STATUSES, type TcbStatus } from './tcb-status.ts'

/** What Intel says of everything at or above a set of security versions. */
export interface RatedLevel {
  readonly status: TcbStatus
  /** Seconds since the epoch: when the level was known to be good. */
  readonly date: number
  readonly advisories: readonly string[]
}

/** A level of a platform: 16 components of SGX, 16 of TDX in TCB info for TDX, and the PCE. */
export interface TcbLevel extends RatedLevel {
  readonly sgx: readonly number[]
  /** Empty in TCB info for SGX. */
  readonly tdx: readonly number[]
  readonly pceSvn: number
}

/** A level of one enclave or TDX module. */
export interface IsvLevel extends RatedLevel {
  readonly isvSvn: number
}

/** What a TDX module must be. */
export interface TdxModule {
  readonly mrSigner: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
}

/** A TDX module of one major version, with its levels from the newest. */
export interface TdxModuleIdentity extends TdxModule {
  /** E.g. `TDX_03`. */
  readonly id: string
  readonly levels: readonly IsvLevel[]
}

/** The platforms of one FMSPC as Intel rates them. Version 2 (SGX) or 3. */
export interface TcbInfo extends Window {
  readonly id: 'SGX' | 'TDX'
  readonly version: number
  /** Lower-case hex. */
  readonly fmspc: string
  /** Lower-case hex. */
  readonly pceId: string
  /** From the newest, as sorted here: the order in the file is not trusted. */
  readonly levels: readonly TcbLevel[]
  readonly module?: TdxModule
  readonly moduleIdentities: readonly TdxModuleIdentity[]
}

/** When a statement holds, and its number in Intel's recovery events. */
export interface Window {
  /** Seconds since the epoch. */
  readonly issueDate: number
  /** Seconds since the epoch. */
  readonly nextUpdate: number
  readonly evaluationNumber: number
}

const COMPONENTS = 16

/**
 * Reads TCB info. Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 * @see Intel PCS API, "Get TCB Info", version 4
 */
export function readTcbInfo(object: JsonObject): TcbInfo {
  const version = member.integer(object, 'version')
  if (version !== 2 && version !== 3) throw malformed('this version of TCB info is not known')
  const id = version === 2 ? 'SGX' : member.word(object, 'id', ['SGX', 'TDX'] as const)
  if (member.integer(object, 'tcbType') !== 0) throw malformed('this type of TCB info is not known')
  if (id === 'SGX' && ('tdxModule' in object || 'tdxModuleIdentities' in object)) {
    throw malformed('TCB info for SGX speaks of TDX modules')
  }
  const readLevel = (level: JsonObject) => readTcbLevel(level, version, id)
  const levels = [...member.list(object, 'tcbLevels', readLevel)].sort((a, b) => compareLevels(b, a))
  if (levels.some((level, at) => at > 0 && compareLevels(level, levels[at - 1] as TcbLevel) === 0)) {
    throw malformed('a TCB level is repeated')
  }
  return {
    id,
    version,
    ...readWindow(object),
    fmspc: member.hex(object, 'fmspc', 6).toString('hex'),
    pceId: member.hex(object, 'pceId', 2).toString('hex'),
    levels,
    ...(id === 'TDX' ? { module: readModule(member.object(object, 'tdxModule')) } : {}),
    moduleIdentities:
      'tdxModuleIdentities' in object ? member.list(object, 'tdxModuleIdentities', readModuleIdentity) : [],
  }
}

/** Reads when a statement holds. */
export function readWindow(object: JsonObject): Window {
  return {
    issueDate: member.date(object, 'issueDate'),
    nextUpdate: member.date(object, 'nextUpdate'),
    evaluationNumber: member.integer(object, 'tcbEvaluationDataNumber'),
  }
}

/** Reads the levels of an enclave or module, from the newest. */
export function readIsvLevels(object: JsonObject): readonly IsvLevel[] {
  const levels = member.list(object, 'tcbLevels', (level) => ({
    isvSvn: member.integer(member.object(level, 'tcb'), 'isvsvn', 0xffff),
    ...readRating(level, ENCLAVE_STATUSES),
  }))
  return [...levels].sort((a, b) => b.isvSvn - a.isvSvn)
}

function readTcbLevel(level: JsonObject, version: number, id: 'SGX' | 'TDX'): TcbLevel {
  const tcb = member.object(level, 'tcb')
  return {
    sgx: version === 2 ? numberedComponents(tcb) : components(tcb, 'sgxtcbcomponents'),
    tdx: id === 'TDX' ? components(tcb, 'tdxtcbcomponents') : [],
    pceSvn: member.integer(tcb, 'pcesvn', 0xffff),
    ...readRating(level, PLATFORM_STATUSES),
  }
}

// Exactly 16 each: a shorter list would leave components out of the comparison (N12).
function components(tcb: JsonObject, name: string): readonly number[] {
  const list = member.list(tcb, name, (one) => member.integer(one, 'svn', 0xffff))
  if (list.length !== COMPONENTS) throw malformed('a TCB level has not 16 components')
  return list
}

function numberedComponents(tcb: JsonObject): readonly number[] {
  return Array.from({ length: COMPONENTS }, (_, at) =>
    member.integer(tcb, `sgxtcbcomp${String(at + 1).padStart(2, '0')}svn`, 0xffff),
  )
}

function readRating(level: JsonObject, statuses: readonly TcbStatus[]): RatedLevel {
  return {
    status: member.word(level, 'tcbStatus', statuses),
    date: member.date(level, 'tcbDate'),
    advisories: member.texts(level, 'advisoryIDs'),
  }
}

function readModule(object: JsonObject): TdxModule {
  return {
    mrSigner: member.hex(object, 'mrsigner', 48),
    attributes: member.hex(object, 'attributes', 8),
    attributesMask: member.hex(object, 'attributesMask', 8),
  }
}

function readModuleIdentity(object: JsonObject): TdxModuleIdentity {
  const { id } = object
  if (typeof id !== 'string' || !/^TDX_[0-9A-Fa-f]{2}$/.test(id)) throw malformed('a TDX module has no known id')
  return { id: id.toUpperCase(), ...readModule(object), levels: readIsvLevels(object) }
}

function compareLevels(a: TcbLevel, b: TcbLevel): number {
  const [left, right] = [
    [...a.sgx, ...a.tdx, a.pceSvn],
    [...b.sgx, ...b.tdx, b.pceSvn],
  ]
  for (const [at, value] of left.entries()) if (value !== right[at]) return value - (right[at] as number)
  return 0
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.collateral_malformed', message)
}
