import { type TroubleLog, troubleLog } from 'aims/base'

/** What is done every few seconds, by the names that operators read. */
export interface Chores {
  readonly [name: string]: () => unknown
}

/**
 * Does chores again and again, each for itself: one that fails or hangs, e.g. for a key manager that is away, keeps no other from
 * being done, and is not begun again before it has ended.
 *
 * @param options.interval - Milliseconds.
 * @param options.log - Told when a chore begins to fail, when it fails for another reason, and when it is done again.
 * @returns a function that ends it; what is under way goes on
 */
export function keepDoing(
  chores: Chores,
  { interval, log }: { readonly interval: number; readonly log: (line: string) => void },
): () => void {
  const all = Object.entries(chores).map(([name, work]): Chore => {
    return { work, trouble: troubleLog(`aims server: ${name}`, log), isRunning: false }
  })
  const timer = setInterval(() => {
    for (const chore of all) if (!chore.isRunning) void begin(chore)
  }, interval)
  return () => clearInterval(timer)
}

interface Chore {
  readonly work: () => unknown
  readonly trouble: TroubleLog
  isRunning: boolean
}

async function begin(chore: Chore): Promise<void> {
  chore.isRunning = true
  try {
    await chore.work()
    chore.trouble.over('done again')
  } catch (error) {
    chore.trouble.tell(error, error instanceof Error ? error.message : 'failed')
  } finally {
    chore.isRunning = false
  }
}
