import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { toHex } from '../packaging.ts'
import { type SnpProduct, snpProduct } from './product.ts'
import { readTcb, type SnpTcb } from './tcb.ts'

/** What the owner of a guest allows, from POLICY. */
export interface SnpGuestPolicy {
  readonly abiMajor: number
  readonly abiMinor: number
  readonly allowsSmt: boolean
  readonly allowsMigrationAgent: boolean
  /** The host may read the memory of the guest. */
  readonly allowsDebug: boolean
  readonly requiresSingleSocket: boolean
  readonly allowsCxl: boolean
  readonly requiresCiphertextHiding: boolean
}

/** How the platform is set up, from PLATFORM_INFO. */
export interface SnpPlatformInfo {
  readonly smt: boolean
  readonly tsme: boolean
  readonly ecc: boolean
  readonly raplDisabled: boolean
  readonly ciphertextHiding: boolean
  /** No two addresses led to the same memory at the last start (BadRAM, CVE-2024-21944). */
  readonly aliasCheckComplete: boolean
  readonly tio: boolean
}

/** A version of the firmware. */
export interface SnpFirmware {
  readonly major: number
  readonly minor: number
  readonly build: number
}

/** The fields of an attestation report. Digests and identifiers are lower-case hex. */
export interface SnpReport {
  readonly version: number
  readonly guestSvn: number
  readonly policy: SnpGuestPolicy
  readonly familyId: string
  readonly imageId: string
  /** 0 to 3; 0xffffffff: the host asked for the report, not the guest. */
  readonly vmpl: number
  readonly platform: SnpPlatformInfo
  readonly authorKeyEnabled: boolean
  readonly reportData: string
  readonly measurement: string
  readonly hostData: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  /** Of the guest, from launch to end. */
  readonly reportId: string
  readonly reportIdMigrationAgent: string
  /** 64 bytes; on Turin 8. Absent where the host masks it. */
  readonly chipId?: string
  readonly currentTcb: SnpTcb
  readonly reportedTcb: SnpTcb
  readonly committedTcb: SnpTcb
  readonly launchTcb: SnpTcb
  readonly current: SnpFirmware
  readonly committed: SnpFirmware
  /** Bits of mitigations in force when the guest was launched; version 5 and newer. */
  readonly launchMitigations?: bigint
  readonly currentMitigations?: bigint
}

/** A report that has been read and NOT verified: what its signature is checked with, and its fields. */
export interface UnverifiedSnpReport {
  readonly version: number
  /** From the report; version 2 does not say. */
  readonly product?: SnpProduct
  readonly signingKey: 'VCEK' | 'VLEK'
  readonly signed: Uint8Array
  /** r and s, 48 bytes each, big-endian. */
  readonly signature: Uint8Array
  /** Whether CHIP_ID is that of Turin: 8 bytes and zeros. */
  readonly hasShortChipId: boolean
  /** The fields as the product lays them out. @throws {@link AimsError} `attestation.malformed` */
  fieldsOf(product: SnpProduct): SnpReport
}

/** Bytes of a report. */
export const REPORT_SIZE = 0x4a0
const SIGNED_SIZE = 0x2a0
const VERSIONS: ReadonlySet<number> = new Set([2, 3, 4, 5])
const ECDSA_P384_SHA384 = 1
const HOST = 0xffff_ffff

/** Whether bytes begin like a report, of this or a later version. */
export function looksLikeReport(bytes: Uint8Array): boolean {
  return bytes.length > 4 && (bytes[0] as number) < 0x20 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0
}

/**
 * Reads an ATTESTATION_REPORT of version 2 to 5. Every reserved range must be zero, those of the signature included: they
 * are not signed.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 * @see AMD 56860 (SEV-SNP ABI), ATTESTATION_REPORT
 */
export function parseSnpReport(input: Uint8Array): UnverifiedSnpReport {
  // A copy: what was verified is what the fields are read from.
  const bytes = Buffer.from(input)
  if (bytes.length !== REPORT_SIZE) throw malformed(`a report has ${REPORT_SIZE} bytes`)
  const version = bytes.readUInt32LE(0)
  if (!VERSIONS.has(version)) throw unsupported('the report has a version other than 2 to 5')
  if (bytes.readUInt32LE(0x34) !== ECDSA_P384_SHA384) throw unsupported('the report has another signature algorithm')
  const keys = bytes.readUInt32LE(0x48)
  if (keys >>> 5 !== 0) throw reserved()
  for (const [from, to] of reservedRanges(version)) requireZero(bytes, from, to)
  const signingKey = SIGNING_KEYS[(keys >>> 2) & 7]
  if (signingKey === undefined) throw unsupported('the report is signed by no key of the platform')
  const hasShortChipId = isZero(bytes.subarray(0x1a8, 0x1e0)) && !isZero(bytes.subarray(0x1a0, 0x1a8))
  return {
    version,
    ...(version === 2 ? {} : { product: snpProduct(bytes.readUInt8(0x188), bytes.readUInt8(0x189)) }),
    signingKey,
    signed: bytes.subarray(0, SIGNED_SIZE),
    signature: Buffer.concat([readScalar(bytes, 0x2a0), readScalar(bytes, 0x2e8)]),
    hasShortChipId,
    fieldsOf: (product) => readFields(bytes, product),
  }
}

