import { AimsError, refuseAs } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import { verifyX509Svid } from '../../credentials/x509-svid/verify.ts'
import type { VerifiedX509Svid } from '../../credentials/x509-svid/x509-svid.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { ExpectedBinding } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { verifyVendorSignature } from '../x509/signature.ts'
import { parsePop, popMessage, popScheme } from '../x509-pop/evidence.ts'

/** Whose X.509-SVIDs are accepted. */
export interface SpiffeTrust {
  /** Trust domains of others. The own one never counts: what was issued here is no evidence here. */
  readonly trustDomains: readonly TrustDomain[]
  /** Their authorities as of now, asked at every piece of evidence. */
  readonly bundles: BundleSource
}

/** What the SVID says, authenticated. */
export interface SpiffeClaims {
  readonly spiffeId: string
  readonly trustDomain: string
  /** Lower-case hex. */
  readonly serial: string
}

/** Which identities an entry asks for. `{}`: any of a configured trust domain. */
export interface SpiffePolicy {
  /** SPIFFE IDs accepted. Absent: any. */
  readonly ids: readonly string[] | undefined
}

const MAX_EVIDENCE = 65_536
/** It comes into selectors and records. */
const MAX_ID = 512

/**
 * Verifies that the caller is a workload of another trust domain, e.g. one that SPIRE runs: it shows its X.509-SVID, whose
 * key has signed the binding to the challenge. Evidence: `{"chain":[...],"signature":"..."}`, as for `x509-pop`.
 *
 * The SVID is verified as any other, under the bundle of its own trust domain. Does not ask whether it was revoked there:
 * SVIDs end soon.
 *
 * @see X509-SVID section 5
 */
export function spiffeVerifier(trust: SpiffeTrust): EvidenceVerifier<SpiffeClaims, SpiffePolicy> {
  return {
    type: 'spiffe',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, trust, context),
    readPolicy: (document: JsonObject) => readPolicyFields<SpiffePolicy>(document, { ids: textList }),
    appraise: ({ claims }, { ids }) => {
      if (ids?.includes(claims.spiffeId) === false) {
        throw new AimsError('attestation.not_allowed', 'the SPIFFE ID is not one that the policy allows')
      }
      return []
    },
  }
}

function authenticate(
  evidence: Uint8Array,
  { trustDomains, bundles }: SpiffeTrust,
  { now, expected }: EvidenceContext,
): Authenticated<SpiffeClaims> {
  const { chain, signature } = parsePop(evidence)
  const svid = refuseAs('attestation.chain_invalid', 'the X.509-SVID does not verify', () =>
    verifyX509Svid(chain, { bundles, now }),
  )
  if (!trustDomains.includes(svid.trustDomain)) {
    throw new AimsError('attestation.not_allowed', 'the trust domain is not among those that are configured')
  }
  if (svid.subject.length > MAX_ID) {
    throw new AimsError('attestation.not_allowed', `a SPIFFE ID with at most ${MAX_ID} characters is accepted`)
  }
  checkPossession(svid, signature, expected)
  return authenticatedEvidence<SpiffeClaims>({
    claims: { spiffeId: svid.subject, trustDomain: svid.trustDomain, serial: svid.serialNumber },
    attested: svid.subject,
    result: {
      type: 'spiffe',
      selectors: [`spiffe:id:${svid.subject}`, `spiffe:trust-domain:${svid.trustDomain}`],
      verifiedAt: now,
      evidenceNotAfter: svid.expiresAt,
      binding: 'full',
      freshness: 'nonce',
      debug: false,
      warnings: [],
      attributes: { serial: svid.serialNumber },
    },
  })
}

// A chain alone is public: it is sent in every handshake.
function checkPossession({ publicKey: key }: VerifiedX509Svid, signature: Uint8Array, expected: ExpectedBinding): void {
  if (expected.kind !== 'challenge') {
    throw new AimsError('attestation.binding_missing', 'possession is shown for a challenge and for nothing else')
  }
  const scheme = popScheme(key)
  if (scheme === undefined) throw new AimsError('attestation.weak_key', 'the SVID has a kind of key not accepted')
  if (!verifyVendorSignature(scheme, key, popMessage(expected.challenge, 'spiffe'), signature)) {
    throw new AimsError('attestation.binding_mismatch', 'the key of the SVID has not signed this challenge')
  }
}
