import { verify } from 'node:crypto'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { type CollateralSource, collateralOf } from '../collateral.ts'
import { parseRevocationList, type RevocationList } from '../x509/revocation.ts'
import { parseVendorCertificates, type VendorCertificate, vendorPublicKey } from '../x509/vendor-certificate.ts'
import { checkSnpChain, type SnpChain } from './chain.ts'
import type { SnpEvidence } from './evidence.ts'
import { snpCollateralNames } from './names.ts'
import { SNP_PRODUCTS, type SnpProduct } from './product.ts'
import { parseSnpReport, type SnpReport, type UnverifiedSnpReport } from './report.ts'
import { AMD_SNP_INTERMEDIATES, AMD_SNP_ROOTS } from './roots.ts'
import { isSameTcb, isTcbAtMost } from './tcb.ts'
import { commonNameOf, endorsementKind, readEndorsementKey, type SnpEndorsementKey } from './vek.ts'

/** Whom a verifier of SEV-SNP reports trusts. */
export interface SnpTrust {
  /** Answers the names of {@link snpCollateralNames}. Absent: everything comes with the evidence. */
  readonly collateral?: CollateralSource
  /** SHA-256 fingerprints of root keys (ARK). Default: AMD's. */
  readonly roots?: ReadonlySet<string>
  /** SHA-256 fingerprints of ASKs and ASVKs. Default: AMD's; with `roots` given, any that these have signed. */
  readonly intermediates?: ReadonlySet<string>
  /** Refuses when no revocation list of the ARK is in `collateral`. Default `false`: a warning. */
  readonly requireRevocationList?: boolean
}

/** A report of which everything has been checked but what it is bound to. */
export interface VerifiedSnpReport {
  readonly report: SnpReport
  readonly key: SnpEndorsementKey
  readonly chain: SnpChain
  /** A revocation list of our own was at hand. */
  readonly isRevocationKnown: boolean
}

/**
 * Checks who made a report: the endorsement key's chain to a pinned root, that it is the key of this chip and TCB, and
 * the signature. Does not compare REPORT_DATA with anything, and does not say whether the guest is good enough.
 *
 * @throws {@link AimsError} `attestation.*`
 * @see AMD 56860 (SEV-SNP ABI), ATTESTATION_REPORT
 */
export function authenticateSnpReport(evidence: SnpEvidence, trust: SnpTrust, now: number): VerifiedSnpReport {
  const { roots = AMD_SNP_ROOTS, collateral = collateralOf({}) } = trust
  const intermediates = trust.intermediates ?? (trust.roots === undefined ? AMD_SNP_INTERMEDIATES : undefined)
  const unverified = parseSnpReport(evidence.report)
  refuseForeignRoots(evidence.certificates, roots)
  const { certificate, key } = findEndorsementKey(unverified, evidence.certificates, collateral)
  if (unverified.product !== undefined && unverified.product !== key.product) {
    throw inconsistent('the endorsement key is of another product than the report')
  }
  const ownLists = readList(collateral, key.product)
  const candidates = [...evidence.certificates, ...readChain(collateral, key)]
  // What comes with the evidence may revoke. It shows that nothing is revoked no more than its sender likes: AMD's lists
  // live for a year, and he chooses which one he sends.
  const lists = [...evidence.lists, ...ownLists]
  const chain = checkSnpChain({ certificate, key, candidates, roots, intermediates, lists, now })
  const isRevocationKnown = ownLists.length > 0
  if (trust.requireRevocationList === true && !isRevocationKnown) throw missing(snpCollateralNames.crl(key.product))
  const report = unverified.fieldsOf(key.product)
  checkOwner(report, key)
  if (!verifyReport(unverified, certificate)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of the report does not verify')
  }
  checkTcbs(report)
  return { report, key, chain, isRevocationKnown }
}

/** What to tell about a verified report that is not a refusal. */
export function snpWarnings({ isRevocationKnown }: VerifiedSnpReport): readonly string[] {
  return isRevocationKnown ? [] : ['no revocation list of AMD is at hand: revocation is not known']
}

