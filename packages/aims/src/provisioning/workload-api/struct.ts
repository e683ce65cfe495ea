import { AimsError } from '../../base/errors.ts'
import type { JsonObject, JsonValue } from '../../base/json.ts'
import {
  bytesOf,
  doubleOf,
  type Field,
  type MessageCodec,
  malformed,
  readFields,
  textOf,
  varintOf,
  writeBytes,
  writeDouble,
  writeElement,
  writeMessage,
  writeVarint,
} from './protobuf.ts'

const MAX_DEPTH = 16

/**
 * A JSON object as `google.protobuf.Struct`. Its numbers are doubles: an integer beyond 2^53 loses digits on the way.
 *
 * @see google/protobuf/struct.proto
 */
export const struct: MessageCodec<JsonObject> = {
  encode: writeStruct,
  decode: (bytes) => readStruct(bytes, 0),
}

function writeStruct(object: JsonObject): Buffer {
  const pairs = Object.entries(object).filter(([, value]) => value !== undefined)
  return writeMessage(
    pairs.map(([name, value]) =>
      writeElement(1, writeMessage(writeBytes(1, name), writeElement(2, writeValue(value ?? null)))),
    ),
  )
}

function writeValue(value: JsonValue): Buffer {
  if (value === null) return writeVarint(1, 0)
  if (typeof value === 'number' || typeof value === 'bigint') return writeDouble(2, Number(value))
  if (typeof value === 'string') return writeElement(3, value)
  if (typeof value === 'boolean') return writeVarint(4, value ? 1 : 0)
  if (isList(value)) return writeElement(6, writeMessage(value.map((item) => writeElement(1, writeValue(item)))))
  return writeElement(5, writeStruct(value))
}

function isList(value: JsonObject | readonly JsonValue[]): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function readStruct(bytes: Uint8Array, depth: number): JsonObject {
  if (depth > MAX_DEPTH) throw new AimsError('provisioning.malformed_message', `nested deeper than ${MAX_DEPTH}`)
  const object: Record<string, JsonValue> = Object.create(null)
  for (const field of readFields(bytes)) {
    if (field.number !== 1) continue
    let name = ''
    let value: JsonValue = null
    for (const part of readFields(bytesOf(field))) {
      if (part.number === 1) name = textOf(part)
      else if (part.number === 2) value = readValue(bytesOf(part), depth)
    }
    object[name] = value
  }
  return object
}

function readValue(bytes: Uint8Array, depth: number): JsonValue {
  let value: JsonValue = null
  for (const field of readFields(bytes)) value = readKind(field, depth) ?? value
  return value
}

// The members of the `oneof kind`; the last on the wire counts. An unknown one is left out.
function readKind(field: Field, depth: number): JsonValue | undefined {
  switch (field.number) {
    case 1:
      varintOf(field)
      return null
    case 2:
      return finite(doubleOf(field))
    case 3:
      return textOf(field)
    case 4:
      return varintOf(field) !== 0n
    case 5:
      return readStruct(bytesOf(field), depth + 1)
    case 6:
      return readList(bytesOf(field), depth + 1)
    default:
      return undefined
  }
}

function readList(bytes: Uint8Array, depth: number): readonly JsonValue[] {
  if (depth > MAX_DEPTH) throw new AimsError('provisioning.malformed_message', `nested deeper than ${MAX_DEPTH}`)
  const fields = readFields(bytes).filter(({ number }) => number === 1)
  return fields.map((field) => readValue(bytesOf(field), depth))
}

// JSON has no other numbers, and neither may a Struct.
function finite(value: number): number {
  if (!Number.isFinite(value)) throw malformed()
  return value
}
