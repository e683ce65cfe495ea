import { asBuffer } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { bindingAudience, checkBoundAudience, type ExpectedBinding } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import type { Exchange } from '../exchange.ts'
import { type AwsPrincipal, principalOf } from './arn.ts'
import { confirmSts } from './confirm.ts'
import { type StsEndpoint, stsEndpoints } from './endpoints.ts'
import { parseSts, type StsRequest } from './format.ts'
import { appraiseSts, readStsPolicy, type StsPolicy } from './policy.ts'

/** Who signed a request, as AWS answers it. */
export interface StsClaims extends AwsPrincipal {
  /** E.g. `AROA...:session`: never given to another role or user again. */
  readonly userId: string
  /** When the request was signed, seconds since the epoch. */
  readonly signedAt: number
}

/** Whom to ask. */
export interface AwsStsTrust {
  /** Regions whose endpoints may be asked, e.g. `['eu-central-1']`. */
  readonly regions: readonly string[]
  /** Sends the request to AWS. Follows no redirects. */
  readonly exchange: Exchange
}

const MAX_EVIDENCE = 16_384
const WINDOW = 900
/** Seconds that the clock of the signer may be ahead of ours. */
const CLOCK_SKEW = 300

/**
 * Verifies signed requests for sts:GetCallerIdentity by having AWS answer them. Evidence: JSON
 * `{"method": "POST", "url": "https://sts.<region>.amazonaws.com/", "headers": {...}, "body": "..."}`, or a presigned GET
 * in the same form or as the bare address. Its header `x-aims-binding` is signed and holds
 * `bindingAudience('aws-sts', challenge, trustDomain)`, so that it is of use to no other server and no other key.
 *
 * AWS checks the signature and is the only one who can: this is the one verifier of evidence that asks somebody.
 *
 * @throws TypeError when a region is none
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
 */
export function awsStsVerifier({ regions, exchange }: AwsStsTrust): EvidenceVerifier<StsClaims, StsPolicy> {
  const endpoints = stsEndpoints(regions)
  return {
    type: 'aws-sts',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, endpoints, exchange, context),
    readPolicy: readStsPolicy,
    appraise: appraiseSts,
  }
}

async function authenticate(
  evidence: Uint8Array,
  endpoints: ReadonlyMap<string, StsEndpoint>,
  exchange: Exchange,
  { now, expected }: EvidenceContext,
): Promise<Authenticated<StsClaims>> {
  const request = parseSts(asBuffer(evidence).toString('latin1'), endpoints)
  const signedAt = checkTime(request, now)
  const binding = bindingOf(request, expected)
  const isBound = checkBoundAudience('aws-sts', binding, expected)
  const identity = await confirmSts(request, binding, exchange)
  const claims: StsClaims = { ...principalOf(identity, request.endpoint.partition), userId: identity.userId, signedAt }
  return authenticatedEvidence<StsClaims>({
    claims,
    attested: `aws-sts:${claims.account}:${claims.userId}`,
    ...(isBound ? {} : { statement: request.signature }),
    result: {
      type: 'aws-sts',
      selectors: [`aws:iam:account_id:${claims.account}`, `aws:iam:arn:${claims.arn}`],
      verifiedAt: now,
      evidenceNotAfter: signedAt + (request.expires ?? WINDOW),
      binding: isBound ? 'audience' : 'none',
      freshness: isBound ? 'nonce' : 'window',
      debug: false,
      attributes: { 'account-id': claims.account, arn: identity.arn, 'user-id': claims.userId },
      warnings: [],
    },
  })
}

function checkTime({ date, expires = WINDOW }: StsRequest, now: number): number {
  requireTime(now)
  const iso = date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const signedAt = Date.parse(iso) / 1000
  // February 30 would become March 1 or 2.
  if (!Number.isFinite(signedAt) || new Date(signedAt * 1000).toISOString() !== iso) {
    throw new AimsError('attestation.malformed', 'the signed request: its date is none')
  }
  if (signedAt > now + CLOCK_SKEW) {
    throw new AimsError('attestation.not_yet_valid', 'the request was signed in the future')
  }
  if (now > signedAt + expires) throw new AimsError('attestation.expired', 'the signed request has expired')
  return signedAt
}

// What the header must have been when the request was signed. A bare address does not tell; whoever asked for it knows.
function bindingOf(request: StsRequest, expected: ExpectedBinding): string {
  if (request.binding !== undefined) return request.binding
  if (expected.kind === 'challenge') return bindingAudience('aws-sts', expected.challenge, expected.trustDomain)
  if (expected.kind === 'audience') return expected.audience
  throw new AimsError('attestation.binding_missing', 'the value of x-aims-binding was not sent')
}
