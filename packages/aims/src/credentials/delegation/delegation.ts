import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf } from '../../identifiers/sub-agent-id.ts'
import { parseRights, type Right } from './rights.ts'

/** What a sub-agent was given by its parent. */
export interface Delegation {
  readonly parent: WorkloadId
  /** All it may do, whatever policies permit; each as in {@link Right}. Empty: nothing. */
  readonly rights: readonly string[]
}

/**
 * The claim of a WIT that carries a {@link Delegation}, under a name that cannot collide. Verifiers that do not know the
 * claim ignore it, and with it the limits: theirs are the policies about the sub-agent's own identifier.
 *
 * @see RFC 7519 section 4.2
 */
export const DELEGATION_CLAIM = 'urn:uuid:e859305e-dc00-41c9-a32d-eae42414e99a'

/**
 * Reads the claim from a token whose signature has been checked; `undefined` without it. The parent must be the one that
 * the subject's own path names. Rights that cannot be read refuse the whole token: what limits must not be passed over.
 *
 * @throws {@link AimsError} `credential.invalid_claim`, `credential.invalid_rights`
 */
export function readDelegation(claims: JsonObject, subject: WorkloadId): Delegation | undefined {
  const value = claims[DELEGATION_CLAIM]
  if (value === undefined) return undefined
  const { parent, rights } = isJsonObject(value) ? value : {}
  if (!Array.isArray(rights) || !rights.every((one) => typeof one === 'string')) throw invalid()
  const expected = ancestorsOf(subject).at(-1)
  if (expected === undefined || parent !== expected) throw invalid()
  parsedRights(rights)
  return Object.freeze({ parent: expected, rights: Object.freeze([...rights]) })
}

// The same few lists come with every request of a sub-agent.
const parsed = new Map<string, readonly Right[]>()
const MAX_PARSED = 1024

/** The rights of a list, read once for each list. @throws {@link AimsError} `credential.invalid_rights` */
export function parsedRights(rights: readonly string[]): readonly Right[] {
  const key = JSON.stringify(rights)
  const known = parsed.get(key)
  if (known !== undefined) return known
  const read = parseRights(rights)
  if (parsed.size >= MAX_PARSED) parsed.clear()
  parsed.set(key, read)
  return read
}

function invalid(): AimsError {
  return new AimsError('credential.invalid_claim', 'the claim about delegation is malformed')
}
