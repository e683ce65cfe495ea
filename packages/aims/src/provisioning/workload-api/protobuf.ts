import { asBuffer, decodeUtf8 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'

/** How one message is written and read. Fields with their default value are not written, unknown fields not read. */
export interface MessageCodec<T> {
  encode(message: T): Buffer
  /** @throws {@link AimsError} `provisioning.malformed_message` */
  decode(bytes: Uint8Array): T
}

/** One field of a message as it lies on the wire. */
export interface Field {
  readonly number: number
  /** The value of a length-delimited or fixed-size field. */
  readonly bytes: Buffer
  /** The value of a varint field. */
  readonly varint: bigint
  readonly wireType: WireType
}

type WireType = 0 | 1 | 2 | 5
const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const FIXED32 = 5
// Far more than any message here needs; what it bounds is the memory that a message of tiny fields would take.
const MAX_FIELDS = 10_000
const NOTHING: Buffer = Buffer.alloc(0)

/** Puts the fields of a message together. */
export function writeMessage(...fields: readonly (Buffer | readonly Buffer[])[]): Buffer {
  return Buffer.concat(fields.flat())
}

/** A field of bytes, text or an embedded message. Not written when empty, unless it is an element of a list. */
export function writeBytes(number: number, value: Uint8Array | string): Buffer {
  return value.length === 0 ? NOTHING : writeElement(number, value)
}

/** One element of a repeated field, or a member of a `oneof`: written also when empty. */
export function writeElement(number: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes])
}

/** A boolean or enum of a `oneof`. */
export function writeVarint(number: number, value: number): Buffer {
  return Buffer.concat([varint((number << 3) | VARINT), varint(value)])
}

/** A double of a `oneof`. */
export function writeDouble(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(9)
  bytes[0] = (number << 3) | FIXED64
  bytes.writeDoubleLE(value, 1)
  return bytes
}

/** A map from text to bytes or text, as protobuf writes it: a list of pairs. */
export function writeMap(number: number, map: ReadonlyMap<string, Uint8Array | string>): readonly Buffer[] {
  return [...map].map(([key, value]) => writeElement(number, writeMessage(writeBytes(1, key), writeBytes(2, value))))
}

/**
 * Reads the fields of a message in order. What to do with them is the caller's matter; the bytes are not copied.
 *
 * Groups, which no message here has, are refused, and so are more than 10,000 fields.
 *
 * @throws {@link AimsError} `provisioning.malformed_message`
 * @see https://protobuf.dev/programming-guides/encoding/
 */
export function readFields(message: Uint8Array): readonly Field[] {
  const bytes = asBuffer(message)
  const fields: Field[] = []
  let at = 0

  function readVarint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at]
      if (byte === undefined) throw malformed()
      at += 1
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw malformed()
  }

  function take(length: bigint): Buffer {
    if (length > bytes.length - at) throw malformed()
    const start = at
    at += Number(length)
    return bytes.subarray(start, at)
  }

  while (at < bytes.length) {
    const tag = readVarint()
    const number = Number(tag >> 3n)
    const wireType = Number(tag & 7n)
    if (number === 0 || number > 0x1fff_ffff || fields.length === MAX_FIELDS) throw malformed()
    if (wireType === VARINT) fields.push({ number, wireType, varint: readVarint(), bytes: NOTHING })
    else if (wireType === LENGTH_DELIMITED) fields.push({ number, wireType, varint: 0n, bytes: take(readVarint()) })
    else if (wireType === FIXED64) fields.push({ number, wireType, varint: 0n, bytes: take(8n) })
    else if (wireType === FIXED32) fields.push({ number, wireType, varint: 0n, bytes: take(4n) })
    else throw malformed()
  }
  return fields
}

/** The value of a field that is declared as bytes or as a message. @throws `provisioning.malformed_message` */
export function bytesOf(field: Field): Buffer {
  if (field.wireType !== LENGTH_DELIMITED) throw malformed()
  return field.bytes
}

/** The value of a field that is declared as a string: strict UTF-8. @throws `provisioning.malformed_message` */
export function textOf(field: Field): string {
  const text = decodeUtf8(bytesOf(field))
  if (text === undefined) throw malformed()
  return text
}

/** The value of a field that is declared as a double. @throws `provisioning.malformed_message` */
export function doubleOf(field: Field): number {
  if (field.wireType !== FIXED64) throw malformed()
  return field.bytes.readDoubleLE(0)
}

/** The value of a field that is declared as a boolean or enum. @throws `provisioning.malformed_message` */
export function varintOf(field: Field): bigint {
  if (field.wireType !== VARINT) throw malformed()
  return field.varint
}

/** Adds one pair of a map; a later pair of the same key replaces the earlier one. */
export function readPair<T>(map: Map<string, T>, field: Field, absent: T, read: (field: Field) => T): void {
  let key = ''
  let value = absent
  for (const part of readFields(bytesOf(field))) {
    if (part.number === 1) key = textOf(part)
    else if (part.number === 2) value = read(part)
  }
  map.set(key, value)
}

/** The refusal of everything that is not protobuf of the message expected. */
export function malformed(): AimsError {
  return new AimsError('provisioning.malformed_message', 'not a well-formed protobuf message of this type')
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80)
    // Not a shift: times and sequence numbers may have more than 32 bits.
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}
