import { AimsError } from './errors.ts'

/** Tags that X.509 needs. Context tags are `0x80 | n` (primitive) and `0xa0 | n` (constructed). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** Default cap on the input of a reader, in bytes. */
const MAX_DER_BYTES = 65_536
const MAX_DEPTH = 16

/**
 * Reads DER front to back, strictly: definite minimal lengths, no high tag numbers, nothing left over.
 *
 * A reader stands on the elements inside one constructed element; `enter` gives the reader of the next level. Views
 * returned share memory with the input.
 *
 * @throws {@link AimsError} `der.malformed`, `der.too_deep`, `der.too_large`, from every method
 * @see X.690 sections 8, 10, 11
 */
export class DerReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  readonly #depth: number
  #at: number
  // Where the content of the element just read begins. It ends at #at.
  #content = 0

  private constructor(bytes: Uint8Array, from: number, to: number, depth: number) {
    this.#bytes = bytes
    this.#at = from
    this.#end = to
    this.#depth = depth
  }

  /** Stands before the first element of `bytes`. */
  static of(bytes: Uint8Array, options: { readonly maxBytes?: number } = {}): DerReader {
    const { maxBytes = MAX_DER_BYTES } = options
    if (bytes.length > maxBytes) throw new AimsError('der.too_large', `more than ${maxBytes} bytes of DER`)
    return new DerReader(bytes, 0, bytes.length, 0)
  }

  /** True when no element is left on this level. */
  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** The tag of the next element, or -1 at the end. */
  get nextTag(): number {
    return this.#at < this.#end ? (this.#bytes[this.#at] as number) : -1
  }

  /** Refuses anything that is left on this level. */
  end(): void {
    if (this.#at !== this.#end) throw malformed('bytes are left over')
  }

  /** Goes into the next element, which must be constructed with this tag. */
  enter(tag: number): DerReader {
    if ((tag & 0x20) === 0) throw new TypeError('only constructed elements are entered')
    this.#skip(tag)
    return this.#inside()
  }

  /** The content of the next element, whose tag must be this. */
  content(tag: number): Uint8Array {
    this.#skip(tag)
    return this.#bytes.subarray(this.#content, this.#at)
  }

  /** The next element whole, with tag and length. Any tag when none is given; the content is not looked at. */
  element(tag?: number): Uint8Array {
    const start = this.#at
    this.#skip(tag ?? this.nextTag)
    return this.#bytes.subarray(start, this.#at)
  }

  /** BOOLEAN: 00 or ff. */
  boolean(): boolean {
    this.#skip(TAG.boolean)
    const value = this.#bytes[this.#content]
    if (this.#at - this.#content !== 1 || (value !== 0 && value !== 0xff)) throw malformed('not a DER BOOLEAN')
    return value === 0xff
  }

  /** INTEGER of any size: two's complement, big-endian, minimal. */
  integer(): Uint8Array {
    this.#skip(TAG.integer)
    const [first, second] = [this.#bytes[this.#content], this.#bytes[this.#content + 1]]
    const length = this.#at - this.#content
    if (length === 0) throw malformed('an INTEGER is empty')
    if (length > 1 && second !== undefined) {
      if ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)) throw malformed('INTEGER not minimal')
    }
    return this.#bytes.subarray(this.#content, this.#at)
  }

  /** INTEGER from 0 to 2^31 - 1. */
  smallInteger(): number {
    const bytes = this.integer()
    if (bytes.length > 4 || (bytes[0] as number) >= 0x80) throw malformed('INTEGER out of range')
    return bytes.reduce((value, byte) => value * 256 + byte, 0)
  }

  /** NULL. */
  null(): void {
    this.#skip(TAG.null)
    if (this.#at !== this.#content) throw malformed('NULL has content')
  }

  /** OBJECT IDENTIFIER as dotted decimals. Arcs of any size are kept exactly. */
  oid(): string {
    this.#skip(TAG.oid)
    return decodeOid(this.#bytes, this.#content, this.#at)
  }

  /** OCTET STRING, primitive. */
  octetString(): Uint8Array {
    return this.content(TAG.octetString)
  }

  /** Goes into an OCTET STRING that holds DER, as extension values do. */
  enterOctetString(): DerReader {
    this.#skip(TAG.octetString)
    return this.#inside()
  }

  /** BIT STRING, primitive, with its unused bits zero. `tag` is for implicit tagging. */
  bitString(tag: number = TAG.bitString): { readonly unusedBits: number; readonly bytes: Uint8Array } {
    this.#skip(tag)
    const unusedBits = this.#bytes[this.#content] as number
    const length = this.#at - this.#content
    if (length === 0 || unusedBits > 7 || (length === 1 && unusedBits !== 0)) throw malformed('not a BIT STRING')
    const last = this.#bytes[this.#at - 1] as number
    if (length > 1 && (last & ((1 << unusedBits) - 1)) !== 0) throw malformed('unused bits are not zero')
    return { unusedBits, bytes: this.#bytes.subarray(this.#content + 1, this.#at) }
  }

  /** BIT STRING of whole bytes, as keys and signatures are. */
  octets(): Uint8Array {
    const { unusedBits, bytes } = this.bitString()
    if (unusedBits !== 0) throw malformed('a BIT STRING is not whole bytes')
    return bytes
  }

  /** UTCTime or GeneralizedTime, in seconds since the epoch. RFC 5280 form: with seconds, without fraction, in Z. */
  time(): number {
    const utc = this.nextTag === TAG.utcTime
    this.#skip(utc ? TAG.utcTime : TAG.generalizedTime)
    const at = this.#content
    const digits = utc ? 12 : 14
    if (this.#at - at !== digits + 1 || this.#bytes[at + digits] !== 0x5a) throw malformed('not a time in Z')
    const shortYear = utc ? this.#twoDigits(at) : 0
    const year = utc ? shortYear + (shortYear < 50 ? 2000 : 1900) : this.#twoDigits(at) * 100 + this.#twoDigits(at + 2)
    const rest = at + digits - 10
    const month = this.#twoDigits(rest)
    const day = this.#twoDigits(rest + 2)
    const hour = this.#twoDigits(rest + 4)
    const minute = this.#twoDigits(rest + 6)
    const second = this.#twoDigits(rest + 8)
    // RFC 5280 section 4.1.2.5: dates through 2049 are UTCTime.
    if (!utc && year < 2050) throw malformed('GeneralizedTime before 2050')
    if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) throw malformed('no such date')
    if (hour > 23 || minute > 59 || second > 59) throw malformed('no such time of day')
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000
  }

  #twoDigits(at: number): number {
    const tens = (this.#bytes[at] as number) - 0x30
    const ones = (this.#bytes[at + 1] as number) - 0x30
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed('not a digit')
    return tens * 10 + ones
  }

  #inside(): DerReader {
    if (this.#depth >= MAX_DEPTH) throw new AimsError('der.too_deep', `DER nested deeper than ${MAX_DEPTH}`)
    return new DerReader(this.#bytes, this.#content, this.#at, this.#depth + 1)
  }

  // Moves past the next element, whose tag must be this, and notes where its content begins.
  #skip(tag: number): void {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    if (at + 2 > end) throw malformed('DER ends early')
    if (bytes[at] !== tag || (tag & 0x1f) === 0x1f) throw malformed('an unexpected tag')
    let length = bytes[at + 1] as number
    at += 2
    if (length > 0x7f) {
      const count = length & 0x7f
      if (count === 0 || count > 3 || at + count > end) throw malformed('not a definite length within the input')
      length = 0
      for (let i = 0; i < count; i += 1) length = length * 256 + (bytes[at + i] as number)
      if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw malformed('a length is not minimal')
      at += count
    }
    if (length > end - at) throw malformed('an element is longer than what holds it')
    this.#content = at
    this.#at = at + length
  }
}

/**
 * Reads bytes that are one piece of DER: what `read` leaves over is refused.
 *
 * @throws {@link AimsError} `der.*`
 */
export function readWholeDer<T>(bytes: Uint8Array, read: (input: DerReader) => T): T {
  const input = DerReader.of(bytes)
  const value = read(input)
  input.end()
  return value
}

function malformed(message: string): AimsError {
  return new AimsError('der.malformed', message)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function decodeOid(bytes: Uint8Array, from: number, to: number): string {
  if (from === to || to - from > 64) throw malformed('an OID is empty or longer than 64 bytes')
  let text = ''
  let at = from
  while (at < to) {
    if (bytes[at] === 0x80) throw malformed('an OID arc is not minimal')
    const start = at
    let arc = 0
    for (;;) {
      if (at === to) throw malformed('an OID ends inside an arc')
      const byte = bytes[at] as number
      at += 1
      arc = arc * 128 + (byte & 0x7f)
      if (byte < 0x80) break
    }
    // 7 groups of 7 bits are exact in a number; longer arcs (2.25.UUID) are read again as bigint.
    const exact = at - start <= 7 ? arc : bigArc(bytes, start, at)
    if (start !== from) text += `.${exact}`
    else if (arc < 80) text = `${Math.floor(arc / 40)}.${arc % 40}`
    else text = `2.${typeof exact === 'bigint' ? exact - 80n : exact - 80}`
  }
  return text
}

function bigArc(bytes: Uint8Array, from: number, to: number): bigint {
  let arc = 0n
  for (let at = from; at < to; at += 1) arc = arc * 128n + BigInt((bytes[at] as number) & 0x7f)
  return arc
}
