/** One key to use up. */
export interface Use {
  readonly key: Buffer
  readonly expiresAt: number
  readonly now: number
}

/** How uses are put together. */
export interface BatchOptions {
  /** Uses at most in one batch. */
  readonly size: number
  /** Batches at most under way at once. */
  readonly parallel: number
  /** Uses at most that wait. More are refused. */
  readonly pending: number
  /** Milliseconds a use may wait before its batch is sent. */
  readonly patience: number
  /** Uses up the keys, which differ. @returns What tells whether one of them was fresh, or throws. */
  run(uses: readonly Use[]): Promise<(use: Use) => boolean>
  /** What a use is refused with that waited too long, or finds too many waiting. */
  refusal(): Error
}

interface Waiting extends Use {
  readonly since: number
  readonly answers: PromiseWithResolvers<boolean>[]
}

/**
 * Collects what is asked for at the same time: one round trip for many keys. Of several uses of one key in a batch one
 * is asked for, and the others are not fresh whatever the answer is.
 */
export function createBatches(options: BatchOptions): (use: Use) => Promise<boolean> {
  const { size, parallel, pending, patience, run, refusal } = options
  const waiting = new Map<string, Waiting>()
  let count = 0
  let running = 0
  let isScheduled = false

  const take = (): readonly (readonly [string, Waiting])[] => {
    const batch: (readonly [string, Waiting])[] = []
    for (const [hex, one] of waiting) {
      if (batch.length === size) break
      waiting.delete(hex)
      count -= one.answers.length
      if (performance.now() - one.since > patience) refuse([[hex, one]], refusal())
      else batch.push([hex, one])
    }
    // In one order everywhere, so that two processes with the same keys do not wait for each other.
    return batch.sort(([a], [b]) => (a < b ? -1 : 1))
  }
  const send = async (batch: readonly (readonly [string, Waiting])[]): Promise<void> => {
    running += 1
    try {
      const isFresh = await run(batch.map(([, use]) => use))
      for (const one of batch) settle(one, isFresh)
    } catch (error) {
      refuse(batch, error)
    } finally {
      running -= 1
      flush()
    }
  }
  const flush = (): void => {
    isScheduled = false
    while (running < parallel && waiting.size > 0) {
      const batch = take()
      if (batch.length > 0) void send(batch)
    }
  }
  return (use) => {
    if (count >= pending) return Promise.reject(refusal())
    const hex = use.key.toString('hex')
    const answer = Promise.withResolvers<boolean>()
    const known = waiting.get(hex)
    if (known === undefined) waiting.set(hex, { ...use, since: performance.now(), answers: [answer] })
    else known.answers.push(answer)
    count += 1
    if (!isScheduled) setImmediate(flush)
    isScheduled = true
    return answer.promise
  }
}

function settle(one: readonly [string, Waiting], isFresh: (use: Use) => boolean): void {
  try {
    const fresh = isFresh(one[1])
    for (const [index, { resolve }] of one[1].answers.entries()) resolve(index === 0 && fresh)
  } catch (error) {
    refuse([one], error)
  }
}

function refuse(batch: readonly (readonly [string, Waiting])[], error: unknown): void {
  for (const [, { answers }] of batch) for (const { reject } of answers) reject(error)
}
