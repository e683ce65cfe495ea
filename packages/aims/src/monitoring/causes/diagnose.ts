import type { Check } from '../../base/check.ts'
import { ERROR_CODES } from '../../base/error-codes/index.ts'
import { AUTHENTICATION_CAUSES, CAUSES_OF_AUTHENTICATION } from './authentication.ts'
import { ANY, type Cause, type Causes, type CausesOfCode } from './cause.ts'
import { CAUSES_OF_PROVISIONING, PROVISIONING_CAUSES } from './provisioning.ts'

/** Every cause that has a name of its own. Codes that say enough have none. */
export const CAUSES: Causes = { ...AUTHENTICATION_CAUSES, ...PROVISIONING_CAUSES }

const CAUSES_OF: CausesOfCode = { ...CAUSES_OF_AUTHENTICATION, ...CAUSES_OF_PROVISIONING }

/** A cause that a refusal can have. */
export interface NamedCause extends Cause {
  /** E.g. `proxy-strips-prefix`; where the code itself says it all, that code. */
  readonly id: string
}

/** What of a record tells why. */
export interface ToldRefusal {
  /** Error codes, or words of a decision. */
  readonly reasons?: readonly string[]
  readonly checks?: readonly Check[]
}

/**
 * What can be behind a refusal, likeliest first: by its code, and by the difference that the failed check tells. Empty
 * where no reason is one that AIMS knows.
 */
export function diagnose({ reasons = [], checks = [] }: ToldRefusal): readonly NamedCause[] {
  const difference = checks.findLast(({ outcome }) => outcome === 'failed')?.difference ?? ANY
  const [code] = reasons
  return code === undefined ? [] : causesOf(code, difference)
}

function causesOf(code: string, difference: string): readonly NamedCause[] {
  const known = Object.hasOwn(CAUSES_OF, code) ? CAUSES_OF[code] : undefined
  if (known === undefined) return meaningAsCause(code)
  const ids = (Object.hasOwn(known, difference) ? known[difference] : known[ANY]) ?? []
  return ids.flatMap((id) => {
    const cause = CAUSES[id]
    return cause === undefined ? [] : [{ id, ...cause }]
  })
}

// Most meanings say what to do behind their colon.
function meaningAsCause(code: string): readonly NamedCause[] {
  const meaning: string | undefined = Object.hasOwn(ERROR_CODES, code)
    ? ERROR_CODES[code as keyof typeof ERROR_CODES]
    : undefined
  if (meaning === undefined) return []
  const at = meaning.indexOf(': ')
  return [
    { id: code, because: at === -1 ? meaning : meaning.slice(0, at), fix: at === -1 ? '' : meaning.slice(at + 2) },
  ]
}
