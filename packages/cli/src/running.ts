/** Something that runs until it is told to stop. */
export interface Running {
  close(): Promise<void>
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
