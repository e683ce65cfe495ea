import { AimsError } from '../../base/errors.ts'

/** The component has no value in any message of this kind. */
export function invalid(why: string): never {
  throw new AimsError('signature.invalid_component', `a covered component cannot be used: ${why}`)
}

/** The component has a value, and this message does not have it. */
export function missing(why: string): never {
  throw new AimsError('signature.missing_component', `a covered component is not there: ${why}`)
}
