/** Numbers that are the same for the same seed (xorshift). For runs that can be repeated, and for nothing secret. */
export function random(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** One of a list. */
export function pick<T>(next: () => number, list: readonly T[]): T {
  const one = list[Math.floor(next() * list.length)]
  if (one === undefined) throw new TypeError('an empty list')
  return one
}
