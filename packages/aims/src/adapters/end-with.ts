const LONGEST_TIMER = 2_147_483_647

/** Something open that a caller has: a response that streams, a WebSocket. */
export interface Open {
  destroy(): unknown
  once(event: 'close', listener: () => void): unknown
}

/**
 * Ends what a caller has open when its credential ends: it was proven when that was opened, and nobody asks again.
 *
 * @param expiresAt - Seconds since the epoch, as is `now`.
 */
export function endWith(open: Open, { expiresAt }: { readonly expiresAt: number }, now: number): void {
  const timer = setTimeout(() => open.destroy(), Math.min((expiresAt - now) * 1000, LONGEST_TIMER)).unref()
  open.once('close', () => clearTimeout(timer))
}
