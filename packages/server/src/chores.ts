/** What is done every few seconds. */
export type Chore = () => unknown

/**
 * Does chores again and again, each for itself: one that fails or hangs, e.g. for a key manager that is away, keeps no other from
 * being done, and is not begun again before it has ended.
 *
 * @param options.interval - Milliseconds.
 * @param options.failed - Told what a chore throws.
 * @returns a function that ends it; what is under way goes on
 */
export function keepDoing(
  chores: readonly Chore[],
  { interval, failed }: { readonly interval: number; readonly failed: (error: unknown) => void },
): () => void {
  const running = new Set<Chore>()
  const begin = async (chore: Chore): Promise<void> => {
    if (running.has(chore)) return
    running.add(chore)
    try {
      await chore()
    } catch (error) {
      failed(error)
    } finally {
      running.delete(chore)
    }
  }
  const timer = setInterval(() => {
    for (const chore of chores) void begin(chore)
  }, interval)
  return () => clearInterval(timer)
}
