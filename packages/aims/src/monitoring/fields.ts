import { sha256Base64url } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import type { JsonObject, JsonValue } from '../base/json.ts'
import { hasSecret } from '../base/secret-text.ts'

/**
 * Returns a value as it may stand in a record, or throws. Cleaning twice changes nothing more.
 * `path` is the name of the field, for messages; it is never made of the value.
 */
export type Clean<T extends JsonValue = JsonValue> = (value: unknown, path: string) => T

type Fields = { readonly [name: string]: Clean }

// Longer than any request line that reaches us: what is longer was put together by mistake.
const MAX_RAW_LENGTH = 65_536

// C0, DEL, C1, lone surrogates, separators, and what changes the direction or visibility of text.
const UNPRINTABLE =
  /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

/**
 * Text of at most `max` characters. Control and invisible characters are written as `\u001b`; longer text is cut and
 * ends with the SHA-256 of the whole: neither lets a caller keep what it does out of the log.
 */
export function text(max: number, pattern?: RegExp): Clean<string> {
  return (value, path) => {
    if (typeof value !== 'string' || value === '') throw invalid(path)
    if (value.length > MAX_RAW_LENGTH) throw new AimsError('audit.too_large', `${path} is too large`)
    if (hasSecret(value)) throw new AimsError('audit.forbidden_value', `${path} looks like a token or a key`)
    if (pattern !== undefined && (value.length > max || !pattern.test(value))) throw invalid(path)
    return shorten(value.replace(UNPRINTABLE, encode), max)
  }
}

// A character beyond the first plane is written as its two surrogates, as JSON does.
function encode(char: string): string {
  const units = Array.from({ length: char.length }, (_, at) => char.charCodeAt(at).toString(16).padStart(4, '0'))
  return `\\u${units.join('\\u')}`
}

function shorten(value: string, max: number): string {
  if (value.length <= max) return value
  const digest = `~sha256:${sha256Base64url(value)}`
  // A pair of surrogates is not cut in two.
  return `${value.slice(0, max - digest.length).replace(/[\ud800-\udbff]$/, '')}${digest}`
}

/** One of the given words. */
export function oneOf(...words: readonly (string | number)[]): Clean {
  return (value, path) => {
    const word = words.find((word) => word === value)
    if (word === undefined) throw invalid(path)
    return word
  }
}

/** A list of at most `max` elements. */
export function list(element: Clean, max: number): Clean {
  return (value, path) => {
    if (!Array.isArray(value)) throw invalid(path)
    if (value.length > max) throw new AimsError('audit.too_large', `${path} has too many elements`)
    return value.map((item: unknown) => element(item, path))
  }
}

/** An object of exactly these fields. What is not on the list is refused, never passed on. */
export function object(required: Fields, optional: Fields = {}): Clean<JsonObject> {
  const known = new Set([...Object.keys(required), ...Object.keys(optional)])
  const fields = [...Object.entries(required), ...Object.entries(optional)]
  return (value, path) => {
    if (!isObject(value)) throw invalid(path)
    for (const name of Object.keys(value)) {
      if (!known.has(name)) throw new AimsError('audit.unknown_field', `${path} has a field that records do not have`)
    }
    const cleaned: Record<string, JsonValue> = {}
    for (const [name, clean] of fields) {
      const field = value[name]
      if (field !== undefined) cleaned[name] = clean(field, `${path}.${name}`)
      else if (name in required) throw new AimsError('audit.missing_field', `${path}.${name} is missing`)
    }
    return cleaned
  }
}

/** A few facts of any name: text, numbers that JSON keeps exactly, and booleans. */
export function facts(max: number, fact: Clean): Clean<JsonObject> {
  return (value, path) => {
    if (!isObject(value)) throw invalid(path)
    const names = Object.keys(value).filter((name) => value[name] !== undefined)
    if (names.length > max) throw new AimsError('audit.too_large', `${path} has too many members`)
    const cleaned: Record<string, JsonValue> = {}
    for (const name of names) {
      if (!FACT_NAME.test(name)) throw invalid(path)
      const member = value[name]
      const plain = typeof member === 'boolean' || (typeof member === 'number' && Math.abs(member) <= 2 ** 53 - 1)
      cleaned[name] = plain ? member : fact(member, path)
    }
    return cleaned
  }
}

const FACT_NAME = /^[a-zA-Z][\w.-]{0,63}$/

/** A whole number from 0 on. */
export const count: Clean<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(path)
  return value
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(path: string): AimsError {
  return new AimsError('audit.invalid_field', `${path} has the wrong type or form`)
}
