import { decodeUtf8 } from './bytes.ts'
import { AimsError } from './errors.ts'

/** Any JSON value, as {@link parseJson} returns it: integers beyond 2^53-1 are a `bigint`. */
export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject
/** An object without prototype: `claims.constructor` is `undefined`, and `in` asks about its own members only. */
export interface JsonObject {
  readonly [member: string]: JsonValue | undefined
}

/** Bounds for one text. */
export interface JsonLimits {
  /** Characters. Default 262,144. */
  readonly maxLength?: number
  /** Nesting of arrays and objects. Default 16. */
  readonly maxDepth?: number
  /** Members and elements in total. Default 10,000. */
  readonly maxMembers?: number
}

/** A member occurs twice. Apart from its code it tells where: an object inside the top one has depth 2. */
export class DuplicateMemberError extends AimsError {
  readonly depth: number

  constructor(depth: number) {
    super('json.duplicate_member', 'an object has the same member twice')
    this.depth = depth
  }
}

/**
 * Reads JSON strictly: RFC 8259 and I-JSON's rules. Refuses duplicate members (after unescaping), lone surrogates,
 * numbers that overflow, deep nesting. Integers beyond 2^53-1 become a `bigint`, so that none loses digits.
 *
 * @throws {@link AimsError} `json.malformed`, `json.duplicate_member`, `json.too_deep`, `json.too_large`, `json.number`
 * @see RFC 8259; RFC 7493 section 2
 */
export function parseJson(input: string | Uint8Array, limits: JsonLimits = {}): JsonValue {
  const { maxLength = 262_144, maxDepth = 16, maxMembers = 10_000 } = limits
  if (input.length > maxLength) throw new AimsError('json.too_large', `more than ${maxLength} characters`)
  const text = typeof input === 'string' ? input : decodeUtf8(input)
  if (text === undefined) throw new AimsError('json.malformed', 'not UTF-8')
  return new Reader(text, maxDepth, maxMembers).read()
}

/** Reads JSON whose top value must be an object. Same refusals as {@link parseJson}. */
export function parseJsonObject(input: string | Uint8Array, limits?: JsonLimits): JsonObject {
  const value = parseJson(input, limits)
  if (!isJsonObject(value)) throw new AimsError('json.malformed', 'not a JSON object')
  return value
}

