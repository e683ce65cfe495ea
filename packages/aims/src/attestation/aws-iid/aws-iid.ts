import { AimsError } from '../../base/errors.ts'
import { requireUnbound } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { type AwsIidTrust, authenticateIid } from './authenticate.ts'
import { type IidClaims, parseIidDocument } from './document.ts'
import { parseIid, type UnverifiedIid } from './format.ts'
import { appraiseIid, type IidPolicy, readIidPolicy } from './policy.ts'

const MAX_EVIDENCE = 32_768
/** Seconds that the clock of AWS may be ahead of ours. */
const CLOCK_SKEW = 300

/**
 * Verifies AWS instance identity documents. Evidence: what the metadata service answers at
 * `/latest/dynamic/instance-identity/rsa2048`, or JSON such as `{"rsa2048": "<base64>", "document": "{...}"}`.
 * Only the document inside the signed message is believed.
 *
 * The document binds to no key and no nonce, and whoever can reach the metadata service of the instance can read it: it
 * is good for one first use, whatever the challenge. The result says `binding: none`.
 *
 * Does not ask AWS whether the instance runs.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
 */
export function awsIidVerifier(trust: AwsIidTrust): EvidenceVerifier<IidClaims, IidPolicy> {
  return {
    type: 'aws-iid',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, trust, context),
    readPolicy: readIidPolicy,
    appraise: appraiseIid,
  }
}

function authenticate(
  evidence: Uint8Array,
  trust: AwsIidTrust,
  { now, expected }: EvidenceContext,
): Authenticated<IidClaims> {
  const iid = parseIid(evidence)
  const document = parseIidDocument(iid.document)
  const certificate = authenticateIid(iid, document.region, trust, now)
  const claims = { ...document, ...signingTimeOf(iid) }
  if (Math.max(claims.pendingTime, claims.signingTime ?? 0) > now + CLOCK_SKEW) {
    throw new AimsError('attestation.not_yet_valid', 'the identity document was made in the future')
  }
  requireUnbound(expected)
  return authenticatedEvidence<IidClaims>({
    claims,
    attested: `aws-iid:${claims.accountId}:${claims.region}:${claims.instanceId}`,
    result: {
      type: 'aws-iid',
      selectors: [
        `aws_iid:account_id:${claims.accountId}`,
        `aws_iid:region:${claims.region}`,
        `aws_iid:az:${claims.availabilityZone}`,
        `aws_iid:instance:id:${claims.instanceId}`,
        `aws_iid:image:id:${claims.imageId}`,
      ],
      verifiedAt: now,
      evidenceNotAfter: certificate.notAfter,
      binding: 'none',
      freshness: 'none',
      hardwareRoot: certificate.fingerprint,
      debug: false,
      attributes: {
        'account-id': claims.accountId,
        region: claims.region,
        'instance-id': claims.instanceId,
        'instance-type': claims.instanceType,
        'image-id': claims.imageId,
        'pending-time': String(claims.pendingTime),
      },
      warnings: iid.form === 'cms' && iid.message.suite.name === 'rsa2048' ? [] : ['signed with a weak legacy key'],
    },
  })
}

function signingTimeOf(iid: UnverifiedIid): { readonly signingTime?: number } {
  const signingTime = iid.form === 'cms' ? iid.message.signedAttributes?.signingTime : undefined
  return signingTime === undefined ? {} : { signingTime }
}
