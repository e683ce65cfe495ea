/** One bucket of tokens per key: so many at once, and so many a second after that. */
export interface TokenBuckets {
  /** Takes one token. @returns 0, or the seconds until there is one. Nothing is taken then. */
  take(key: string): number
}

/** How much one key may take. */
export interface BucketSettings {
  /** Tokens a second. 0: as many as anybody wants. */
  readonly rate: number
  /** Tokens of a full bucket. Default: those of ten seconds. */
  readonly burst?: number
  /** Keys that are remembered at most. The one that was longest away makes room, and is full again when it comes back. Default 10,000. */
  readonly maxKeys?: number
  /** Milliseconds, never going back. Default: since the start of the process. */
  readonly clock?: () => number
}

interface Bucket {
  tokens: number
  at: number
}

/** Makes full buckets. What one key takes, no other key lacks. */
export function createTokenBuckets(settings: BucketSettings): TokenBuckets {
  const { rate, burst = rate * 10, maxKeys = 10_000, clock = () => performance.now() } = settings
  if (rate === 0) return { take: () => 0 }
  // In the order in which they were last asked for.
  const buckets = new Map<string, Bucket>()
  return {
    take(key) {
      const now = clock()
      const { tokens, at } = buckets.get(key) ?? { tokens: burst, at: now }
      const filled = Math.min(burst, tokens + ((now - at) * rate) / 1000)
      const isEnough = filled >= 1
      buckets.delete(key)
      if (buckets.size >= maxKeys) buckets.delete(buckets.keys().next().value ?? '')
      buckets.set(key, { tokens: isEnough ? filled - 1 : filled, at: now })
      return isEnough ? 0 : (1 - filled) / rate
    },
  }
}