/** True for an object, false for arrays, null and the rest. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
const NINE = 0x39
const COMMA = 0x2c
const ESCAPES: { readonly [letter: string]: string } = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const HEX4 = /^[0-9A-Fa-f]{4}$/
// What makes a string differ from its spelling, or is not allowed in one. Absent from nearly every text.
const SPECIAL = /[\\\u0000-\u001f\ud800-\udfff]/

// One pass, one class: the state of a reader is its position and what it may still allocate.
class Reader {
  readonly #text: string
  readonly #plain: boolean
  readonly #maxDepth: number
  #membersLeft: number
  #at = 0

  constructor(text: string, maxDepth: number, maxMembers: number) {
    this.#text = text
    this.#plain = !SPECIAL.test(text)
    this.#maxDepth = maxDepth
    this.#membersLeft = maxMembers
  }

  read(): JsonValue {
    this.#skipBlank()
    const value = this.#value(0)
    this.#skipBlank()
    if (this.#at !== this.#text.length) this.#malformed()
    return value
  }

  #value(depth: number): JsonValue {
    const code = this.#text.charCodeAt(this.#at)
    if (code === QUOTE) return this.#string()
    if (code === 0x7b) return this.#object(depth + 1)
    if (code === 0x5b) return this.#array(depth + 1)
    if (code === 0x74) return this.#word('true', true)
    if (code === 0x66) return this.#word('false', false)
    if (code === 0x6e) return this.#word('null', null)
    return this.#number()
  }

  #object(depth: number): JsonObject {
    this.#enter(depth)
    const object: Record<string, JsonValue> = Object.create(null)
    if (this.#closes(0x7d)) return object
    for (;;) {
      if (this.#text.charCodeAt(this.#at) !== QUOTE) this.#malformed()
      const name = this.#string()
      // No value is undefined; to look at one is several times cheaper than to ask with `in`.
      if (object[name] !== undefined) throw new DuplicateMemberError(depth)
      this.#count()
      this.#skipBlank()
      this.#take(0x3a)
      this.#skipBlank()
      object[name] = this.#value(depth)
      this.#skipBlank()
      if (this.#closes(0x7d)) return object
      this.#take(COMMA)
      this.#skipBlank()
    }
  }

  #array(depth: number): JsonValue[] {
    this.#enter(depth)
    const array: JsonValue[] = []
    if (this.#closes(0x5d)) return array
    for (;;) {
      this.#count()
      array.push(this.#value(depth))
      this.#skipBlank()
      if (this.#closes(0x5d)) return array
      this.#take(COMMA)
      this.#skipBlank()
    }
  }

  #enter(depth: number): void {
    if (depth > this.#maxDepth) throw new AimsError('json.too_deep', `nested deeper than ${this.#maxDepth}`)
    this.#at += 1
    this.#skipBlank()
  }

  #count(): void {
    this.#membersLeft -= 1
    if (this.#membersLeft < 0) throw new AimsError('json.too_large', 'too many members')
  }

  #string(): string {
    const start = this.#at + 1
    const end = this.#plain ? this.#text.indexOf('"', start) : this.#closingQuote(start)
    if (end === -1) this.#malformed()
    this.#at = end + 1
    const raw = this.#text.slice(start, end)
    return this.#plain || !SPECIAL.test(raw) ? raw : this.#unescape(raw)
  }

  #closingQuote(start: number): number {
    const text = this.#text
    for (let at = start; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) return at
      if (code < 0x20) return -1
      if (code === BACKSLASH) at += 1
    }
    return -1
  }

  #unescape(raw: string): string {
    let value = ''
    for (let at = 0; at < raw.length; at += 1) {
      const char = raw.charAt(at)
      if (char !== '\\') {
        value += char
        continue
      }
      at += 1
      const letter = raw.charAt(at)
      if (letter === 'u') {
        const hex = raw.slice(at + 1, at + 5)
        if (!HEX4.test(hex)) this.#malformed()
        value += String.fromCharCode(Number.parseInt(hex, 16))
        at += 4
      } else value += ESCAPES[letter] ?? this.#malformed()
    }
    if (!value.isWellFormed()) throw new AimsError('json.malformed', 'a string has a lone surrogate')
    return value
  }

  #number(): number | bigint {
    const digits = this.#shortInteger()
    if (digits !== undefined) return digits
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (match === null) this.#malformed()
    const token = match[0]
    this.#at += token.length
    const number = Number(token)
    if (!Number.isFinite(number)) throw new AimsError('json.number', 'a number overflows')
    if (match[1] === undefined && match[2] === undefined && !Number.isSafeInteger(number)) {
      if (token.length > 40) throw new AimsError('json.number', 'an integer has more than 40 digits')
      return BigInt(token)
    }
    return number
  }

  // Times are the numbers of tokens; everything else takes the way of the grammar.
  #shortInteger(): number | undefined {
    const text = this.#text
    let at = this.#at
    let code = text.charCodeAt(at)
    if (code === ZERO) return undefined
    let value = 0
    while (code >= ZERO && code <= NINE && at - this.#at < 15) {
      value = value * 10 + code - ZERO
      at += 1
      code = text.charCodeAt(at)
    }
    const ends = code === COMMA || code === 0x7d || code === 0x5d
    if (at === this.#at || !ends) return undefined
    this.#at = at
    return value
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#malformed()
    this.#at += word.length
    return value
  }

  #closes(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false
    this.#at += 1
    return true
  }

  #take(code: number): void {
    if (!this.#closes(code)) this.#malformed()
  }

  #skipBlank(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at += 1
    }
  }

  #malformed(): never {
    throw new AimsError('json.malformed', `not JSON at character ${this.#at}`)
  }
}
