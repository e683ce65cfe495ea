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
  const milliseconds = Math.round(systemClock() * 1000)
    .toString(16)
    .padStart(12, '0')
  // The last 74 bits of a random UUID stand where a UUID of version 7 has its own.
  return `${milliseconds.slice(0, 8)}-${milliseconds.slice(8)}-7${randomUUID().slice(15)}`
}
