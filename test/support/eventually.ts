const PATIENCE = 30_000

/** What was answered, or the code of the refusal. */
export async function answerOf<T>(work: () => Promise<T>): Promise<unknown> {
  return work().catch((error: { readonly code?: string }) => error.code)
}

/** Asks again and again until the answer is true. @throws when it is not within half a minute */
export async function eventuallyTrue(work: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE
  for (;;) {
    const answer = await answerOf(work)
    if (answer === true) return
    if (performance.now() > until) throw new Error(`not within half a minute: ${String(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
