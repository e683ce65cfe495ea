import { TAG } from './der.ts'

/**
 * Writes DER in one pass from the last byte to the first: lengths are known when headers are written.
 *
 * So calls come in reverse order: last element first, content before `wrap`. The writer can be reused: `take` copies
 * the bytes out and starts over.
 */
export class DerWriter {
  #bytes: Uint8Array
  #at: number

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity)
    this.#at = capacity
  }

  /** Empties the writer, whatever an interrupted use has left in it, and gives the first mark. */
  begin(): number {
    this.#at = this.#bytes.length
    return 0
  }

  /** The place before which the next element is written. Pass it to `wrap`. */
  mark(): number {
    return this.#bytes.length - this.#at
  }

  /** Writes bytes as they are: elements that are DER already. */
  raw(bytes: Uint8Array): void {
    const { length } = bytes
    this.#reserve(length)
    this.#at -= length
    // For a few bytes the call of `set` costs more than they do.
    if (length > 32) this.#bytes.set(bytes, this.#at)
    else for (let i = 0; i < length; i += 1) this.#bytes[this.#at + i] = bytes[i] as number
  }

  /** Puts tag and length before everything written since `mark`. */
  wrap(tag: number, mark: number): void {
    this.#reserve(5)
    let rest = this.#bytes.length - this.#at - mark
    const length = rest
    if (length > 0x7f) {
      let count = 0
      for (; rest > 0; rest = Math.floor(rest / 256)) {
        this.#byte(rest & 0xff)
        count += 1
      }
      this.#byte(0x80 | count)
    } else {
      this.#byte(length)
    }
    this.#byte(tag)
  }

  /** Writes one element with this content. */
  element(tag: number, content: Uint8Array): void {
    const mark = this.mark()
    this.raw(content)
    this.wrap(tag, mark)
  }

  /** Writes one element whose content is ASCII text. Other characters must have been refused before. */
  ascii(tag: number, text: string): void {
    const mark = this.mark()
    this.#reserve(text.length)
    this.#at -= text.length
    for (let i = 0; i < text.length; i += 1) this.#bytes[this.#at + i] = text.charCodeAt(i)
    this.wrap(tag, mark)
  }

  /** BIT STRING of whole bytes. */
  octets(bytes: Uint8Array): void {
    const mark = this.mark()
    this.raw(bytes)
    this.#reserve(1)
    this.#byte(0)
    this.wrap(TAG.bitString, mark)
  }

  /** What has been written, not copied: good until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(this.#at)
  }

  /** What has been written, copied. The writer is empty afterwards. */
  take(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.#bytes.length - this.#at)
    bytes.set(this.#bytes.subarray(this.#at))
    this.#at = this.#bytes.length
    return bytes
  }

  #byte(value: number): void {
    this.#at -= 1
    this.#bytes[this.#at] = value
  }

  #reserve(count: number): void {
    if (count <= this.#at) return
    const used = this.#bytes.subarray(this.#at)
    const grown = new Uint8Array((this.#bytes.length + count) * 2)
    grown.set(used, grown.length - used.length)
    this.#at = grown.length - used.length
    this.#bytes = grown
  }
}

/** OBJECT IDENTIFIER of dotted decimals, as a whole element. For constants: not checked. */
export function encodeOid(dotted: string): Uint8Array {
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt)
  const content: number[] = []
  for (const arc of [first * 40n + second, ...rest]) {
    const groups = [Number(arc & 0x7fn)]
    for (let left = arc >> 7n; left > 0n; left >>= 7n) groups.unshift(Number(left & 0x7fn) | 0x80)
    content.push(...groups)
  }
  return Uint8Array.of(TAG.oid, content.length, ...content)
}

/** UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5), as a whole element. Whole seconds from 1970. */
export function encodeTime(seconds: number): Uint8Array {
  const iso = new Date(seconds * 1000).toISOString()
  const utc = iso < '2050'
  const digits = utc ? 12 : 14
  const der = new Uint8Array(digits + 3)
  der[0] = utc ? TAG.utcTime : TAG.generalizedTime
  der[1] = digits + 1
  let at = 2
  // YYYY-MM-DDTHH:MM:SS, digits only.
  for (let i = utc ? 2 : 0; i < 19; i += 1) {
    const code = iso.charCodeAt(i)
    if (code >= 0x30 && code <= 0x39) der[at++] = code
  }
  der[at] = 0x5a
  return der
}
