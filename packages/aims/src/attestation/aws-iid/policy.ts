import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { integer, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { IidClaims } from './document.ts'

/** Which instances are accepted. `{}`: any instance of AWS, with a warning. */
export interface IidPolicy {
  /** Account numbers. Absent: any account, so anybody who pays for an instance. */
  readonly accounts: readonly string[] | undefined
  /** E.g. `eu-central-1`. Absent: any. */
  readonly regions: readonly string[] | undefined
  /** Images, `ami-...`. Absent: any. */
  readonly images: readonly string[] | undefined
  /** Seconds since the instance was launched and since the document was signed. Absent: any. */
  readonly maxAge: number | undefined
}

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readIidPolicy(document: JsonObject): IidPolicy {
  return readPolicyFields<IidPolicy>(document, {
    accounts: textList,
    regions: textList,
    images: textList,
    maxAge: integer(1, 31_536_000),
  })
}

/** @throws {@link AimsError} `attestation.not_allowed`, `attestation.stale` */
export function appraiseIid({ claims, result }: Authenticated<IidClaims>, policy: IidPolicy): readonly string[] {
  const lists: readonly (readonly [readonly string[] | undefined, string, string])[] = [
    [policy.accounts, claims.accountId, 'account'],
    [policy.regions, claims.region, 'region'],
    [policy.images, claims.imageId, 'image'],
  ]
  for (const [allowed, value, what] of lists) {
    if (allowed !== undefined && !allowed.includes(value)) {
      throw new AimsError('attestation.not_allowed', `the ${what} of the instance is not among those the policy allows`)
    }
  }
  const oldest = Math.min(claims.pendingTime, claims.signingTime ?? claims.pendingTime)
  if (policy.maxAge !== undefined && result.verifiedAt - oldest > policy.maxAge) {
    throw new AimsError('attestation.stale', 'the instance was launched longer ago than the policy allows')
  }
  const warnings = policy.maxAge === undefined ? ['the document may be as old as the instance'] : []
  return policy.accounts === undefined ? [...warnings, 'the policy names no account: any account passes'] : warnings
}
