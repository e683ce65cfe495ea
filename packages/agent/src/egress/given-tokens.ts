import { type Clock, hiddenKey, type PatternTable, patternTable } from 'aims/base'
import { decodeUnverifiedJwtSvid } from 'aims/credentials'

/** Bearer tokens that were attached, until they end: an answer to a later request, or to another workload, may repeat them. */
export interface GivenTokens {
  add(token: string): void
  /** Finds their signatures: without it a token is worth nothing. */
  table(): PatternTable
}

/** Of one broker at a time. The newest are remembered: a table has its price with every byte of an answer. */
const MAX_GIVEN = 256

/** Makes an empty memory. */
export function givenTokens(clock: Clock): GivenTokens {
  const given = new Map<string, number>()
  let known: PatternTable | undefined
  const makeRoom = (): void => {
    const now = clock()
    for (const [token, end] of given) if (end <= now) given.delete(token)
    const [oldest] = given.keys()
    if (oldest !== undefined && given.size >= MAX_GIVEN) given.delete(oldest)
  }
  return {
    add(token) {
      if (given.has(token)) return
      makeRoom()
      const { exp } = decodeUnverifiedJwtSvid(token).claims
      given.set(token, typeof exp === 'number' ? exp : Number.POSITIVE_INFINITY)
      known = undefined
    },
    table() {
      known ??= patternTable([...given.keys()].map((token) => hiddenKey(Buffer.from(signatureOf(token), 'latin1'))))
      return known
    },
  }
}

function signatureOf(token: string): string {
  return token.slice(token.lastIndexOf('.') + 1)
}
