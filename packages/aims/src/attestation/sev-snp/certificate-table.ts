import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { toHex } from '../packaging.ts'

/** What the host may hand out beside a report. */
export type SnpTableEntry = 'VCEK' | 'VLEK' | 'ASK' | 'ARK' | 'CRL'

const GUIDS: { readonly [hex: string]: SnpTableEntry } = {
  '63da758de6644564adc5f4b93be8accd': 'VCEK',
  a8074bc2a25a483eaae639c045a0b8a1: 'VLEK',
  '4ab7b379bbac4fe4a02f05aef327c782': 'ASK',
  c0b406a4a803495297433fb6014cd0ae: 'ARK',
  '92f81bc358114d3d97ffd19f88dc67ea': 'CRL',
}
const ENTRY_SIZE = 24
const MAX_ENTRIES = 16

/**
 * Reads the certificate table of an extended report, which is also the `auxblob` of configfs-tsm: entries of GUID, offset
 * and length, ended by one of zeros. Entries with other GUIDs are passed over; bytes that belong to no entry are zero.
 *
 * @throws {@link AimsError} `attestation.malformed`
 * @see AMD 56421 (GHCB), SNP Extended Guest Request
 */
export function readCertificateTable(table: Uint8Array): ReadonlyMap<SnpTableEntry, Uint8Array> {
  const bytes = asBuffer(table)
  const found = new Map<SnpTableEntry, Uint8Array>()
  const rest = Buffer.from(bytes)
  for (let at = 0; at < MAX_ENTRIES * ENTRY_SIZE; at += ENTRY_SIZE) {
    if (at + ENTRY_SIZE > bytes.length) throw malformed('the certificate table has no end')
    const guid = toHex(bytes.subarray(at, at + 16))
    const offset = bytes.readUInt32LE(at + 16)
    const length = bytes.readUInt32LE(at + 20)
    rest.fill(0, at, at + ENTRY_SIZE)
    if (/^0+$/.test(guid)) {
      if (offset !== 0 || length !== 0) throw malformed('an entry of the certificate table has no GUID')
      requireNoRest(rest)
      return found
    }
    if (offset > bytes.length || length > bytes.length - offset || offset < at + 2 * ENTRY_SIZE) {
      throw malformed('an entry of the certificate table lies outside of it')
    }
    const name = Object.hasOwn(GUIDS, guid) ? GUIDS[guid] : undefined
    if (name !== undefined) {
      if (found.has(name)) throw malformed('the certificate table holds two of a kind')
      found.set(name, bytes.subarray(offset, offset + length))
    }
    rest.fill(0, offset, offset + length)
  }
  throw malformed('the certificate table has too many entries')
}

function requireNoRest(rest: Buffer): void {
  if (rest.some((byte) => byte !== 0)) throw malformed('the certificate table has bytes that belong to no entry')
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
