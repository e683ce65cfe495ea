import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'

/** Reads one member of a policy; `undefined` when it is absent. Throws for a value of the wrong form. */
export type PolicyField<T> = (value: JsonValue | undefined, name: string) => T

/** The members of a policy and how each is read: the whole policy as one table. */
export type PolicyFields<Policy extends object> = { readonly [Name in keyof Policy]-?: PolicyField<Policy[Name]> }

/**
 * Reads an appraisal policy by its table. Unknown members are refused: a misspelt restriction must not be silently
 * absent.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`
 */
export function readPolicyFields<Policy extends object>(document: JsonObject, fields: PolicyFields<Policy>): Policy {
  for (const name of Object.keys(document)) {
    if (!Object.hasOwn(fields, name))
      throw malformed(JSON.stringify(name.slice(0, 64)), 'is not a member of this policy')
  }
  const policy: Record<string, unknown> = {}
  for (const [name, read] of Object.entries(fields) as [string, PolicyField<unknown>][]) {
    const value = read(Object.hasOwn(document, name) ? document[name] : undefined, name)
    if (value !== undefined) policy[name] = Object.freeze(value)
  }
  return Object.freeze(policy) as Policy
}

/** A boolean with a default. */
export function flag(fallback: boolean): PolicyField<boolean> {
  return (value = fallback, name) => {
    if (typeof value !== 'boolean') throw malformed(name, 'takes true or false')
    return value
  }
}

/** An integer from `min` to `max`, or `undefined`. */
export function integer(min: number, max: number): PolicyField<number | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw malformed(name, `takes an integer from ${min} to ${max}`)
    }
    return value as number
  }
}

/** One or more hex strings of exactly `bytes` bytes, lower-cased, or `undefined`. */
export function hexList(bytes: number): PolicyField<readonly string[] | undefined> {
  const form = new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`)
  return list((one) => (form.test(one) ? one.toLowerCase() : undefined), `hex strings of ${bytes} bytes`)
}

/** One or more texts of 1 to 1024 characters, or `undefined`. */
export const textList: PolicyField<readonly string[] | undefined> = list(
  (one) => (one.length > 0 && one.length <= 1024 ? one : undefined),
  'texts of 1 to 1024 characters',
)

/** One or more texts that have this form whole, or `undefined`. */
export function formList(form: RegExp, what: string): PolicyField<readonly string[] | undefined> {
  return list((one) => (form.test(one) ? one : undefined), what)
}

/** Any of these words, with a default. */
export function wordsOf<Word extends string>(
  words: readonly Word[],
  fallback: readonly Word[],
): PolicyField<readonly Word[]> {
  const read = list((one) => words.find((word) => word === one), `some of ${words.join(', ')}`)
  return (value, name) => (read(value, name) as readonly Word[] | undefined) ?? fallback
}

/** A nested object, read by the same means; `{}` when absent. */
export function nested<Policy extends object>(fields: PolicyFields<Policy>): PolicyField<Policy> {
  return (value = {}, name) => {
    if (!isJsonObject(value)) throw malformed(name, 'takes an object')
    return readPolicyFields(value, fields)
  }
}

/** What a policy with a value of the wrong form is refused with. */
export function malformed(name: string, rule: string): AimsError {
  return new AimsError('attestation.policy_malformed', `${name} ${rule}`)
}

function list(read: (one: string) => string | undefined, what: string): PolicyField<readonly string[] | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined
    const items = Array.isArray(value) ? value : [value]
    if (items.length === 0 || items.length > 4096) throw malformed(name, `takes 1 to 4096 ${what}`)
    return items.map((item) => {
      const one = typeof item === 'string' ? read(item) : undefined
      if (one === undefined) throw malformed(name, `takes ${what}`)
      return one
    })
  }
}
