import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'

/** A statement of Intel as its service serves it: an object and a signature over its very bytes. */
export interface SignedStatement {
  /** The bytes of the object: exactly these were signed, and exactly these are read. */
  readonly signed: Uint8Array
  /** r and s, 64 bytes. */
  readonly signature: Uint8Array
  readonly object: JsonObject
}

/** Bytes. Intel's have about 20 kB. */
const MAX_STATEMENT = 262_144
const END = /,"signature":"([0-9a-fA-F]{128})"\}[\t\n\r ]*$/

/**
 * Cuts `{"<name>":{...},"signature":"..."}` into the signed bytes and the signature. The cut is at fixed places and the
 * piece between is read strictly as one object, so what is read is what was signed (N18).
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 */
export function parseStatement(file: Uint8Array, name: 'tcbInfo' | 'enclaveIdentity'): SignedStatement {
  if (file.length > MAX_STATEMENT) throw malformed(`a statement has at most ${MAX_STATEMENT} bytes`)
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString('latin1')
  const start = `{"${name}":`
  const end = END.exec(text.slice(-1024))
  if (!text.startsWith(start) || end === null) throw malformed('a statement is not an object and its signature')
  const length = text.length - Math.min(text.length, 1024) + end.index
  const signed = file.subarray(start.length, length)
  return {
    signed,
    signature: Buffer.from(end[1] as string, 'hex'),
    object: refuseAs('attestation.collateral_malformed', 'a statement is not strict JSON', () =>
      parseJsonObject(signed),
    ),
  }
}

/** Reads members of a statement. Each throws `attestation.collateral_malformed` for a value of another form. */
export const member = {
  integer(object: JsonObject, name: string, most = 0xffff_ffff): number {
    const value = object[name]
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > most) throw wrong(name)
    return value as number
  },
  hex(object: JsonObject, name: string, bytes: number): Buffer {
    const value = object[name]
    if (typeof value !== 'string' || value.length !== bytes * 2 || !/^[0-9a-fA-F]*$/.test(value)) throw wrong(name)
    return Buffer.from(value, 'hex')
  },
  word<Word extends string>(object: JsonObject, name: string, words: readonly Word[]): Word {
    const found = words.find((word) => word === object[name])
    if (found === undefined) throw wrong(name)
    return found
  },
  /** Seconds since the epoch. */
  date(object: JsonObject, name: string): number {
    const value = object[name]
    const time = typeof value === 'string' && DATE.test(value) ? Date.parse(value) : Number.NaN
    // Date.parse reads February 30 as March 2.
    if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 19) !== String(value).slice(0, 19))
      throw wrong(name)
    return time / 1000
  },
  object(object: JsonObject, name: string): JsonObject {
    const value = object[name]
    if (!isJsonObject(value)) throw wrong(name)
    return value
  },
  /** A list of objects, not empty. */
  list<T>(object: JsonObject, name: string, read: (one: JsonObject) => T): readonly T[] {
    const value: JsonValue | undefined = object[name]
    if (!Array.isArray(value) || value.length === 0) throw wrong(name)
    return value.map((one: JsonValue) => {
      if (!isJsonObject(one)) throw wrong(name)
      return read(one)
    })
  },
  /** A list of short texts; empty when absent. */
  texts(object: JsonObject, name: string): readonly string[] {
    const value = object[name] ?? []
    if (!Array.isArray(value)) throw wrong(name)
    return value.map((one: JsonValue) => {
      if (typeof one !== 'string' || one.length === 0 || one.length > 64) throw wrong(name)
      return one
    })
  },
}

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

function wrong(name: string): AimsError {
  return malformed(`${name} has not the form that Intel documents`)
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.collateral_malformed', message)
}
