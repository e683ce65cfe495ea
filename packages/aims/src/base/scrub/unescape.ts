/** Text with the escapes of single characters undone, and where each character came from. */
export interface Unescaped {
  readonly bytes: Uint8Array
  /** For each byte where its escape begins; one more for the end of the last. */
  readonly starts: Uint32Array
  readonly length: number
  /** Where an escape begins that may go on behind the end. The length of the text when there is none. */
  readonly open: number
}

const [PERCENT, BACKSLASH, AMPERSAND] = [0x25, 0x5c, 0x26]
/** The longest escape is `&#x0000041;` of HTML, as far as we follow it. */
const MAX_ESCAPE = 12
const ESCAPE = /^(?:%([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})|\\x([0-9A-Fa-f]{2})|&#[xX]0{0,6}([0-9A-Fa-f]{2});)/
const DECIMAL = /^&#0{0,6}([0-9]{1,3});/
const NAMED = /^&(amp|lt|gt|quot|apos);/
const NAMES: { readonly [name: string]: string } = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const OPEN =
  /^(?:%[0-9A-Fa-f]?|\\(?:u(?:0(?:0[0-9A-Fa-f]?)?)?|x[0-9A-Fa-f]?)?|&(?:#(?:[xX][0-9A-Fa-f]{0,8}|[0-9]{0,9})?|a|am|amp|ap|apo|apos|l|lt|g|gt|q|qu|quo|quot)?)$/
/** A URL inside another, or JSON inside a string: escapes of escapes, so many times over. */
const MAX_LAYERS = 4

/** The text with one layer of escapes undone, with two, and so on, as long as there are any. */
export function unescapeLayers(text: Buffer): readonly Unescaped[] {
  const layers: Unescaped[] = []
  let inner = text
  while (layers.length < MAX_LAYERS && mayHaveEscapes(inner)) {
    const layer = unescapeBytes(inner)
    const outer = layers.at(-1)
    layers.push(outer === undefined ? layer : within(layer, outer))
    // Nothing was escaped: it only looked like it.
    if (layer.length === layer.open) break
    inner = Buffer.from(layer.bytes.buffer, 0, layer.length)
  }
  return layers
}

// Where it came from in the text that the outer layer was read from.
function within({ bytes, starts, length, open }: Unescaped, outer: Unescaped): Unescaped {
  return {
    bytes,
    length,
    starts: starts.map((at) => outer.starts[at] ?? 0),
    open: open === outer.length ? outer.open : (outer.starts[open] ?? 0),
  }
}

/** Undoes percent escapes, those of JSON and JavaScript strings, and those of HTML, whatever the text is. */
function unescapeBytes(text: Buffer): Unescaped {
  const bytes = new Uint8Array(text.length)
  const starts = new Uint32Array(text.length + 1)
  let length = 0
  let at = 0
  while (at < text.length) {
    const byte = text[at] ?? 0
    let [value, size] = [byte, 1]
    if (byte === PERCENT || byte === BACKSLASH || byte === AMPERSAND) {
      const rest = text.toString('latin1', at, at + MAX_ESCAPE)
      if (OPEN.test(rest)) break
      ;[value, size] = readEscape(rest, byte)
    }
    bytes[length] = value
    starts[length] = at
    length += 1
    at += size
  }
  starts[length] = at
  return { bytes, starts, length, open: at }
}

function readEscape(rest: string, byte: number): [value: number, size: number] {
  const escaped = ESCAPE.exec(rest)
  if (escaped !== null) {
    const [whole, ...digits] = escaped
    return [Number.parseInt(digits.find((one) => one !== undefined) ?? '', 16), whole.length]
  }
  const decimal = DECIMAL.exec(rest)
  if (decimal !== null) return [Number(decimal[1]) & 0xff, decimal[0].length]
  const name = NAMED.exec(rest)?.[1]
  if (name !== undefined) return [(NAMES[name] ?? '').charCodeAt(0), name.length + 2]
  // In JSON a backslash before a slash or quote means that character.
  if (byte === BACKSLASH && /^\\["\\/']/.test(rest)) return [rest.charCodeAt(1), 2]
  return [byte, 1]
}

/** Whether there is anything to undo. */
function mayHaveEscapes(text: Buffer): boolean {
  return text.includes(PERCENT) || text.includes(BACKSLASH) || text.includes(AMPERSAND)
}
