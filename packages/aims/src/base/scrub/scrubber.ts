import { BASE, isPiece, type PatternTable, type WindowTable } from './pattern-table.ts'
import { unescapeLayers } from './unescape.ts'

/** Takes what is hidden out of bytes that come in pieces. */
export interface Scrubber {
  /** Bytes of the answer so far that can be shown. What may be the beginning of something hidden is kept back. */
  push(chunk: Buffer): Buffer
  /** What was kept back. Nothing comes after it. */
  end(): Buffer
  /** Bytes that were covered. */
  readonly covered: number
}

const COVER = 0x2a

/**
 * Covers every piece of what is hidden with asterisks, as many as there were bytes, so that lengths stay what they are. A
 * piece that comes in several chunks is found as well. Only a run of characters that may begin such a piece waits for the
 * next chunk: text ends with a line or a bracket, and goes on at once.
 */
export function createScrubber(tables: readonly PatternTable[]): Scrubber {
  const windows = tables.flatMap((table) => table.windows)
  const longest = Math.max(0, ...tables.map((table) => table.longest))
  const alphabet = new Uint8Array(256)
  for (const table of tables) for (const [byte, is] of table.alphabet.entries()) if (is === 1) alphabet[byte] = 1
  let held: Buffer = Buffer.alloc(0)
  // Which of the bytes that are held are to be covered.
  let heldCovers: Uint8Array = new Uint8Array(0)
  let covered = 0

  const take = (chunk: Buffer, isLast: boolean): Buffer => {
    if (windows.length === 0) return chunk
    const text = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    const covers = new Uint8Array(text.length)
    covers.set(heldCovers)
    let keepFrom = look({ bytes: text, length: text.length, starts: undefined, open: text.length }, covers)
    for (const view of unescapeLayers(text)) keepFrom = Math.min(keepFrom, look(view, covers))
    const end = isLast ? text.length : keepFrom
    held = text.subarray(end)
    heldCovers = covers.slice(end)
    return cover(text, covers, end)
  }

  // Marks what is to be covered, and says from where on bytes must wait.
  const look = (view: View, covers: Uint8Array): number => {
    for (const table of windows) mark(table, view, alphabet, covers)
    const { bytes, length, starts, open } = view
    let run = 0
    while (run < longest - 1 && run < length && alphabet[bytes[length - 1 - run] ?? 0] === 1) run += 1
    if (run === 0) return open
    return starts === undefined ? length - run : (starts[length - run] ?? 0)
  }

  const cover = (text: Buffer, covers: Uint8Array, end: number): Buffer => {
    if (!covers.subarray(0, end).includes(1)) return text.subarray(0, end)
    const shown = Buffer.from(text.subarray(0, end))
    for (let at = 0; at < end; at += 1) {
      if (covers[at] !== 1) continue
      shown[at] = COVER
      covered += 1
    }
    return shown
  }

  return {
    push: (chunk) => take(chunk, false),
    end: () => take(Buffer.alloc(0), true),
    get covered() {
      return covered
    },
  }
}

interface View {
  readonly bytes: Uint8Array
  readonly length: number
  /** Where each byte is in the text. Absent: where it is here. */
  readonly starts: Uint32Array | undefined
  readonly open: number
}

function mark(table: WindowTable, { bytes, length, starts }: View, alphabet: Uint8Array, covers: Uint8Array): void {
  const { length: size, power } = table
  let hash = 0
  let run = 0
  for (let at = 0; at < length; at += 1) {
    const byte = bytes[at] ?? 0
    if (alphabet[byte] !== 1) {
      hash = 0
      run = 0
      continue
    }
    hash = (Math.imul(hash, BASE) + byte) | 0
    run += 1
    if (run > size) hash = (hash - Math.imul(bytes[at - size] ?? 0, power)) | 0
    if (run < size || !isPiece(table, hash, bytes, at + 1)) continue
    const [from, to] = starts === undefined ? [at + 1 - size, at + 1] : [starts[at + 1 - size], starts[at + 1]]
    covers.fill(1, from, to)
  }
}

/** A short text, e.g. a header field, without what is hidden. */
export function scrubText(text: string, tables: readonly PatternTable[]): string {
  const scrubber = createScrubber(tables)
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([scrubber.push(bytes), scrubber.end()]).toString('latin1')
}
