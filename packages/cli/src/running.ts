/** Something that runs until it is told to stop. */
export interface Running {
  close(): Promise<void>
}

/** Tells every SIGHUP, which would otherwise end the process. @returns a function that stops it */
export function onHangup(listener: () => void): () => void {
  process.on('SIGHUP', listener)
  return () => process.off('SIGHUP', listener)
}

/** Waits for SIGINT or SIGTERM, then closes in the given order. A second signal ends the process at once. */
export async function runUntilStopped(...parts: readonly Running[]): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        resolve()
        process.once(signal, () => process.exit(130))
      })
    }
  })
  for (const part of parts) await part.close()
}
