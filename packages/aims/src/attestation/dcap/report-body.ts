import { LittleEndianReader } from './reader.ts'

/** REPORT of an SGX enclave, 384 bytes. Numbers are little-endian in the bytes; measurements are as they stand. */
export interface SgxReport {
  readonly kind: 'sgx'
  readonly cpuSvn: Uint8Array
  readonly miscSelect: number
  /** Flags (8 bytes) and XFRM (8 bytes). */
  readonly attributes: Uint8Array
  /** 32 bytes: what was loaded. */
  readonly mrEnclave: Uint8Array
  /** 32 bytes: SHA-256 of the key that signed it. */
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  /** 64 bytes the enclave chose. */
  readonly reportData: Uint8Array
}

/** TD report of an Intel TDX guest: 584 bytes, or 648 for version 1.5. Measurements have 48 bytes. */
export interface TdReport {
  readonly kind: 'td10' | 'td15'
  /** 16 bytes. [0] security version of the TDX module, [1] its major version, [2] late microcode. */
  readonly teeTcbSvn: Uint8Array
  readonly mrSeam: Uint8Array
  readonly mrSignerSeam: Uint8Array
  /** 8 bytes. */
  readonly seamAttributes: Uint8Array
  /** 8 bytes. */
  readonly tdAttributes: Uint8Array
  /** 8 bytes. */
  readonly xfam: Uint8Array
  /** What the guest was started with. */
  readonly mrTd: Uint8Array
  readonly mrConfigId: Uint8Array
  readonly mrOwner: Uint8Array
  readonly mrOwnerConfig: Uint8Array
  /** Four registers that firmware, boot loader, kernel and the guest extend. */
  readonly rtmr: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  /** 64 bytes the guest chose. */
  readonly reportData: Uint8Array
  /** 16 bytes, version 1.5: of the module that runs now, which may have been updated since the guest was launched. */
  readonly teeTcbSvn2?: Uint8Array
  /** Version 1.5: measurements of service TDs bound to this one, e.g. for migration. Zero when there is none. */
  readonly mrServiceTd?: Uint8Array
}

/** Bytes of each body. */
export const BODY_SIZES = { sgx: 384, td10: 584, td15: 648 } as const

/** Reads a REPORT of exactly 384 bytes. Checks nothing. */
export function readSgxReport(bytes: Uint8Array): SgxReport {
  const input = new LittleEndianReader(bytes)
  const cpuSvn = input.take(16)
  const miscSelect = input.u32()
  input.take(28)
  const attributes = input.take(16)
  const mrEnclave = input.take(32)
  input.take(32)
  const mrSigner = input.take(32)
  input.take(96)
  const isvProdId = input.u16()
  const isvSvn = input.u16()
  input.take(60)
  const reportData = input.take(64)
  input.end()
  return { kind: 'sgx', cpuSvn, miscSelect, attributes, mrEnclave, mrSigner, isvProdId, isvSvn, reportData }
}

/** Reads a TD report of exactly 584 or 648 bytes. Checks nothing. */
export function readTdReport(bytes: Uint8Array, kind: 'td10' | 'td15'): TdReport {
  const input = new LittleEndianReader(bytes)
  const report = {
    kind,
    teeTcbSvn: input.take(16),
    mrSeam: input.take(48),
    mrSignerSeam: input.take(48),
    seamAttributes: input.take(8),
    tdAttributes: input.take(8),
    xfam: input.take(8),
    mrTd: input.take(48),
    mrConfigId: input.take(48),
    mrOwner: input.take(48),
    mrOwnerConfig: input.take(48),
    rtmr: [input.take(48), input.take(48), input.take(48), input.take(48)] as const,
    reportData: input.take(64),
  }
  const later = kind === 'td15' ? { teeTcbSvn2: input.take(16), mrServiceTd: input.take(48) } : {}
  input.end()
  return { ...report, ...later }
}
