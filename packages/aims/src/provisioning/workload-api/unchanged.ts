import { hash } from 'node:crypto'

/** What one message of a stream says of a credential: texts, and bytes such as a chain and its key. */
export type Parts = readonly (string | Uint8Array)[]

/**
 * The credentials of the last message of a stream. A message repeats what has not changed - all identities when one was
 * renewed, all of them when only a bundle is new - and importing a private key costs a hundred times what it takes to see
 * that it is the same. Holds digests, no key.
 */
export class Unchanged<T> {
  #known: ReadonlyMap<string, T> = new Map()

  /** Reads each message, but takes what the last call has made of an equal one. Remembers nothing when one is refused. */
  map<M>(messages: readonly M[], partsOf: (message: M) => Parts, read: (message: M) => T): readonly T[] {
    const seen = new Map<string, T>()
    const all = messages.map((message) => {
      const digest = digestOf(partsOf(message))
      const value = this.#known.get(digest) ?? read(message)
      seen.set(digest, value)
      return value
    })
    this.#known = seen
    return all
  }
}

// Each part after its length: no two lists of parts are the same bytes.
function digestOf(parts: Parts): string {
  const bytes = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))
  const lengths = Uint32Array.from(bytes, ({ length }) => length)
  return hash('sha256', Buffer.concat([new Uint8Array(lengths.buffer), ...bytes]), 'base64')
}
