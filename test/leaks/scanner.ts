// Finds credentials in text, in every encoding that the threat model names. Written apart from what hides them in the
// product, so that a form forgotten there is not forgotten here as well.
import { gunzipSync } from 'node:zlib'

/** Something that must not be seen. */
export interface Credential {
  readonly name: string
  readonly bytes: Buffer
}

export interface Finding {
  readonly credential: string
  readonly encoding: string
}

/** How much of a form, at its beginning, in its middle or at its end, counts as the credential. */
const PIECE = 20

type Encoding = (bytes: Buffer) => readonly string[]

const hex = (bytes: Buffer): string => bytes.toString('hex')
const eachByte = (bytes: Buffer, prefix: string, upper: boolean): string =>
  [...bytes]
    .map((byte) => prefix + (upper ? hex(Buffer.from([byte])).toUpperCase() : hex(Buffer.from([byte]))))
    .join('')
const isText = (bytes: Buffer): boolean => bytes.every((byte) => byte >= 0x20 && byte < 0x7f)

// The text that base64 makes of the bytes wherever they stand: padded in front by none, one or two others, and cut to
// what depends on the bytes alone.
const base64 = (bytes: Buffer, alphabet: 'base64' | 'base64url'): readonly string[] =>
  [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString(alphabet)
      .replace(/=+$/, '')
    return text.slice(before === 0 ? 0 : before + 1, text.length - 2)
  })

export const ENCODINGS: { readonly [name: string]: Encoding } = {
  raw: (bytes) => [bytes.toString('latin1')],
  reversed: (bytes) => [Buffer.from(bytes).reverse().toString('latin1')],
  base64: (bytes) => base64(bytes, 'base64'),
  base64url: (bytes) => base64(bytes, 'base64url'),
  hex: (bytes) => [hex(bytes)],
  HEX: (bytes) => [hex(bytes).toUpperCase()],
  percent: (bytes) => [
    eachByte(bytes, '%', false),
    eachByte(bytes, '%', true),
    ...(isText(bytes) ? [encodeURIComponent(bytes.toString('latin1'))] : []),
  ],
  'JSON escapes': (bytes) => [eachByte(bytes, '\\u00', false), JSON.stringify(bytes.toString('latin1')).slice(1, -1)],
}

/** Characters that one byte becomes, where that is many. */
const SIZES: { readonly [encoding: string]: number } = { percent: 3, 'JSON escapes': 6 }

interface Needle extends Finding {
  readonly text: string
}

/** Text that has every form of a credential, in the encodings above and gzip in base64. For proving a scanner. */
export function plant(bytes: Buffer, encoding: string): readonly string[] {
  const forms = ENCODINGS[encoding]
  if (forms === undefined) throw new TypeError(`no such encoding: ${encoding}`)
  return forms(bytes)
}

/** Needles by their first four characters, so that a text is gone through once. */
class NeedleIndex {
  // How many needles begin like this: quickly, and sometimes wrongly.
  readonly #filter = new Uint16Array(1 << 16)
  readonly #byStart = new Map<number, Set<Needle>>()

  add(needles: readonly Needle[]): void {
    for (const needle of needles) {
      const start = codeAt(needle.text, 0)
      this.#count(start, 1)
      const known = this.#byStart.get(start)
      if (known === undefined) this.#byStart.set(start, new Set([needle]))
      else known.add(needle)
    }
  }

  remove(needles: readonly Needle[]): void {
    for (const needle of needles) {
      const start = codeAt(needle.text, 0)
      this.#count(start, -1)
      const known = this.#byStart.get(start)
      known?.delete(needle)
      if (known?.size === 0) this.#byStart.delete(start)
    }
  }

  #count(start: number, change: number): void {
    const slot = slotOf(start)
    this.#filter[slot] = (this.#filter[slot] ?? 0) + change
  }

  find(text: string, found: Map<string, Finding>): void {
    let code = codeAt(text, 0)
    for (let at = 0; at + 4 <= text.length; at += 1) {
      if (at > 0) code = ((code << 8) | (text.charCodeAt(at + 3) & 0xff)) >>> 0
      if (this.#filter[slotOf(code)] === 0) continue
      for (const { text: needle, credential, encoding } of this.#byStart.get(code) ?? []) {
        if (text.startsWith(needle, at)) found.set(`${credential} ${encoding}`, { credential, encoding })
      }
    }
  }
}

function codeAt(text: string, at: number): number {
  let code = 0
  for (let i = 0; i < 4; i += 1) code = ((code << 8) | (text.charCodeAt(at + i) & 0xff)) >>> 0
  return code
}

function slotOf(code: number): number {
  return (Math.imul(code, 0x9e3779b1) >>> 16) & 0xffff
}

/** How many sets of credentials of a moment are remembered. */
const MOMENTS = 24

export class Scanner {
  readonly #index = new NeedleIndex()
  readonly #moments: (readonly Needle[])[] = []
  /** Characters that were looked through. */
  scanned = 0

  constructor(credentials: readonly Credential[]) {
    this.#index.add(credentials.flatMap(needlesOf))
  }

  /** Looks for these as well, for a while: proofs that were made just now. */
  watch(credentials: readonly Credential[]): void {
    const needles = credentials.flatMap(needlesOf)
    this.#index.add(needles)
    this.#moments.push(needles)
    const oldest = this.#moments.length > MOMENTS ? this.#moments.shift() : undefined
    if (oldest !== undefined) this.#index.remove(oldest)
  }

  /** What is in a text. */
  scan(text: string): readonly Finding[] {
    this.scanned += text.length
    const inside = new Map<string, Finding>()
    this.#index.find(text, inside)
    const found = [...inside.values()]
    if (!text.includes('H4sI')) return found
    // A text in gzip in base64 may have any of them in it.
    for (const [packed] of text.matchAll(/H4sI[A-Za-z0-9+/_-]{20,}={0,2}/g)) {
      const inner = unpacked(packed)
      if (inner !== undefined) {
        found.push(
          ...this.scan(inner).map(({ credential, encoding }) => ({
            credential,
            encoding: `${encoding} in gzip in base64`,
          })),
        )
      }
    }
    return found
  }
}

function unpacked(text: string): string | undefined {
  try {
    return gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: 1 << 20 }).toString('latin1')
  } catch {
    return undefined
  }
}

/** A token is found by its claims and by its signature, too: the parts of a JWT. */
export function tokenCredentials(name: string, token: string): readonly Credential[] {
  const [, ...parts] = token.split('.')
  const segments = parts.map((part, at) => ({
    name: `${name} (${at === 0 ? 'claims' : 'signature'})`,
    bytes: Buffer.from(part, 'latin1'),
  }))
  return segments.filter(({ bytes }) => bytes.length >= PIECE)
}

function needlesOf({ name, bytes }: Credential): readonly Needle[] {
  const isClaims = name.endsWith('(claims)')
  return Object.entries(ENCODINGS).flatMap(([encoding, forms]) =>
    [...new Set(forms(bytes))].flatMap((form) =>
      // What claims begin and end with, others have, too: an issuer, a name.
      (isClaims ? [form] : piecesOf(form, PIECE * (SIZES[encoding] ?? 1))).map((text) => ({
        credential: name,
        encoding,
        text,
      })),
    ),
  )
}

function piecesOf(form: string, size: number): readonly string[] {
  const middle = Math.floor((form.length - size) / 2)
  return form.length < size
    ? [form]
    : [...new Set([0, middle, form.length - size].map((at) => form.slice(at, at + size)))]
}
