import { asBuffer, sha256 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import type { TcbState } from '../attestor.ts'
import { type CollateralSource, createHighestSeen, type HighestSeen } from '../collateral.ts'
import {
  COMMON_NAME,
  nameAttributes,
  parseVendorCertificates,
  type VendorCertificate,
  vendorPublicKey,
} from '../x509/vendor-certificate.ts'
import { basicConstraints, type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { type VerifiedCollateral, verifyCollateral } from './collateral.ts'
import type { DcapTee, PckCa } from './names.ts'
import { type DcapPlatform, readPckExtension, SGX_EXTENSION } from './pck.ts'
import { checkKnownEnclave, rateQuotingEnclave } from './qe-identity.ts'
import type { Quote } from './quote.ts'
import { type Rating, rateSgx, rateTdx } from './rating.ts'
import { readSgxReport } from './report-body.ts'
import { INTEL_SGX_ROOT_CA } from './roots.ts'
import { p256Key, verifyP256 } from './signature.ts'
import type { TcbStatus } from './tcb-status.ts'

/** Whom a verifier of DCAP quotes trusts. */
export interface DcapTrust {
  /** Answers the names of {@link dcapCollateralNames}. */
  readonly collateral: CollateralSource
  /** SHA-256 fingerprints of the certificates that end a chain. Default: Intel's. */
  readonly roots?: ReadonlySet<string>
  /** What was seen of Intel's numbers before. Default: what this verifier has seen since it was made. */
  readonly seen?: HighestSeen
  /**
   * DANGEROUS. Accepts quotes for which collateral is missing: signatures and the chain to Intel are checked, but whether
   * certificates have been revoked only as far as lists are at hand, and nothing is known about firmware and microcode.
   * The status of the TCB is then `unrated`, with a warning. Collateral that is at hand and does not hold still refuses;
   * a policy that asks for an evaluation number is not satisfied. Default `false`.
   */
  readonly acceptUnratedTcb?: boolean
}

/** {@link DcapTrust} with its defaults. */
export type ResolvedTrust = Required<DcapTrust>

/** The TCB of a platform: Intel's status, or `unrated`. */
export interface DcapTcb extends TcbState {
  readonly status: TcbStatus | 'unrated'
}

/** What is known of a quote whose signatures have all been checked. */
export interface VerifiedQuote {
  readonly platform: DcapPlatform
  readonly tcb: DcapTcb
  /** SHA-256 of the root, hex. */
  readonly root: string
  /** Seconds since the epoch. */
  readonly notAfter: number
  readonly warnings: readonly string[]
}

/** Fills in the defaults. */
export function resolveTrust(trust: DcapTrust): ResolvedTrust {
  return {
    roots: new Set([INTEL_SGX_ROOT_CA]),
    seen: createHighestSeen(),
    acceptUnratedTcb: false,
    ...trust,
  }
}

/**
 * Checks everything about a quote that does not depend on what runs: the chain of the PCK to a pinned root, the
 * collateral, the quoting enclave, the attestation key it vouches for, the signature over header and body, and how Intel
 * rates all of it. Does not look at the report's measurements, report data or debug flag.
 *
 * @throws {@link AimsError} `attestation.*`; `.revoked` also when Intel rates the platform so
 */
export function authenticateQuote(quote: Quote, tee: DcapTee, trust: ResolvedTrust, now: number): VerifiedQuote {
  const chain = pckChain(quote, trust, now)
  const [leaf] = chain.certificates as [VendorCertificate]
  const platform = readPckExtension(leaf)
  const collateral = findCollateral(trust, () =>
    verifyCollateral({ ...trust, source: trust.collateral, tee, pckChain: chain, platform, ca: pckCa(leaf), now }),
  )
  checkQuotingEnclave(quote, leaf)
  const rating = rate(quote, tee, platform, collateral)
  const key = p256Key(quote.attestationKey)
  if (key === undefined || !verifyP256(key, quote.signed, quote.signature)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of the quote does not verify')
  }
  if (rating?.status === 'Revoked') throw new AimsError('attestation.revoked', 'Intel has revoked this TCB')
  return {
    platform,
    tcb: tcbState(rating, collateral),
    root: chain.root.fingerprint,
    notAfter: Math.min(chain.expiresAt, collateral?.notAfter ?? Number.POSITIVE_INFINITY),
    warnings: collateral === undefined ? [UNRATED] : [],
  }
}

const UNRATED = 'collateral is missing: revocation is not known, firmware and microcode are not rated'
const PCK = 'SGX PCK Certificate'
const CAS: { readonly [commonName: string]: PckCa } = {
  'Intel SGX PCK Platform CA': 'platform',
  'Intel SGX PCK Processor CA': 'processor',
}

function pckChain(quote: Quote, { roots }: ResolvedTrust, now: number): VendorChain {
  if (quote.pckChain[0] !== 0x30) refuseHiddenText(quote.pckChain)
  const certificates = parseVendorCertificates(quote.pckChain)
  // Quotes have it first, samples of Intel last.
  const leaf = certificates.find(({ extensions }) => extensions.has(SGX_EXTENSION)) ?? certificates[0]
  if (leaf === undefined || certificates.length > 3) {
    throw new AimsError('attestation.malformed', 'the quote does not hold the chain of a PCK')
  }
  const candidates = certificates.filter((one) => one !== leaf)
  const chain = validateVendorChain({ leaf, candidates, roots, now })
  const isPck = names(leaf.subject).some((name) => name.includes(PCK)) && basicConstraints(leaf)?.ca !== true
  if (chain.certificates.length !== 3 || !isPck) {
    throw new AimsError('attestation.chain_invalid', 'the quote does not hold the certificate of a PCK')
  }
  pckCa(leaf)
  return chain
}

const BLOCK = /-----BEGIN CERTIFICATE-----[0-9A-Za-z+/=\r\n]+-----END CERTIFICATE-----/g

// PEM may end with NUL. Nothing else may stand between or after the blocks, where a reader would pass it over.
function refuseHiddenText(pem: Uint8Array): void {
  const nul = pem.indexOf(0)
  const end = nul === -1 ? pem.length : nul
  const between = asBuffer(pem.subarray(0, end)).toString('latin1').replace(BLOCK, '')
  if (/[^\r\n]/.test(between) || pem.subarray(end).some((byte) => byte !== 0)) {
    throw new AimsError('attestation.malformed', 'bytes stand between or after the certificates of the quote')
  }
}

function pckCa({ issuer }: VendorCertificate): PckCa {
  const ca = names(issuer).map((name) => (Object.hasOwn(CAS, name) ? CAS[name] : undefined))[0]
  if (ca === undefined) throw new AimsError('attestation.chain_invalid', 'the issuer of the PCK is not a CA for PCKs')
  return ca
}

function names(name: Uint8Array): readonly string[] {
  return refuseAs('attestation.malformed', 'a name cannot be read', () => nameAttributes(name, COMMON_NAME))
}

function findCollateral(trust: ResolvedTrust, verify: () => VerifiedCollateral): VerifiedCollateral | undefined {
  try {
    return verify()
  } catch (error) {
    if (trust.acceptUnratedTcb && AimsError.is(error) && error.code === 'attestation.collateral_missing')
      return undefined
    throw error
  }
}

// The PCK vouches for the quoting enclave, whose report data name the attestation key.
function checkQuotingEnclave(quote: Quote, pck: VendorCertificate): void {
  if (!verifyP256(vendorPublicKey(pck), quote.qeReport, quote.qeReportSignature)) {
    throw new AimsError('attestation.invalid_signature', 'the report of the quoting enclave is not signed by the PCK')
  }
  const expected = Buffer.alloc(64)
  expected.set(sha256(Buffer.concat([quote.attestationKey, quote.qeAuthData])))
  if (!expected.equals(readSgxReport(quote.qeReport).reportData)) {
    throw new AimsError('attestation.inconsistent', 'the quoting enclave vouches for another attestation key')
  }
}

function rate(
  { qeReport, report }: Quote,
  tee: DcapTee,
  platform: DcapPlatform,
  collateral: VerifiedCollateral | undefined,
): Rating | undefined {
  const enclave = readSgxReport(qeReport)
  if (collateral === undefined) {
    checkKnownEnclave(enclave, tee === 'tdx' ? 'TD_QE' : 'QE')
    if (report.kind !== 'sgx' && [...report.mrSignerSeam, ...report.seamAttributes].some((byte) => byte !== 0)) {
      throw new AimsError('attestation.chain_invalid', "the TDX module is not Intel's")
    }
    return undefined
  }
  const qe = rateQuotingEnclave(enclave, collateral.qeIdentity)
  if (report.kind === 'sgx') return rateSgx(collateral.tcbInfo, platform, qe)
  return rateTdx(collateral.tcbInfo, platform, report, qe)
}

function tcbState(rating: Rating | undefined, collateral: VerifiedCollateral | undefined): DcapTcb {
  if (rating === undefined || collateral === undefined) return { status: 'unrated', advisories: [] }
  const { tcbInfo, qeIdentity } = collateral
  return {
    status: rating.status,
    advisories: rating.advisories,
    evaluationNumber: Math.min(tcbInfo.evaluationNumber, qeIdentity.evaluationNumber),
    tcbDate: rating.date,
  }
}
