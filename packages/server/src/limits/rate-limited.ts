import { AimsError } from 'aims/base'

/** Somebody asked more often than it may. */
export class RateLimited extends AimsError {
  /** Whole seconds after which it may ask again. */
  readonly retryAfter: number

  constructor(seconds: number) {
    const retryAfter = Math.max(1, Math.ceil(seconds))
    super('operation.rate_limited', `too many requests of this caller: again in ${retryAfter} s`)
    this.retryAfter = retryAfter
  }
}
