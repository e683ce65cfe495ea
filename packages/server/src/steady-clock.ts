import type { Clock } from 'aims/base'

/** Seconds that the clock may be corrected by without being noticed. */
const SLACK = 60

/**
 * A clock that is not ahead of the time which has passed since it was made. It decides what is forgotten: a clock that jumps
 * ahead and is set right again would have taken revocations, used statements and owners of keys along.
 *
 * @param elapsed - Seconds since some moment, by a clock that nobody sets. Default: that of the process.
 */
export function steadyClock(clock: Clock, elapsed: Clock = () => performance.now() / 1000): Clock {
  const ahead = clock() - elapsed()
  return () => Math.min(clock(), elapsed() + ahead + SLACK)
}
