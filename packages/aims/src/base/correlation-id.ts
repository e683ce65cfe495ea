import { randomUUID } from 'node:crypto'
import { systemClock } from './clock.ts'

/**
 * Makes the id that ties the records of one request together: a UUID that begins with the time, e.g.
 * `019b5f2e-6c1a-7d3e-9b0a-3f2c5d6e7f80`.
 *
 * Logs are searched by it. Ids of one moment stand side by side in the index; with random ones each record would
 * dirty a page of its own. It is no secret: 74 bits are random.
 *
 * @see RFC 9562 section 5.7
 */
export function createCorrelationId(): string {
  // The last 74 bits of a random UUID stand where a UUID of version 7 has its own.
  return `${startAt(Math.round(systemClock() * 1000))}${randomUUID().slice(15)}`
}

// A busy server makes a dozen in a millisecond, and to write down the time costs more than the random bits.
let last = { milliseconds: -1, start: '' }

function startAt(milliseconds: number): string {
  if (milliseconds !== last.milliseconds) {
    const digits = milliseconds.toString(16).padStart(12, '0')
    last = { milliseconds, start: `${digits.slice(0, 8)}-${digits.slice(8)}-7` }
  }
  return last.start
}
