import { AimsError, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'

/** The part of JSON Schema that our request bodies need. It is checked, and printed into the OpenAPI document. */
export type Schema =
  | {
      readonly type: 'string'
      readonly maxLength: number
      readonly pattern?: string
      readonly enum?: readonly string[]
      readonly description?: string
    }
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number; readonly description?: string }
  | { readonly type: 'boolean'; readonly description?: string }
  | { readonly type: 'array'; readonly items: Schema; readonly maxItems: number; readonly description?: string }
  | {
      readonly type: 'object'
      /** Absent: any members. The handler reads them with a parser of its own. */
      readonly properties?: { readonly [name: string]: Schema }
      readonly required?: readonly string[]
      readonly description?: string
    }

/**
 * Refuses a value that does not have the shape of the schema. Members that the schema does not name are refused.
 *
 * @throws {@link AimsError} `operation.request_malformed`, naming the place
 */
export function requireShape(value: JsonValue, schema: Schema, place = 'body'): void {
  const wrong = (reason: string): AimsError => new AimsError('operation.request_malformed', `${place}: ${reason}`)
  switch (schema.type) {
    case 'string':
      if (typeof value !== 'string' || value.length > schema.maxLength) {
        throw wrong(`a string of at most ${schema.maxLength} characters is needed`)
      }
      if (schema.enum !== undefined && !schema.enum.includes(value)) throw wrong(`one of ${schema.enum.join(', ')}`)
      if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) throw wrong('malformed')
      return
    case 'integer':
      if (!Number.isSafeInteger(value) || Number(value) < schema.minimum || Number(value) > schema.maximum) {
        throw wrong(`an integer from ${schema.minimum} to ${schema.maximum} is needed`)
      }
      return
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong('true or false is needed')
      return
    case 'array':
      if (!Array.isArray(value) || value.length > schema.maxItems) {
        throw wrong(`an array of at most ${schema.maxItems} is needed`)
      }
      for (const [index, one] of value.entries()) requireShape(one, schema.items, `${place}[${index}]`)
      return
    case 'object':
      if (!isJsonObject(value)) throw wrong('an object is needed')
      requireMembers(value, schema, place)
  }
}

function requireMembers(value: JsonObject, schema: Extract<Schema, { type: 'object' }>, place: string): void {
  const { properties, required = [] } = schema
  for (const name of required) {
    if (value[name] === undefined) throw new AimsError('operation.request_malformed', `${place}: ${name} is missing`)
  }
  if (properties === undefined) return
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (known === undefined || member === undefined) {
      const shown = JSON.stringify(name.slice(0, 64))
      throw new AimsError('operation.request_malformed', `${place}: no member ${shown}`)
    }
    requireShape(member, known, `${place}.${name}`)
  }
}
