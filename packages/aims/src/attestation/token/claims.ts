import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'

const TEXT = /^[^\p{Cc}\p{Cs}]{1,1024}$/u
const DIGITS = /^[0-9]{1,32}$/

/** A claim that must be text of 1 to 1024 characters without control characters. @throws {@link AimsError} `attestation.malformed` */
export function textClaim(claims: JsonObject, name: string): string {
  return optionalTextClaim(claims, name) ?? malformed(name, 'is absent')
}

/** The same, where it may be absent or empty. */
export function optionalTextClaim(claims: JsonObject, name: string): string | undefined {
  const value = claims[name]
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string' || !TEXT.test(value)) malformed(name, 'is not a plain text')
  return value
}

/** A number that names something: digits, as text or as a JSON number. */
export function idClaim(claims: JsonObject, name: string): string {
  const value = claims[name]
  const text = typeof value === 'bigint' || typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || !DIGITS.test(text)) malformed(name, 'is not a number')
  return text
}

/** Whole seconds since the epoch. */
export function timeClaim(claims: JsonObject, name: string): number {
  const value = claims[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0) malformed(name, 'is not a time')
  return value
}

/** A claim, or a member of one, that must be an object. */
export function objectClaim(value: JsonValue | undefined, name: string): JsonObject {
  return isJsonObject(value) ? value : malformed(name, 'is not an object')
}

/** The one audience: a token for several services is for each of them to use at the others. @see attestation N28, N33 */
export function singleAudience({ aud }: JsonObject): string {
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  const [audience, second] = audiences
  if (typeof audience !== 'string' || audience === '') malformed('aud', 'is absent or not text')
  if (second !== undefined) throw new AimsError('attestation.binding_mismatch', 'the token is for several audiences')
  return audience
}

function malformed(name: string, rule: string): never {
  throw new AimsError('attestation.malformed', `the claim ${name} of the token ${rule}`)
}