// An ARK that comes with the evidence and is not one of ours is no oversight, even where ours is at hand (N7).
function refuseForeignRoots(certificates: readonly VendorCertificate[], roots: ReadonlySet<string>): void {
  const isForeign = (one: VendorCertificate): boolean =>
    commonNameOf(one)?.startsWith('ARK-') === true && !roots.has(one.fingerprint)
  if (certificates.some(isForeign)) {
    throw new AimsError('attestation.untrusted', 'the evidence brings a root that is not configured')
  }
}

function findEndorsementKey(
  unverified: UnverifiedSnpReport,
  certificates: readonly VendorCertificate[],
  collateral: CollateralSource,
): { readonly certificate: VendorCertificate; readonly key: SnpEndorsementKey } {
  const { signingKey } = unverified
  const ofThisKind = certificates.filter((one) => endorsementKind(one) === signingKey)
  if (ofThisKind.length > 1) throw new AimsError('attestation.malformed', 'there are two endorsement keys of a kind')
  const certificate = ofThisKind[0] ?? readKeyFile(unverified, collateral)
  if (endorsementKind(certificate) !== signingKey) throw inconsistent('the report was signed by another kind of key')
  return { certificate, key: readEndorsementKey(certificate) }
}

function readKeyFile(unverified: UnverifiedSnpReport, collateral: CollateralSource): VendorCertificate {
  const names = possibleProducts(unverified).map((product) => keyFileName(unverified, product))
  for (const name of names) {
    const file = name === undefined ? undefined : collateral.get(name)
    if (file === undefined) continue
    const [certificate] = readFile(file)
    if (certificate !== undefined) return certificate
  }
  throw missing(names[0] ?? 'the certificate of the endorsement key')
}

// Version 2 does not name its product: only Turin can be told from the others.
function possibleProducts({ product, hasShortChipId }: UnverifiedSnpReport): readonly SnpProduct[] {
  if (product !== undefined) return [product]
  return SNP_PRODUCTS.filter((one) => (one === 'Turin') === hasShortChipId)
}

function keyFileName({ signingKey, fieldsOf }: UnverifiedSnpReport, product: SnpProduct): string | undefined {
  const { chipId, reportedTcb } = fieldsOf(product)
  if (signingKey === 'VLEK') return snpCollateralNames.vlek(product, reportedTcb)
  return chipId === undefined ? undefined : snpCollateralNames.vcek(product, chipId, reportedTcb)
}

function readChain(collateral: CollateralSource, { kind, product }: SnpEndorsementKey): readonly VendorCertificate[] {
  const name = kind === 'VCEK' ? snpCollateralNames.chain(product) : snpCollateralNames.vlekChain(product)
  const file = collateral.get(name)
  return file === undefined ? [] : readFile(file)
}

function readFile(file: Uint8Array): readonly VendorCertificate[] {
  return refuseAs('attestation.collateral_malformed', 'a file of certificates cannot be read', () =>
    parseVendorCertificates(file),
  )
}

function readList(collateral: CollateralSource, product: SnpProduct): readonly RevocationList[] {
  const file = collateral.get(snpCollateralNames.crl(product))
  return file === undefined ? [] : [parseRevocationList(file)]
}

// A VCEK is made for one chip at one TCB; where the chip is masked nobody can tell whose it is.
function checkOwner(report: SnpReport, key: SnpEndorsementKey): void {
  if (!isSameTcb(report.reportedTcb, key.tcb)) {
    throw inconsistent('the endorsement key is of another TCB than the report')
  }
  if (key.kind === 'VCEK' && report.chipId !== key.hwid) {
    throw inconsistent('the endorsement key is of another chip than the report, or the report masks its chip')
  }
}

function checkTcbs({ reportedTcb, committedTcb, currentTcb }: SnpReport): void {
  if (!isTcbAtMost(committedTcb, currentTcb) || !isTcbAtMost(reportedTcb, committedTcb)) {
    throw inconsistent('the TCBs of the report are not in their order: reported, committed, current')
  }
}

function verifyReport({ signed, signature }: UnverifiedSnpReport, certificate: VendorCertificate): boolean {
  try {
    return verify('sha384', signed, { key: vendorPublicKey(certificate), dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

function missing(name: string): AimsError {
  return new AimsError('attestation.collateral_missing', `${name} is not at hand`)
}

function inconsistent(message: string): AimsError {
  return new AimsError('attestation.inconsistent', message)
}
