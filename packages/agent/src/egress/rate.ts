import { AimsError, type Clock } from 'aims/base'
import type { SpiffeId } from 'aims/identifiers'
import type { BrokerRule } from './rules.ts'

/** Counts what each workload asks under each rule. */
export interface RateLimits {
  /** @throws {@link AimsError} `egress.rate_limited` */
  enter(rule: BrokerRule, workload: SpiffeId): void
}

/** Requests within windows of fixed length. As many counters as there are rules and workloads. */
export function rateLimits(clock: Clock): RateLimits {
  const counters = new Map<string, { window: number; count: number }>()
  return {
    enter({ name, rate }, workload) {
      if (rate === undefined) return
      const key = `${name} ${workload}`
      const window = Math.floor(clock() / rate.seconds)
      const counter = counters.get(key)
      const count = counter?.window === window ? counter.count : 0
      if (count >= rate.requests) throw new AimsError('egress.rate_limited', 'the rule allows no more requests for now')
      counters.set(key, { window, count: count + 1 })
    },
  }
}
