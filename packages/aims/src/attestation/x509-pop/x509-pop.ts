import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { hexList, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { ExpectedBinding } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { toHex } from '../packaging.ts'
import { checkRevocation, parseRevocationList } from '../x509/revocation.ts'
import { verifyVendorSignature } from '../x509/signature.ts'
import {
  COMMON_NAME,
  nameAttributes,
  parseVendorCertificate,
  type VendorCertificate,
  vendorPublicKey,
} from '../x509/vendor-certificate.ts'
import {
  basicConstraints,
  DIGITAL_SIGNATURE,
  extendedKeyUsages,
  keyUsages,
  type VendorChain,
  validateVendorChain,
} from '../x509/vendor-chain.ts'
import { parsePop, popMessage, popScheme } from './evidence.ts'

/** Whose certificates are accepted. */
export interface X509PopTrust {
  /** CA certificates, DER. Each ends a chain, root or not. */
  readonly authorities: readonly Uint8Array[]
  /**
   * Revocation lists as of now, DER: asked for each time. Every CA of a chain must have one that is signed by it and in its
   * window. Absent: revocation is not looked at.
   */
  readonly revocationLists?: () => readonly Uint8Array[]
}

/** What the certificate says, authenticated. */
export interface X509PopClaims {
  /** The common name of its subject, when it has exactly one. */
  readonly subjectCn?: string
  /** Lower-case hex, as written in the certificate. */
  readonly serial: string
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string
  /** SHA-256 of the certificates above it, lower-case hex, nearest first. */
  readonly authorities: readonly string[]
}

/** Which certificates an identity asks for. `{}`: any that leads to a configured authority. */
export interface X509PopPolicy {
  /** SHA-256 of a CA certificate that must be in the chain, hex. Absent: any. */
  readonly authorities: readonly string[] | undefined
  /** Common names accepted. Absent: any. */
  readonly subjectCns: readonly string[] | undefined
}

const MAX_EVIDENCE = 65_536
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_USAGE = '2.5.29.37.0'
// Names come into selectors and records: no control characters, and nothing that was not UTF-8.
const CLEAN = /^[^\p{Cc}\ufffd]{1,256}$/u

/**
 * Verifies that the caller holds the key of a certificate that an own CA gave out, e.g. to a machine when it was
 * installed. Evidence: `{"chain":[...],"signature":"..."}`, made by `signPop`: the leaf's key has signed the binding to
 * the challenge, so the evidence is worth nothing to anybody else. The chain holds intermediates, and need not hold the root.
 *
 * The leaf must be no CA, may sign (keyUsage), and, when it has an extended key usage, be for TLS clients.
 *
 * Looks at revocation where there are lists; otherwise give out certificates that end soon, or ban the agent.
 *
 * @see RFC 5280 sections 6.1 and 6.3
 */
export function x509PopVerifier({
  authorities,
  revocationLists,
}: X509PopTrust): EvidenceVerifier<X509PopClaims, X509PopPolicy> {
  const trusted = authorities.map(parseVendorCertificate)
  const requireUnrevoked = (chain: VendorChain, now: number): void => {
    if (revocationLists !== undefined) checkRevocation(chain, revocationLists().map(parseRevocationList), now)
  }
  return {
    type: 'x509-pop',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, trusted, context, requireUnrevoked),
    readPolicy: (document: JsonObject) =>
      readPolicyFields<X509PopPolicy>(document, { authorities: hexList(32), subjectCns: textList }),
    appraise: ({ claims }, policy) => {
      const { subjectCn = '' } = claims
      if (policy.authorities?.some((one) => claims.authorities.includes(one)) === false) {
        throw new AimsError('attestation.not_allowed', 'no CA of the chain is one that the policy allows')
      }
      if (policy.subjectCns?.includes(subjectCn) === false) {
        throw new AimsError(
          'attestation.not_allowed',
          'the subject of the certificate is not one that the policy allows',
        )
      }
      return []
    },
  }
}

function authenticate(
  evidence: Uint8Array,
  trusted: readonly VendorCertificate[],
  { now, expected }: EvidenceContext,
  requireUnrevoked: (chain: VendorChain, now: number) => void,
): Authenticated<X509PopClaims> {
  const { chain: sent, signature } = parsePop(evidence)
  const [leaf, ...others] = sent.map(parseVendorCertificate)
  if (leaf === undefined) throw new AimsError('attestation.malformed', 'there is no certificate')
  const roots = new Set(trusted.map(({ fingerprint }) => fingerprint))
  const chain = validateVendorChain({ leaf, candidates: [...others, ...trusted], roots, now })
  requireMachine(leaf)
  requireUnrevoked(chain, now)
  checkPossession(leaf, signature, expected)
  return authenticatedEvidence<X509PopClaims>(described(leaf, chain, now))
}

function requireMachine(leaf: VendorCertificate): void {
  if (basicConstraints(leaf)?.ca === true) {
    throw new AimsError('attestation.chain_invalid', 'the certificate is that of a CA')
  }
  if (keyUsages(leaf)?.has(DIGITAL_SIGNATURE) === false) {
    throw new AimsError('attestation.chain_invalid', 'the key of the certificate may not sign')
  }
  const purposes = extendedKeyUsages(leaf)
  if (purposes !== undefined && !purposes.includes(CLIENT_AUTH) && !purposes.includes(ANY_USAGE)) {
    throw new AimsError('attestation.chain_invalid', 'the certificate is not for clients')
  }
}

// There is no way to leave it out: a chain alone is public.
function checkPossession(leaf: VendorCertificate, signature: Uint8Array, expected: ExpectedBinding): void {
  if (expected.kind !== 'challenge') {
    throw new AimsError('attestation.binding_missing', 'possession is shown for a challenge and for nothing else')
  }
  const key = vendorPublicKey(leaf)
  const scheme = popScheme(key)
  if (scheme === undefined)
    throw new AimsError('attestation.weak_key', 'the certificate has a kind of key not accepted')
  if (!verifyVendorSignature(scheme, key, popMessage(expected.challenge), signature)) {
    throw new AimsError('attestation.binding_mismatch', 'the key of the certificate has not signed this challenge')
  }
}

function described(
  leaf: VendorCertificate,
  chain: VendorChain,
  now: number,
): Parameters<typeof authenticatedEvidence<X509PopClaims>>[0] {
  const authorities = chain.certificates.slice(1).map(({ fingerprint }) => fingerprint)
  const serial = toHex(leaf.serial)
  const { fingerprint } = leaf
  const subjectCn = commonName(leaf)
  const named = subjectCn === undefined ? {} : { subjectCn }
  return {
    claims: { serial, fingerprint, authorities, ...named },
    attested: `x509-pop:${fingerprint}`,
    result: {
      type: 'x509-pop',
      selectors: [
        ...(subjectCn === undefined ? [] : [`x509-pop:subject-cn:${subjectCn}`]),
        ...authorities.map((one) => `x509-pop:ca:${one}`),
        `x509-pop:serial:${serial}`,
      ],
      verifiedAt: now,
      evidenceNotAfter: chain.expiresAt,
      binding: 'full',
      freshness: 'nonce',
      debug: false,
      attributes: { serial, fingerprint, ...named },
      warnings: [],
    },
  }
}

function commonName({ subject }: VendorCertificate): string | undefined {
  const names = nameAttributes(subject, COMMON_NAME)
  const [name, second] = names
  if (name === undefined || second !== undefined) return undefined
  if (!CLEAN.test(name)) throw new AimsError('attestation.malformed', 'the common name is not a plain text')
  return name
}