const SIGNING_KEYS: { readonly [number: number]: 'VCEK' | 'VLEK' } = { 0: 'VCEK', 1: 'VLEK' }

function reservedRanges(version: number): readonly (readonly [number, number])[] {
  return [
    [0x4c, 0x50],
    [version === 2 ? 0x188 : 0x18b, 0x1a0],
    [0x1eb, 0x1ec],
    [0x1ef, 0x1f0],
    [version < 5 ? 0x1f8 : 0x208, SIGNED_SIZE],
    [SIGNED_SIZE + 144, REPORT_SIZE],
  ]
}

// 72 bytes, little-endian; a scalar of P-384 has 48, so the upper 24 must be zero (N37).
function readScalar(bytes: Buffer, at: number): Uint8Array {
  requireZero(bytes, at + 48, at + 72)
  return Uint8Array.from(bytes.subarray(at, at + 48)).reverse()
}

function readFields(bytes: Buffer, product: SnpProduct): SnpReport {
  const version = bytes.readUInt32LE(0)
  const hex = (at: number, size: number): string => toHex(bytes.subarray(at, at + size))
  const tcb = (at: number): SnpTcb => readTcb(bytes.subarray(at, at + 8), product)
  const vmpl = bytes.readUInt32LE(0x30)
  if (vmpl > 3 && vmpl !== HOST) throw malformed('a report has no such VMPL')
  const chipId = readChipId(bytes, product)
  return {
    version,
    guestSvn: bytes.readUInt32LE(0x04),
    policy: readGuestPolicy(bytes.readBigUInt64LE(0x08)),
    familyId: hex(0x10, 16),
    imageId: hex(0x20, 16),
    vmpl,
    platform: readPlatformInfo(bytes.readBigUInt64LE(0x40)),
    authorKeyEnabled: (bytes.readUInt32LE(0x48) & 1) === 1,
    reportData: hex(0x50, 64),
    measurement: hex(0x90, 48),
    hostData: hex(0xc0, 32),
    idKeyDigest: hex(0xe0, 48),
    authorKeyDigest: hex(0x110, 48),
    reportId: hex(0x140, 32),
    reportIdMigrationAgent: hex(0x160, 32),
    ...(chipId === undefined ? {} : { chipId }),
    currentTcb: tcb(0x38),
    reportedTcb: tcb(0x180),
    committedTcb: tcb(0x1e0),
    launchTcb: tcb(0x1f0),
    current: readFirmware(bytes, 0x1e8),
    committed: readFirmware(bytes, 0x1ec),
    ...(version < 5
      ? {}
      : { launchMitigations: bytes.readBigUInt64LE(0x1f8), currentMitigations: bytes.readBigUInt64LE(0x200) }),
  }
}

function readChipId(bytes: Buffer, product: SnpProduct): string | undefined {
  const size = product === 'Turin' ? 8 : 64
  requireZero(bytes, 0x1a0 + size, 0x1e0)
  const id = bytes.subarray(0x1a0, 0x1a0 + size)
  return isZero(id) ? undefined : toHex(id)
}

function readGuestPolicy(bits: bigint): SnpGuestPolicy {
  if (!bit(bits, 17) || bits >> 26n !== 0n) throw reserved()
  return {
    abiMajor: Number((bits >> 8n) & 0xffn),
    abiMinor: Number(bits & 0xffn),
    allowsSmt: bit(bits, 16),
    allowsMigrationAgent: bit(bits, 18),
    allowsDebug: bit(bits, 19),
    requiresSingleSocket: bit(bits, 20),
    allowsCxl: bit(bits, 21),
    requiresCiphertextHiding: bit(bits, 24),
  }
}

function readPlatformInfo(bits: bigint): SnpPlatformInfo {
  if (bit(bits, 6) || bits >> 8n !== 0n) throw reserved()
  return {
    smt: bit(bits, 0),
    tsme: bit(bits, 1),
    ecc: bit(bits, 2),
    raplDisabled: bit(bits, 3),
    ciphertextHiding: bit(bits, 4),
    aliasCheckComplete: bit(bits, 5),
    tio: bit(bits, 7),
  }
}

function readFirmware(bytes: Buffer, at: number): SnpFirmware {
  return { build: bytes.readUInt8(at), minor: bytes.readUInt8(at + 1), major: bytes.readUInt8(at + 2) }
}

function bit(bits: bigint, number: number): boolean {
  return ((bits >> BigInt(number)) & 1n) === 1n
}

function requireZero(bytes: Buffer, from: number, to: number): void {
  if (!isZero(bytes.subarray(from, to))) throw reserved()
}

function isZero(bytes: Uint8Array): boolean {
  return asBuffer(bytes).every((byte) => byte === 0)
}

function reserved(): AimsError {
  return malformed('a reserved part of the report has not the value it must have')
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}

function unsupported(message: string): AimsError {
  return new AimsError('attestation.unsupported', message)
}
