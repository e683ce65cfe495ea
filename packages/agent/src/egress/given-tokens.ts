import { type Clock, changingTable, type PatternTable } from 'aims/base'
import { decodeUnverifiedJwtSvid } from 'aims/credentials'

/** Bearer tokens that were attached, until they end: an answer to a later request, or to another workload, may repeat them. */
export interface GivenTokens {
  add(token: string): void
  /** Finds their signatures: without it a token is worth nothing. None, as long as nothing was given. */
  tables(): readonly PatternTable[]
}

/** Of one broker at a time. The newest are remembered: a table has its price in memory. */
const MAX_GIVEN = 256

interface Given {
  /** Seconds since the epoch. */
  readonly end: number
  readonly forget: () => void
}

/** Makes an empty memory. */
export function givenTokens(clock: Clock): GivenTokens {
  const { table, add: cover } = changingTable()
  const given = new Map<string, Given>()
  const drop = (token: string): void => {
    given.get(token)?.forget()
    given.delete(token)
  }
  const makeRoom = (): void => {
    const now = clock()
    for (const [token, { end }] of given) if (end <= now) drop(token)
    const [oldest] = given.keys()
    if (oldest !== undefined && given.size >= MAX_GIVEN) drop(oldest)
  }
  return {
    add(token) {
      if (given.has(token)) return
      makeRoom()
      const { exp } = decodeUnverifiedJwtSvid(token).claims
      const forget = cover(signatureOf(token))
      given.set(token, { end: typeof exp === 'number' ? exp : Number.POSITIVE_INFINITY, forget })
    },
    tables: () => (given.size === 0 ? [] : [table]),
  }
}

function signatureOf(token: string): string {
  return token.slice(token.lastIndexOf('.') + 1)
}
