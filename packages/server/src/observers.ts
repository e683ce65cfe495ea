import type { Observer } from 'aims/base'
import type { Metrics } from './metrics.ts'

/** Keeps records in the log, and counts them. */
export function countingObserver(log: Observer, metrics: Metrics): Observer {
  return {
    async record(event) {
      await log.record(event)
      const area = event.type.slice(0, event.type.indexOf('.'))
      metrics.count('aims_records_total', { decision: event.decision })
      if (event.type === 'provisioning.issued')
        metrics.count('aims_credentials_issued_total', { type: event.resource.id })
      else if (event.decision === 'deny') metrics.count('aims_refused_total', { area })
    },
  }
}
