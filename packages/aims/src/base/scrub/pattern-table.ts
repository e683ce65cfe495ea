import { formsOf, type Hidden, KEY_WINDOW } from './forms.ts'

/** Finds windows of bytes that belong to something hidden. */
export interface PatternTable {
  readonly windows: readonly WindowTable[]
  /** 1 for bytes that occur in any form. A run of the others ends every match. */
  readonly alphabet: Uint8Array
  /** The longest window. */
  readonly longest: number
}

/** All pieces of one length. */
export interface WindowTable {
  readonly length: number
  /** The base of the hash to the power of the length: what a byte counts for when it leaves. */
  readonly power: number
  /** By the first bits of a hash: not 0 when bytes of this hash may be one of the pieces; quickly, and sometimes wrongly. */
  readonly filter: Uint8Array
  /** Bits of a hash that the filter does not look at. */
  readonly shift: number
  readonly places: ReadonlyMap<number, readonly Place[]>
}

/** A table of texts in base64url that changes, also while answers are looked through with it. */
export interface ChangingTable {
  readonly table: PatternTable
  /** @returns takes it out again */
  add(text: string): () => void
}

interface Place {
  readonly form: Buffer
  readonly at: number
}

/** Of the rolling hash. Odd, so that no byte is lost. */
export const BASE = 0x01000193

/** Makes the table of everything that an answer may not show. */
export function patternTable(hidden: readonly Hidden[]): PatternTable {
  const byLength = new Map<number, Map<number, Place[]>>()
  const alphabet = new Uint8Array(256)
  for (const { bytes, window } of hidden) {
    const places = byLength.get(window) ?? new Map<number, Place[]>()
    byLength.set(window, places)
    for (const form of formsOf(bytes)) addForm(form, window, places, alphabet)
  }
  const windows = [...byLength].map(([length, places]) => windowTable(length, places))
  return { windows, alphabet, longest: Math.max(0, ...byLength.keys()) }
}

function addForm(form: Buffer, length: number, places: Map<number, Place[]>, alphabet: Uint8Array): void {
  // Shorter than a window, e.g. a password in base64: its ends are what base64 shares with the neighbours.
  if (form.length < length) return
  for (const byte of form) alphabet[byte] = 1
  eachPiece(form, length, (hash, at) => {
    const known = places.get(hash)
    if (known === undefined) places.set(hash, [{ form, at }])
    else known.push({ form, at })
  })
}

function eachPiece(form: Buffer, length: number, visit: (hash: number, at: number) => void): void {
  const power = powerOf(length)
  let hash = 0
  for (let end = 0; end < form.length; end += 1) {
    hash = (Math.imul(hash, BASE) + (form[end] ?? 0)) | 0
    if (end >= length) hash = (hash - Math.imul(form[end - length] ?? 0, power)) | 0
    if (end >= length - 1) visit(hash, end - length + 1)
  }
}

function windowTable(length: number, places: ReadonlyMap<number, readonly Place[]>): WindowTable {
  const filter = new Uint8Array(1 << 16)
  for (const hash of places.keys()) filter[hash >>> 16] = 1
  return { length, power: powerOf(length), filter, shift: 16, places }
}

/** Counts of pieces by the first 20 bits of their hash: some hundred tokens fill a quarter of them. */
const CHANGING_BITS = 20
/** The most that a byte counts. What has come this far is not counted down any more. */
const FULL = 255

/** Bytes that occur in the forms of base64url, from the beginning: answers that have begun do not ask again. */
const OF_BASE64 = Buffer.from('\0+-/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz')

/** Makes an empty table, which hides as `hiddenKey` does. To change it costs what one text costs, however many there are. */
export function changingTable(): ChangingTable {
  const shift = 32 - CHANGING_BITS
  const filter = new Uint8Array(1 << CHANGING_BITS)
  const places = new Map<number, Place[]>()
  const alphabet = new Uint8Array(256)
  for (const byte of OF_BASE64) alphabet[byte] = 1
  const count = (hash: number, by: 1 | -1): void => {
    const at = hash >>> shift
    const known = filter[at] ?? 0
    if (known < FULL) filter[at] = known + by
  }
  const windows = [{ length: KEY_WINDOW, power: powerOf(KEY_WINDOW), filter, shift, places }]
  return {
    table: { windows, alphabet, longest: KEY_WINDOW },
    add(text) {
      const forms = formsOf(Buffer.from(text, 'latin1'))
      for (const form of forms) {
        addForm(form, KEY_WINDOW, places, alphabet)
        eachPiece(form, KEY_WINDOW, (hash) => count(hash, 1))
      }
      return () => {
        for (const form of forms) {
          eachPiece(form, KEY_WINDOW, (hash) => {
            const others = places.get(hash)?.filter((place) => place.form !== form) ?? []
            if (others.length === 0) places.delete(hash)
            else places.set(hash, others)
            count(hash, -1)
          })
        }
      }
    },
  }
}

function powerOf(length: number): number {
  let power = 1
  for (let i = 0; i < length; i += 1) power = Math.imul(power, BASE)
  return power
}

/** Whether the bytes before `end`, of this hash, are one of the pieces. */
export function isPiece(
  { length, filter, shift, places }: WindowTable,
  hash: number,
  bytes: Uint8Array,
  end: number,
): boolean {
  if (filter[hash >>> shift] === 0) return false
  const start = end - length
  return (places.get(hash) ?? []).some(({ form, at }) => {
    for (let i = 0; i < length; i += 1) if (form[at + i] !== bytes[start + i]) return false
    return true
  })
}
