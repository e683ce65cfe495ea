import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonValue } from '../../base/json.ts'
import { parseRights } from '../../credentials/delegation/rights.ts'

/** What sub-agents an agent may have. An entry without it has none. */
export interface SubAgentLimits {
  /** 1: children only; 2: their children too. At most 8. */
  readonly maxDepth: number
  /** How many live at a time, at all depths together. At most 100,000. */
  readonly max: number
  /** Seconds that one lives at most; never beyond the credential of its parent. At most a day. */
  readonly maxTtl: number
  /** All that any of them may be given. Absent: what their parent asks for. */
  readonly rights?: readonly string[]
}

const NUMBERS: { readonly [name in 'maxDepth' | 'max' | 'maxTtl']: number } = {
  maxDepth: 8,
  max: 100_000,
  maxTtl: 86_400,
}

/**
 * Reads the limits in an entry. All but `rights` are needed: a limit that is forgotten is none.
 *
 * @throws {@link AimsError} `provisioning.malformed_entry`, `credential.invalid_rights`
 */
export function parseSubAgentLimits(value: JsonValue): SubAgentLimits {
  if (!isJsonObject(value)) throw malformed('an object')
  const { rights, ...others } = value
  if (Object.keys(others).some((name) => !Object.hasOwn(NUMBERS, name))) throw malformed('without other members')
  const read = (name: keyof typeof NUMBERS): number => {
    const number = others[name]
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1 || number > NUMBERS[name]) {
      throw malformed(`with ${name} from 1 to ${NUMBERS[name]}`)
    }
    return number
  }
  const limits = { maxDepth: read('maxDepth'), max: read('max'), maxTtl: read('maxTtl') }
  if (rights === undefined) return limits
  if (!Array.isArray(rights) || !rights.every((one) => typeof one === 'string'))
    throw malformed('with a list of rights')
  parseRights(rights)
  return { ...limits, rights: [...rights] }
}

function malformed(what: string): AimsError {
  return new AimsError('provisioning.malformed_entry', `subAgents is ${what}`)
}
