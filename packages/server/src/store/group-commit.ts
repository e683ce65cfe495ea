import type { DatabaseSync } from 'node:sqlite'
import { AimsError, storing, transaction } from 'aims/base'

/**
 * Does a write in one transaction with the others of the same turn of the event loop: the disk, for which everything
 * stands still, is waited for once. Resolves when it is durable.
 *
 * @param work - Synchronous. It refuses with an {@link AimsError} before it writes: the others are kept then. Whatever else
 *   it throws takes the writes of the turn with it.
 * @throws what `work` throws; for all of the turn `storage.*`, when they could not be kept
 */
export type GroupCommit = <T>(work: () => T) => Promise<T>

interface Waiting {
  /** @returns what tells the caller how it went, once the transaction is committed. */
  run(): () => void
  reject(error: unknown): void
}

/** Makes it for one database. `inTransaction` runs its argument in one transaction, and undoes it when that throws. */
export function groupCommit(
  db: DatabaseSync,
  inTransaction: (work: () => void) => void = (work) => storing('store', () => transaction(db, work)),
): GroupCommit {
  let waiting: Waiting[] = []

  const flush = (): void => {
    const batch = waiting
    waiting = []
    try {
      let answers: (() => void)[] = []
      inTransaction(() => {
        answers = batch.map(({ run }) => run())
      })
      for (const answer of answers) answer()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return (work) =>
    new Promise((resolve, reject) => {
      const run = (): (() => void) => {
        try {
          const result = work()
          return () => resolve(result)
        } catch (error) {
          // A full disk may have ended the transaction: then nothing of it was kept.
          if (!AimsError.is(error) || !db.isTransaction) throw error
          return () => reject(error)
        }
      }
      if (waiting.length === 0) setImmediate(flush)
      waiting.push({ run, reject })
    })
}
