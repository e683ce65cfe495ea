import { AimsError } from './errors.ts'

const MAX_DEPTH = 64

/**
 * Writes a JSON value in its one canonical form: members sorted by UTF-16 code units, no blanks, numbers and strings
 * as ECMAScript writes them. Members that are `undefined` are left out.
 *
 * @param value - JSON only. Anything that JSON has no word for (functions, `undefined` elements, `Date`, `bigint` ...)
 *   is a `TypeError`.
 * @throws {@link AimsError} `json.number` for NaN and infinities, `json.malformed` for a lone surrogate,
 *   `json.too_deep` beyond 64 levels
 * @see RFC 8785
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0)
}

function write(value: unknown, depth: number): string {
  if (typeof value === 'string') return writeString(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new AimsError('json.number', 'a number is not finite')
    return String(value)
  }
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value !== 'object') throw new TypeError(`JSON has no ${typeof value}`)
  if (depth >= MAX_DEPTH) throw new AimsError('json.too_deep', `nested deeper than ${MAX_DEPTH}`)
  // Not `map`, which passes over holes: two arrays would have one form.
  if (Array.isArray(value)) return `[${Array.from(value, (element) => write(element, depth + 1)).join(',')}]`
  return writeObject(value, depth + 1)
}

function writeObject(object: object, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype !== Object.prototype && prototype !== null) throw new TypeError('only plain objects are JSON')
  let members = ''
  // The default order of sort() is the one RFC 8785 section 3.2.3 asks for: by UTF-16 code units.
  for (const name of Object.keys(object).sort()) {
    const value: unknown = Reflect.get(object, name)
    if (value === undefined) continue
    members += `${members === '' ? '' : ','}${writeString(name)}:${write(value, depth)}`
  }
  return `{${members}}`
}

function writeString(text: string): string {
  if (!text.isWellFormed()) throw new AimsError('json.malformed', 'a string has a lone surrogate')
  return JSON.stringify(text)
}
