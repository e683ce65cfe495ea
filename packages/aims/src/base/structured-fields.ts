import { decodeBase64, decodeUtf8 } from './bytes.ts'
import { AimsError } from './errors.ts'

/** A value without parameters. Integers and decimals are told apart, as `1` and `1.0` are on the wire. */
export type BareItem =
  | { readonly type: 'integer' | 'decimal' | 'date'; readonly value: number }
  | { readonly type: 'string' | 'token' | 'display-string'; readonly value: string }
  | { readonly type: 'bytes'; readonly value: Uint8Array }
  | { readonly type: 'boolean'; readonly value: boolean }

/** In the order of the wire; a key that occurs again has its last value, at its first place. */
export type Parameters = ReadonlyMap<string, BareItem>

/** A value with its parameters. */
export interface Item {
  readonly kind: 'item'
  readonly value: BareItem
  readonly parameters: Parameters
}

/** Items in parentheses, with parameters of the whole. */
export interface InnerList {
  readonly kind: 'inner-list'
  readonly items: readonly Item[]
  readonly parameters: Parameters
}

/** What a list has, and a dictionary under each key. */
export type Member = Item | InnerList

/** In the order of the wire. */
export type Dictionary = ReadonlyMap<string, Member>

/** Items and inner lists in order. */
export type List = readonly Member[]

/** No parameters. */
export const NO_PARAMETERS: Parameters = new Map()

/**
 * Reads a dictionary, e.g. `a=1, b=(x "y");z`. Strict where RFC 9651 leaves a choice: base64 is canonical.
 *
 * @param text - The value of the field; of several lines, joined with `, `.
 * @param options.unique - Refuse a key that occurs twice. Default: the last value counts, as the RFC says.
 * @throws {@link AimsError} `http.malformed_field`
 * @see RFC 9651 section 4.2.2
 */
export function parseDictionary(text: string, options: { readonly unique?: boolean } = {}): Dictionary {
  const reader = new Reader(text)
  const members = new Map<string, Member>()
  reader.skipSpaces()
  while (!reader.isAtEnd) {
    const key = reader.readKey()
    if (options.unique === true && members.has(key)) malformed('a key occurs twice')
    members.set(key, reader.take('=') ? reader.readMember() : reader.readFlag())
    reader.readSeparator()
  }
  return members
}

/** Reads a list, e.g. `a, (b c);d`. @throws {@link AimsError} `http.malformed_field` @see RFC 9651 section 4.2.1 */
export function parseList(text: string): List {
  const reader = new Reader(text)
  const members: Member[] = []
  reader.skipSpaces()
  while (!reader.isAtEnd) {
    members.push(reader.readMember())
    reader.readSeparator()
  }
  return members
}

/** Reads one item, e.g. `"text";a=1`. @throws {@link AimsError} `http.malformed_field` @see RFC 9651 section 4.2.3 */
export function parseItem(text: string): Item {
  const reader = new Reader(text)
  reader.skipSpaces()
  const item = reader.readItem()
  reader.skipSpaces()
  if (!reader.isAtEnd) malformed('something follows the item')
  return item
}

// Sticky, so that each is tried at one place, and none of them can go back and forth.
const KEY = /[a-z*][a-z0-9_\-.*]*/y
const TOKEN = /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y
const STRING = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const NUMBER = /-?(?:([0-9]{1,12})\.([0-9]{1,3})|([0-9]{1,15}))(?![0-9.])/y
const BYTES = /:([A-Za-z0-9+/=]*):/y
const DISPLAY_STRING = /%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"/y
const DATE = /@(-?[0-9]{1,15})(?![0-9.])/y
const TRUE: BareItem = { type: 'boolean', value: true }
const FALSE: BareItem = { type: 'boolean', value: false }

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length
  }

  take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  skipSpaces(): void {
    while (this.#text.charCodeAt(this.#at) === 0x20) this.#at += 1
  }

  // Between members, and only there, a tab is as good as a space. A trailing comma is an error.
  readSeparator(): void {
    this.#skipBlanks()
    if (this.isAtEnd) return
    if (!this.take(',')) malformed('no comma between members')
    this.#skipBlanks()
    if (this.isAtEnd) malformed('a comma at the end')
  }

  #skipBlanks(): void {
    for (let code = this.#code; code === 0x20 || code === 0x09; code = this.#code) this.#at += 1
  }

  get #code(): number {
    return this.#text.charCodeAt(this.#at)
  }

  readKey(): string {
    return this.#read(KEY, 'a key')[0]
  }

  /** What a key without a value stands for. */
  readFlag(): Item {
    return { kind: 'item', value: TRUE, parameters: this.#readParameters() }
  }

  readMember(): Member {
    return this.take('(') ? this.#readInnerList() : this.readItem()
  }

  readItem(): Item {
    return { kind: 'item', value: this.#readBareItem(), parameters: this.#readParameters() }
  }

  #readInnerList(): InnerList {
    const items: Item[] = []
    for (;;) {
      this.skipSpaces()
      if (this.take(')')) return { kind: 'inner-list', items, parameters: this.#readParameters() }
      items.push(this.readItem())
      const next = this.#text[this.#at]
      if (next !== ' ' && next !== ')') malformed('an inner list')
    }
  }

  #readParameters(): Parameters {
    if (this.#text[this.#at] !== ';') return NO_PARAMETERS
    const parameters = new Map<string, BareItem>()
    while (this.take(';')) {
      this.skipSpaces()
      const key = this.readKey()
      parameters.set(key, this.take('=') ? this.#readBareItem() : TRUE)
    }
    return parameters
  }

  #readBareItem(): BareItem {
    const first = this.#text[this.#at] ?? ''
    switch (first) {
      case '"':
        return { type: 'string', value: (this.#read(STRING, 'a string')[1] as string).replace(/\\(.)/g, '$1') }
      case ':':
        return this.#readBytes()
      case '?':
        this.#at += 1
        if (this.take('1')) return TRUE
        if (this.take('0')) return FALSE
        return malformed('a boolean')
      case '@':
        return { type: 'date', value: integer(this.#read(DATE, 'a date')[1] as string) }
      case '%':
        return this.#readDisplayString()
      default:
        if (/[A-Za-z*]/.test(first)) return { type: 'token', value: this.#read(TOKEN, 'a token')[0] }
        return this.#readNumber()
    }
  }

  #readNumber(): BareItem {
    const [text, , fraction] = this.#read(NUMBER, 'a number')
    return fraction === undefined
      ? { type: 'integer', value: integer(text) }
      : { type: 'decimal', value: Number(text) + 0 }
  }

  #readBytes(): BareItem {
    const value = decodeBase64(this.#read(BYTES, 'a byte sequence')[1] as string)
    return value === undefined ? malformed('base64') : { type: 'bytes', value }
  }

  #readDisplayString(): BareItem {
    const written = this.#read(DISPLAY_STRING, 'a display string')[1] as string
    const latin1 = written.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    const value = decodeUtf8(Buffer.from(latin1, 'latin1'))
    return value === undefined ? malformed('UTF-8 in a display string') : { type: 'display-string', value }
  }

  #read(pattern: RegExp, what: string): RegExpExecArray {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return malformed(what)
    this.#at = pattern.lastIndex
    return match
  }
}

// `-0` is 0: there is one zero on the wire.
function integer(text: string): number {
  return Number(text) + 0
}

function malformed(what: string): never {
  throw new AimsError('http.malformed_field', `not a structured field (RFC 9651): ${what}`)
}
