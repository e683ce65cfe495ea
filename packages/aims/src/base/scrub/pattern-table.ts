import { formsOf, type Hidden } from './forms.ts'

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
  /** True when bytes of this hash may be one of the pieces: quickly, and sometimes wrongly. */
  readonly filter: Uint8Array
  readonly places: ReadonlyMap<number, readonly Place[]>
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
  const power = powerOf(length)
  let hash = 0
  for (let end = 0; end < form.length; end += 1) {
    const byte = form[end] ?? 0
    alphabet[byte] = 1
    hash = (Math.imul(hash, BASE) + byte) | 0
    if (end >= length) hash = (hash - Math.imul(form[end - length] ?? 0, power)) | 0
    if (end < length - 1) continue
    const place = { form, at: end - length + 1 }
    const known = places.get(hash)
    if (known === undefined) places.set(hash, [place])
    else known.push(place)
  }
}

function windowTable(length: number, places: ReadonlyMap<number, readonly Place[]>): WindowTable {
  const filter = new Uint8Array(1 << 16)
  for (const hash of places.keys()) filter[hash >>> 16] = 1
  return { length, power: powerOf(length), filter, places }
}

function powerOf(length: number): number {
  let power = 1
  for (let i = 0; i < length; i += 1) power = Math.imul(power, BASE)
  return power
}

/** Whether the bytes before `end`, of this hash, are one of the pieces. */
export function isPiece(
  { length, filter, places }: WindowTable,
  hash: number,
  bytes: Uint8Array,
  end: number,
): boolean {
  if (filter[hash >>> 16] !== 1) return false
  const start = end - length
  return (places.get(hash) ?? []).some(({ form, at }) => {
    for (let i = 0; i < length; i += 1) if (form[at + i] !== bytes[start + i]) return false
    return true
  })
}
