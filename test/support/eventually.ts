import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE = 60_000

/** What was answered, or the code of the refusal. */
export async function answerOf<T>(work: () => Promise<T>): Promise<unknown> {
  return work().catch((error: { readonly code?: string }) => error.code)
}

/** Asks again and again until the answer is true. @throws when it is not within a minute */
export async function eventuallyTrue(work: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE
  for (;;) {
    const answer = await answerOf(work)
    if (answer === true) return
    if (performance.now() > until) throw new Error(`not within a minute: ${String(answer)}`)
    await sleep(50)
  }
}

/**
 * Looks again and again until it is so.
 *
 * @param what - For the error: what should have happened, and what there is to see instead.
 */
export async function eventually(what: string | (() => string), isSo: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + PATIENCE
  while (!(await isSo())) {
    if (performance.now() > until) assert.fail(`never happened: ${typeof what === 'string' ? what : what()}`)
    await sleep(10)
  }
}
