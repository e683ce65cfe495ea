import { inspect } from 'node:util'
import { AimsError } from 'aims/base'

/**
 * A secret of an older service. It is put into a request by {@link reveal}, and refuses to be serialised or printed; a
 * copy or clone of it is empty.
 */
export class HeldSecret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** For the request it belongs to, and for nothing else. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): never {
    throw new AimsError('key.not_serializable', 'secrets are not serialised')
  }

  static {
    Object.defineProperty(HeldSecret.prototype, inspect.custom, { value: () => 'HeldSecret {}' })
  }
}
