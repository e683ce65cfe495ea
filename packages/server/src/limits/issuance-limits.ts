import { createTokenBuckets } from 'aims/base'
import type { IssuanceRequest, Issuer } from 'aims/provisioning'
import { RateLimited } from './rate-limited.ts'

/**
 * An issuer that each entry can ask only so often, through each agent by itself: what is issued and what is refused both
 * become records, and a workload may ask its agent for JWT-SVIDs of any audience.
 *
 * @param rate - Credentials a second. 0: as many as anybody wants.
 * @throws {@link RateLimited} from each of its functions, before anything is looked at or recorded
 * @see security-and-reliability G24
 */
export function limitIssuance(issuer: Issuer, rate: number, clock?: () => number): Issuer {
  const buckets = createTokenBuckets({ rate, ...(clock === undefined ? {} : { clock }) })
  // An agent that asks for what is not its own takes nothing from those whose it is.
  const limited =
    <R extends IssuanceRequest, T>(issue: (request: R) => Promise<T>) =>
    async (request: R): Promise<T> => {
      const wait = buckets.take(JSON.stringify([request.entryId, request.agent?.spiffeId ?? '']))
      if (wait > 0) throw new RateLimited(wait)
      return issue(request)
    }
  return {
    issueX509: limited((request) => issuer.issueX509(request)),
    issueWit: limited((request) => issuer.issueWit(request)),
    issueJwt: limited((request) => issuer.issueJwt(request)),
  }
}
