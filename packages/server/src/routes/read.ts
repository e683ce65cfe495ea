import { AimsError, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import type { Actor } from '../entries.ts'
import type { Call } from '../http/route.ts'

/** The body as an object. The route's schema has made sure that it is one. */
export function objectBody({ body }: Call): JsonObject {
  if (!isJsonObject(body)) throw new TypeError('the route has no schema of an object')
  return body
}

/** A member that the schema demands as a string. */
export function textMember(object: JsonObject, name: string): string {
  const value = object[name]
  if (typeof value !== 'string') throw new TypeError(`the schema does not demand ${name}`)
  return value
}

/** A member that must be an object. @throws {@link AimsError} `operation.request_malformed` */
export function objectMember(object: JsonObject, name: string): JsonObject {
  const value: JsonValue | undefined = object[name]
  if (!isJsonObject(value)) throw new AimsError('operation.request_malformed', `${name} is an object`)
  return value
}

/** A member that the schema gives as a list of strings. Absent: empty. */
export function textsMember(object: JsonObject, name: string): readonly string[] {
  const value = object[name]
  return Array.isArray(value) ? value.map((one: JsonValue) => String(one)) : []
}

/** Who changes something, for the record. */
export function actorOf({ caller, id }: Call): Actor {
  return { name: caller.name, method: caller.method, correlationId: id }
}
