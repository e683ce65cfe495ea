import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminClient } from 'aims-server'

/** Exchanges the keys of all authorities, over and over. */
export interface AuthorityRotation {
  /** Authorities that took over, by purpose. */
  readonly counts: { readonly [purpose in Purpose]: number }
  /** Ends after the exchange that is under way. */
  stop(): Promise<void>
}

const PURPOSES = ['x509-ca', 'jwt', 'wit'] as const
type Purpose = (typeof PURPOSES)[number]

/** Every `period` seconds a successor of each authority is prepared, and signs when it was published for long enough. */
export function rotateAuthorities(
  admin: AdminClient,
  { period, publishAhead }: { readonly period: number; readonly publishAhead: number },
): AuthorityRotation {
  const counts = { 'x509-ca': 0, jwt: 0, wit: 0 }
  const stopping = new AbortController()
  const exchange = async (): Promise<void> => {
    for (const purpose of PURPOSES) await admin.stepAuthority({ step: 'prepare', purpose })
    await sleep((publishAhead + 0.5) * 1000)
    for (const purpose of PURPOSES) {
      await admin.stepAuthority({ step: 'activate', purpose })
      counts[purpose] += 1
    }
  }
  const go = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const began = performance.now()
      await exchange()
      const left = period * 1000 - (performance.now() - began)
      await sleep(Math.max(0, left), undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const running = go()
  running.catch(() => undefined)
  return {
    counts,
    stop() {
      stopping.abort()
      return running
    },
  }
}
