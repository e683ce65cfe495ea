import { AimsError } from '../../base/errors.ts'
import { canonicalJson } from '../../base/jcs.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { AGENT_CARD, type Field, type Message } from './card-schema.ts'

/**
 * The bytes of a card that are signed, as text: without its signatures, and without members that have their default value
 * and are neither required nor marked as optional. Members that A2A 1.0 does not know stay as they are.
 *
 * @throws {@link AimsError} `a2a.card_malformed` for what has no canonical form
 * @see A2A 1.0 section 8.4.1; RFC 8785
 */
export function canonicalAgentCard(card: JsonObject): string {
  const { signatures: _, ...signed } = card
  try {
    return canonicalJson(withoutDefaults(signed, AGENT_CARD))
  } catch (cause) {
    if (!AimsError.is(cause) && !(cause instanceof TypeError)) throw cause
    throw new AimsError('a2a.card_malformed', 'the card has no canonical form', { cause })
  }
}

/**
 * Refuses what verifiers read in two ways: the official SDKs also leave out what is empty and required, and what is left
 * empty by that. A requirement without roles would so be gone from what is signed.
 *
 * @throws TypeError
 */
export function requireOneReading(card: JsonObject): void {
  const look = (value: JsonValue | undefined, path: string): void => {
    const isEmpty = Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0
    if (isEmpty || value === '' || value === null) {
      throw new TypeError(
        `${path} is empty: verifiers do not agree on whether that is signed, so leave it out or fill it`,
      )
    }
    if (typeof value !== 'object') return
    for (const [name, member] of Object.entries(value)) look(member, path === '' ? name : `${path}.${name}`)
  }
  look(withoutDefaults(card, AGENT_CARD), '')
}

function withoutDefaults(object: JsonObject, message: Message): JsonObject {
  return Object.fromEntries(
    Object.entries(object).flatMap(([name, value]): [string, JsonValue | undefined][] => {
      const field = Object.hasOwn(message, name) ? message[name] : undefined
      if (field === undefined) return [[name, value]]
      const inner = within(value, field)
      return isAbsent(inner, field) ? [] : [[name, inner]]
    }),
  )
}

function within(value: JsonValue | undefined, { of, isMap }: Field): JsonValue | undefined {
  if (of === undefined) return value
  const strip = (one: JsonValue | undefined): JsonValue | undefined =>
    isJsonObject(one) ? withoutDefaults(one, of) : one
  if (Array.isArray(value)) return value.map((one: JsonValue) => strip(one) ?? null)
  if (!isMap || !isJsonObject(value)) return strip(value)
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, strip(one)]))
}

// In the JSON of Protocol Buffers null is a member that is not there.
function isAbsent(value: JsonValue | undefined, { keep, isMap }: Field): boolean {
  if (value === undefined || value === null) return true
  if (keep) return false
  if (Array.isArray(value)) return value.length === 0
  return value === '' || value === false || (isMap === true && isJsonObject(value) && Object.keys(value).length === 0)
}
