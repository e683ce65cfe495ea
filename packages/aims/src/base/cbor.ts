import { decodeUtf8 } from './bytes.ts'
import { AimsError } from './errors.ts'

/** A CBOR value: integers beyond 2^53-1 are a `bigint`. Byte strings share memory with the input. */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | CborMap
  | CborTagged
export type CborMap = ReadonlyMap<string | number | bigint, CborValue>
/** A value with a tag. The tag is not interpreted. */
export interface CborTagged {
  readonly tag: number | bigint
  readonly value: CborValue
}

/** Bounds for one value. */
export interface CborLimits {
  /** Bytes. Default 65,536. */
  readonly maxBytes?: number
  /** Nesting of arrays, maps and tags. Default 16. */
  readonly maxDepth?: number
  /** Values in total. Default 10,000. */
  readonly maxItems?: number
}

/**
 * Reads one CBOR value strictly: shortest form of every number and length, definite lengths, valid UTF-8, keys that are
 * integers or text and occur once, nothing left over. There are no floats and no `undefined`: nothing here signs any.
 *
 * Does not ask for sorted keys: writers of attestation documents do not sort them.
 *
 * @throws {@link AimsError} `cbor.malformed`, `cbor.duplicate_key`, `cbor.too_deep`, `cbor.too_large`
 * @see RFC 8949 sections 3, 4.1, 5.3
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits = {}): CborValue {
  const { maxBytes = 65_536, maxDepth = 16, maxItems = 10_000 } = limits
  if (bytes.length > maxBytes) throw new AimsError('cbor.too_large', `more than ${maxBytes} bytes of CBOR`)
  return new Reader(bytes, maxDepth, maxItems).read()
}

/** True for a map, false for everything else. */
export function isCborMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #maxDepth: number
  #itemsLeft: number
  #at = 0

  constructor(bytes: Uint8Array, maxDepth: number, maxItems: number) {
    this.#bytes = bytes
    this.#maxDepth = maxDepth
    this.#itemsLeft = maxItems
  }

  read(): CborValue {
    const value = this.#value(0)
    if (this.#at !== this.#bytes.length) throw malformed('bytes are left over')
    return value
  }

  #value(depth: number): CborValue {
    if (depth > this.#maxDepth) throw new AimsError('cbor.too_deep', `CBOR nested deeper than ${this.#maxDepth}`)
    this.#itemsLeft -= 1
    if (this.#itemsLeft < 0) throw new AimsError('cbor.too_large', 'too many values')
    const initial = this.#bytes[this.#at]
    if (initial === undefined) throw malformed('CBOR ends early')
    this.#at += 1
    const argument = this.#argument(initial & 0x1f)
    const major = initial >> 5
    if (major === 0) return argument
    if (major === 1) return typeof argument === 'bigint' ? -1n - argument : -1 - argument
    if (major === 2) return this.#take(argument)
    if (major === 3) return this.#text(argument)
    if (major === 4) return Array.from({ length: this.#count(argument, 1) }, () => this.#value(depth + 1))
    if (major === 5) return this.#map(this.#count(argument, 2), depth + 1)
    if (major === 6) return { tag: argument, value: this.#value(depth + 1) }
    return simple(initial)
  }

  #map(count: number, depth: number): CborMap {
    const map = new Map<string | number | bigint, CborValue>()
    for (let i = 0; i < count; i += 1) {
      const key = this.#value(depth)
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') {
        throw malformed('a key is neither an integer nor text')
      }
      if (map.has(key)) throw new AimsError('cbor.duplicate_key', 'a CBOR map has the same key twice')
      map.set(key, this.#value(depth))
    }
    return map
  }

  #text(length: number | bigint): string {
    const text = decodeUtf8(this.#take(length))
    if (text === undefined) throw malformed('text is not UTF-8')
    return text
  }

  #take(length: number | bigint): Uint8Array {
    const start = this.#at
    if (length > this.#bytes.length - start) throw malformed('a string is longer than the input')
    this.#at = start + Number(length)
    return this.#bytes.subarray(start, this.#at)
  }

  // What cannot fit into the rest of the input is refused before anything is made for it.
  #count(count: number | bigint, bytesEach: number): number {
    if (count > (this.#bytes.length - this.#at) / bytesEach) throw malformed('a list is longer than the input')
    return Number(count)
  }

  #argument(info: number): number | bigint {
    if (info < 24) return info
    if (info > 27) throw malformed('an indefinite or reserved length')
    const size = 2 ** (info - 24)
    const bytes = this.#take(size)
    let value = 0n
    for (const byte of bytes) value = value * 256n + BigInt(byte)
    if (value < (size === 1 ? 24n : 1n << BigInt(size * 4))) throw malformed('a number is not in its shortest form')
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
  }
}

function simple(initial: number): null | boolean {
  if (initial === 0xf4) return false
  if (initial === 0xf5) return true
  if (initial === 0xf6) return null
  throw malformed('a float, undefined, or an unknown simple value')
}

function malformed(message: string): AimsError {
  return new AimsError('cbor.malformed', message)
}
