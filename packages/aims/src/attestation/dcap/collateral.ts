import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { type CollateralSource, type HighestSeen, refuseRollback } from '../collateral.ts'
import { parseRevocationList, type RevocationList, verifyRevocationList } from '../x509/revocation.ts'
import {
  COMMON_NAME,
  nameAttributes,
  parseVendorCertificates,
  type VendorCertificate,
  vendorPublicKey,
} from '../x509/vendor-certificate.ts'
import { type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { type DcapTee, dcapCollateralNames, type PckCa } from './names.ts'
import type { DcapPlatform } from './pck.ts'
import { type QeIdentity, readQeIdentity } from './qe-identity.ts'
import { verifyP256 } from './signature.ts'
import { parseStatement, type SignedStatement } from './signed-json.ts'
import { readTcbInfo, type TcbInfo, type Window } from './tcb-info.ts'

/** What Intel says about a platform, authenticated, current, and about this platform. */
export interface VerifiedCollateral {
  readonly tcbInfo: TcbInfo
  readonly qeIdentity: QeIdentity
  /** Seconds since the epoch: the earliest end of anything it rests on. */
  readonly notAfter: number
}

/** What collateral is verified for. */
export interface CollateralRequest {
  readonly tee: DcapTee
  readonly source: CollateralSource
  readonly seen: HighestSeen
  readonly roots: ReadonlySet<string>
  /** Of the quote: leaf, CA and root, which must be the root of everything else too. */
  readonly pckChain: VendorChain
  readonly platform: DcapPlatform
  readonly ca: PckCa
  readonly now: number
}

const TCB_SIGNER = 'Intel SGX TCB Signing'

/**
 * Gets and checks all collateral of a quote: revocation of every certificate, TCB info, the identity of the quoting
 * enclave; signatures, dates, that it is about this platform, and that nothing newer was seen before.
 *
 * @throws {@link AimsError} `attestation.collateral_*`, `.revoked`
 * @see Intel DCAP QuoteVerificationLibrary, sections 4.1.2.4 to 4.1.2.9
 */
export function verifyCollateral(request: CollateralRequest): VerifiedCollateral {
  const { tee, source, platform, ca, pckChain, now } = request
  const names = {
    rootCrl: dcapCollateralNames.rootCrl,
    pckCrl: dcapCollateralNames.pckCrl(ca),
    tcbInfo: dcapCollateralNames.tcbInfo(tee, platform.fmspc),
    qeIdentity: dcapCollateralNames.qeIdentity(tee),
  }
  const [leaf, issuer, root] = pckChain.certificates as [VendorCertificate, VendorCertificate, VendorCertificate]
  // First of all, and as far as they are at hand: what is revoked stays so, whatever else is missing.
  const rootCrl = readList(source.get(names.rootCrl), root, now)
  const pckCrl = readList(source.get(names.pckCrl), issuer, now)
  refuseRevoked([root, issuer], rootCrl)
  refuseRevoked([leaf], pckCrl)
  if (rootCrl === undefined) throw missing(names.rootCrl)
  if (pckCrl === undefined) throw missing(names.pckCrl)
  const files = {
    tcbInfo: get(source, names.tcbInfo),
    tcbInfoChain: get(source, dcapCollateralNames.tcbInfoChain(tee, platform.fmspc)),
    qeIdentity: get(source, names.qeIdentity),
    qeIdentityChain: get(source, dcapCollateralNames.qeIdentityChain(tee)),
  }
  const signers = new SignerChains(request, root, rootCrl)
  const tcbStatement = parseStatement(files.tcbInfo, 'tcbInfo')
  signers.verify(tcbStatement, files.tcbInfoChain)
  const tcbInfo = checkWindow(readTcbInfo(tcbStatement.object), now)
  const qeStatement = parseStatement(files.qeIdentity, 'enclaveIdentity')
  signers.verify(qeStatement, files.qeIdentityChain)
  const qeIdentity = checkWindow(readQeIdentity(qeStatement.object), now)
  const isAboutThis =
    tcbInfo.id === (tee === 'tdx' ? 'TDX' : 'SGX') &&
    qeIdentity.id === (tee === 'tdx' ? 'TD_QE' : 'QE') &&
    tcbInfo.fmspc === platform.fmspc &&
    tcbInfo.pceId === platform.pceId
  if (!isAboutThis) throw invalid('the collateral is about another platform or TEE')
  refuseRollback(
    request.seen,
    new Map([
      [names.rootCrl, rootCrl.number ?? 0n],
      [names.pckCrl, pckCrl.number ?? 0n],
      [names.tcbInfo, BigInt(tcbInfo.evaluationNumber)],
      [names.qeIdentity, BigInt(qeIdentity.evaluationNumber)],
    ]),
  )
  const ends = [rootCrl.nextUpdate, pckCrl.nextUpdate, tcbInfo.nextUpdate, qeIdentity.nextUpdate, signers.expiresAt]
  return { tcbInfo, qeIdentity, notAfter: Math.min(...ends) }
}

/** Chains of those who sign statements. One signer usually signs all; its chain is then validated once. */
class SignerChains {
  expiresAt: number = Number.POSITIVE_INFINITY
  readonly #request: CollateralRequest
  readonly #root: VendorCertificate
  readonly #rootCrl: RevocationList
  readonly #valid = new Set<string>()
  // The file that was read last: both statements usually come with the same.
  #chainFile: Uint8Array = new Uint8Array()
  #signers: readonly VendorCertificate[] = []

  constructor(request: CollateralRequest, root: VendorCertificate, rootCrl: RevocationList) {
    this.#request = request
    this.#root = root
    this.#rootCrl = rootCrl
  }

  verify(statement: SignedStatement, chainFile: Uint8Array): void {
    if (!asBuffer(chainFile).equals(this.#chainFile)) {
      this.#signers = asCollateral(() => parseVendorCertificates(chainFile))
        .filter(isTcbSigner)
        .slice(0, 4)
      this.#chainFile = chainFile
    }
    const signer = this.#signers.find((one) =>
      verifyP256(
        asCollateral(() => vendorPublicKey(one)),
        statement.signed,
        statement.signature,
      ),
    )
    if (signer === undefined) throw invalid('a statement is not signed by a certificate for TCB signing')
    if (!this.#valid.has(signer.fingerprint)) this.#validate(signer)
  }

  #validate(signer: VendorCertificate): void {
    const { roots, now } = this.#request
    const chain = asCollateral(() =>
      validateVendorChain({ leaf: signer, candidates: [this.#root], roots, now, maxCertificates: 2 }),
    )
    refuseRevoked([signer], this.#rootCrl)
    this.expiresAt = Math.min(this.expiresAt, chain.expiresAt)
    this.#valid.add(signer.fingerprint)
  }
}

function isTcbSigner({ subject }: VendorCertificate): boolean {
  return asCollateral(() => nameAttributes(subject, COMMON_NAME)).includes(TCB_SIGNER)
}

function readList(file: Uint8Array | undefined, issuer: VendorCertificate, now: number): RevocationList | undefined {
  if (file === undefined) return undefined
  const list = parseRevocationList(file)
  verifyRevocationList(list, issuer, now)
  return list
}

function refuseRevoked(certificates: readonly VendorCertificate[], list: RevocationList | undefined): void {
  if (certificates.some(({ serial }) => list?.serials.has(asBuffer(serial).toString('hex')))) {
    throw new AimsError('attestation.revoked', 'a certificate of the platform or of its collateral has been revoked')
  }
}

function checkWindow<T extends Window>(statement: T, now: number): T {
  if (now < statement.issueDate || now > statement.nextUpdate) {
    throw new AimsError('attestation.collateral_expired', 'a statement about the platform is out of its window')
  }
  return statement
}

function get(source: CollateralSource, name: string): Uint8Array {
  const file = source.get(name)
  if (file === undefined) throw missing(name)
  return file
}

function missing(name: string): AimsError {
  return new AimsError('attestation.collateral_missing', `${name} is not at hand`)
}

const AS_COLLATERAL: {
  readonly [code: string]: 'attestation.collateral_malformed' | 'attestation.collateral_expired'
} = {
  'attestation.malformed': 'attestation.collateral_malformed',
  'attestation.expired': 'attestation.collateral_expired',
  'attestation.not_yet_valid': 'attestation.collateral_expired',
}

function asCollateral<T>(run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    const code = AS_COLLATERAL[cause.code] ?? 'attestation.collateral_invalid'
    throw new AimsError(code, 'the certificates of a statement about the platform do not hold', { cause })
  }
}

function invalid(message: string): AimsError {
  return new AimsError('attestation.collateral_invalid', message)
}
