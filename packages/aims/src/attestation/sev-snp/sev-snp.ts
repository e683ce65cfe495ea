import { checkBoundData } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { appraiseSnp } from './appraise.ts'
import { authenticateSnpReport, type SnpTrust, snpWarnings, type VerifiedSnpReport } from './authenticate.ts'
import { MAX_SNP_EVIDENCE, readSnpEvidence } from './evidence.ts'
import { readSnpPolicy, type SnpPolicy } from './policy.ts'
import type { SnpProduct } from './product.ts'
import type { SnpReport } from './report.ts'
import { formatTcb } from './tcb.ts'
import type { SnpEndorsementKey } from './vek.ts'

/** What a report of SEV-SNP says, authenticated. */
export interface SnpClaims {
  readonly product: SnpProduct
  readonly report: SnpReport
  /** The key that signed it. */
  readonly endorsement: SnpEndorsementKey
}

/**
 * Verifies attestation reports of AMD SEV-SNP, versions 2 to 5, of Milan, Genoa and Turin. Evidence: the report (1184
 * bytes), the extended report with its certificate table, either of them in hex or base64, or JSON
 * `{"report": base64, "certificates": base64}` with the table (`auxblob` of configfs-tsm), PEM or DER. The binding digest
 * (SHA-512) is in REPORT_DATA. Checks three signatures, and one more for a revocation list.
 *
 * The result has no `tcb`: AMD publishes no rating of its firmware, so that minimum levels are policy.
 *
 * Does not look at the boot of what was measured: `measurement` covers what the host loaded before the guest ran.
 *
 * @see docs/layers/3-attestation-sev-snp.md
 */
export function snpVerifier(trust: SnpTrust = {}): EvidenceVerifier<SnpClaims, SnpPolicy> {
  return {
    type: 'sev-snp',
    maxSize: MAX_SNP_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, context, trust),
    readPolicy: readSnpPolicy,
    appraise: ({ claims }, policy) => appraiseSnp(claims, policy),
  }
}

function authenticate(
  evidence: Uint8Array,
  { now, expected }: EvidenceContext,
  trust: SnpTrust,
): Authenticated<SnpClaims> {
  const verified = authenticateSnpReport(readSnpEvidence(evidence), trust, now)
  const { report, chain } = verified
  const isBound = checkBoundData('sev-snp', Buffer.from(report.reportData, 'hex'), expected)
  const claims = snpClaims(verified)
  return authenticatedEvidence<SnpClaims>({
    claims,
    // A chip has many guests, and a masked one no name; a guest has this from launch to end.
    attested: `sev-snp:report-id:${report.reportId}`,
    result: {
      type: 'sev-snp',
      selectors: snpSelectors(claims),
      verifiedAt: now,
      evidenceNotAfter: chain.notAfter,
      binding: isBound ? 'full' : 'none',
      freshness: isBound ? 'nonce' : 'none',
      hardwareRoot: chain.root.fingerprint,
      debug: report.policy.allowsDebug,
      attributes: snpAttributes(claims),
      warnings: snpWarnings(verified),
    },
  })
}

/** What a verified report says. */
export function snpClaims({ report, key }: VerifiedSnpReport): SnpClaims {
  return { product: key.product, report, endorsement: key }
}

/** Selectors of a report. What is zero, and so not there, has none. */
export function snpSelectors({ product, report, endorsement }: SnpClaims): readonly string[] {
  const { idKeyDigest, authorKeyDigest, chipId } = report
  const isSet = (hex: string): boolean => !/^0*$/.test(hex)
  const all: readonly (readonly [string, string | number | boolean | undefined])[] = [
    ['product', product.toLowerCase()],
    ['measurement', report.measurement],
    ['host-data', isSet(report.hostData) ? report.hostData : undefined],
    ['id-key-digest', isSet(idKeyDigest) ? idKeyDigest : undefined],
    ['author-key-digest', report.authorKeyEnabled && isSet(authorKeyDigest) ? authorKeyDigest : undefined],
    ['chip-id', chipId],
    ['csp-id', endorsement.cspId],
    ['vmpl', report.vmpl],
    ['guest-svn', report.guestSvn],
  ]
  return [
    ...all.filter(([, value]) => value !== undefined).map(([name, value]) => `sev-snp:${name}:${value}`),
    `sev-snp:policy:debug=${report.policy.allowsDebug}`,
    `sev-snp:policy:smt=${report.policy.allowsSmt}`,
    `sev-snp:policy:migrate-ma=${report.policy.allowsMigrationAgent}`,
  ]
}

/** Facts of a report for the record. */
export function snpAttributes({ report, endorsement }: SnpClaims): { readonly [name: string]: string } {
  const { major, minor, build } = report.current
  return {
    measurement: report.measurement,
    'report-id': report.reportId,
    'report-version': `${report.version}`,
    'signing-key': endorsement.kind.toLowerCase(),
    'reported-tcb': formatTcb(report.reportedTcb),
    'committed-tcb': formatTcb(report.committedTcb),
    'current-tcb': formatTcb(report.currentTcb),
    'launch-tcb': formatTcb(report.launchTcb),
    firmware: `${major}.${minor}.${build}`,
    ...(report.chipId === undefined ? {} : { 'chip-id': report.chipId }),
  }
}
