import type { DatabaseSync } from 'node:sqlite'
import { AimsError } from 'aims/base'

type Name =
  | 'trust_domain'
  | 'key_encryption_key'
  | 'log_origin'
  | 'revision'
  | 'bundle_sequence'
  | 'generation'
  | 'seal'

/** What is counted: changes that agents see, changes of the bundle, changes of what is sealed. */
type Counter = 'revision' | 'bundle_sequence' | 'generation'

/** Small facts about the store as a whole. */
export interface Meta {
  get(name: Name): string | undefined
  set(name: Name, value: string): void
  /** A counter, 0 before its first step. */
  counter(name: Counter): number
  /** Adds one. Call it in the transaction of the change that it counts. */
  advance(name: Counter): void
  /**
   * Lifts what others remember to the clock, in seconds, after an older store was put in place: its next bundle and its next
   * change are newer than whatever partners and agents have seen. Call it in a transaction.
   */
  overtake(now: number): void
}

/** The facts of this store. */
export function openMeta(db: DatabaseSync): Meta {
  const select = db.prepare('SELECT value FROM meta WHERE name = ?')
  const upsert = db.prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value')
  const get = (name: Name): string | undefined => {
    const value = select.get(name)?.value
    return typeof value === 'string' ? value : undefined
  }
  const counter = (name: Counter): number => Number(get(name) ?? 0)
  return {
    get,
    set: (name, value) => void upsert.run(name, value),
    counter,
    advance: (name) => void upsert.run(name, String(counter(name) + 1)),
    overtake(now) {
      for (const name of ['revision', 'bundle_sequence'] as const) {
        upsert.run(name, String(Math.max(counter(name) + 1, Math.floor(now))))
      }
    },
  }
}

/**
 * Keeps a fact that may not change over the life of a store: sets it at the first start, compares it later.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the configuration key
 */
export function requireUnchanged(meta: Meta, name: 'trust_domain' | 'log_origin', value: string, key: string): void {
  const kept = meta.get(name)
  if (kept === undefined) meta.set(name, value)
  else if (kept !== value) {
    throw new AimsError('operation.config_invalid', `${JSON.stringify(key)}: this data directory belongs to ${kept}`)
  }
}
