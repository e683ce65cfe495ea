// Boot logs in the crypto-agile form, and the PCRs they lead to.
import { createHash } from 'node:crypto'
import { HASH_ID, type HashName } from './soft-tpm.ts'

const u16 = (value: number): Buffer => Buffer.of(value & 0xff, value >> 8)
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const SIZE = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const

export interface LogEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Buffer
  /** What is extended in place of the digest of the data. */
  readonly digestOf?: Buffer
}

/** The first event, which names the banks. */
function logHeader(banks: readonly HashName[] = ['sha256']): Buffer {
  const data = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    u32(0),
    Buffer.of(0, 2, 0, 2),
    u32(banks.length),
    ...banks.map((bank) => Buffer.concat([u16(HASH_ID[bank]), u16(SIZE[bank])])),
    Buffer.of(0),
  ])
  return Buffer.concat([u32(0), u32(3), Buffer.alloc(20), u32(data.length), data])
}

function logEntry({ pcr, type, data, digestOf = data }: LogEvent, banks: readonly HashName[] = ['sha256']): Buffer {
  const digests = banks.map((bank) => {
    const digest = type === 3 ? Buffer.alloc(SIZE[bank]) : createHash(bank).update(digestOf).digest()
    return Buffer.concat([u16(HASH_ID[bank]), digest])
  })
  return Buffer.concat([u32(pcr), u32(type), u32(banks.length), ...digests, u32(data.length), data])
}

export function bootLog(events: readonly LogEvent[], banks: readonly HashName[] = ['sha256']): Buffer {
  return Buffer.concat([logHeader(banks), ...events.map((event) => logEntry(event, banks))])
}

/** Values of a bank after the events, by `bank:index`. */
export function bootedPcrs(events: readonly LogEvent[], bank: HashName = 'sha256'): { [pcr: string]: Buffer } {
  const values: { [pcr: string]: Buffer } = {}
  for (const { pcr, type, data, digestOf = data } of events) {
    if (type === 3) continue
    const name = `${bank}:${pcr}`
    const digest = createHash(bank).update(digestOf).digest()
    values[name] = createHash(bank)
      .update(values[name] ?? Buffer.alloc(SIZE[bank]))
      .update(digest)
      .digest()
  }
  return values
}

/** UEFI_VARIABLE_DATA of a global variable. */
export function efiVariable(name: string, value: Buffer): Buffer {
  const text = Buffer.from(name, 'utf16le')
  const lengths = Buffer.alloc(16)
  lengths.writeBigUInt64LE(BigInt(name.length), 0)
  lengths.writeBigUInt64LE(BigInt(value.length), 8)
  return Buffer.concat([Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex'), lengths, text, value])
}
