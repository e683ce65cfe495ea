import type { Observer } from './event.ts'

/**
 * An observer that writes each event to stderr, as a line of JSON. For development, and where something collects the output: a
 * log that proves something is `AuditLog`, or that of a server (`remoteObserver`).
 */
export const stderrObserver: Observer = {
  record: (event) =>
    new Promise((resolve, reject) => {
      process.stderr.write(`${JSON.stringify(event)}\n`, (error) =>
        error instanceof Error ? reject(error) : resolve(),
      )
    }),
}
