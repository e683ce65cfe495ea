import { asBuffer } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { requireScheme, verifyVendorSignature } from './signature.ts'
import { readVendorTime } from './time.ts'
import { readExtensions, type VendorCertificate, type VendorExtension, vendorPublicKey } from './vendor-certificate.ts'
import { CRL_SIGN, keyUsages, type VendorChain } from './vendor-chain.ts'

/** A certificate revocation list that has been read and NOT verified. */
export interface RevocationList {
  readonly tbs: Uint8Array
  /** AlgorithmIdentifier, DER; the inner and the outer one are equal (N39). */
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
  /** DER of the Name. */
  readonly issuer: Uint8Array
  /** Seconds since the epoch. */
  readonly thisUpdate: number
  /** Seconds since the epoch. */
  readonly nextUpdate: number
  /** Contents of the serial INTEGERs, hex. */
  readonly serials: ReadonlySet<string>
  /** crlNumber, for rollback protection. */
  readonly number?: bigint
}

const MAX_LIST = 4 * 1024 * 1024
const CRL_NUMBER = '2.5.29.20'
// Information only; anything else that is critical is refused.
const UNDERSTOOD = new Set([CRL_NUMBER, '2.5.29.35'])

/**
 * Reads a CRL from DER, at most 4 MiB. Delta and indirect lists are refused: their critical extensions are not known.
 * Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 * @see RFC 5280 section 5.1
 */
export function parseRevocationList(der: Uint8Array): RevocationList {
  return refuseAs('attestation.collateral_malformed', 'a revocation list cannot be read', () => read(der))
}

/**
 * Checks every certificate of the chain but its root against the list of its issuer. Each must have one: a list that is
 * not there is not an empty list.
 *
 * @throws {@link AimsError} `attestation.revoked`, `.collateral_missing`, `.collateral_invalid`, `.collateral_expired`
 * @see RFC 5280 section 6.3
 */
export function checkRevocation(chain: VendorChain, lists: readonly RevocationList[], now: number): void {
  const { certificates } = chain
  for (const [at, issuer] of certificates.entries()) {
    const certificate = certificates[at - 1]
    if (certificate === undefined) continue
    const list = lists.find((one) => asBuffer(one.issuer).equals(certificate.issuer))
    if (list === undefined) throw new AimsError('attestation.collateral_missing', 'a revocation list is not at hand')
    verifyRevocationList(list, issuer, now)
    if (list.serials.has(asBuffer(certificate.serial).toString('hex'))) {
      throw new AimsError('attestation.revoked', 'a certificate of the chain has been revoked')
    }
  }
}

/**
 * Checks that `issuer` signed the list and that it is in its window.
 *
 * @throws {@link AimsError} `attestation.collateral_invalid`, `.collateral_expired`
 */
export function verifyRevocationList(list: RevocationList, issuer: VendorCertificate, now: number): void {
  requireTime(now)
  const mayNot = !(keyUsages(issuer)?.has(CRL_SIGN) ?? true)
  if (mayNot || !asBuffer(list.issuer).equals(issuer.subject)) throw invalid()
  const scheme = refuseAs('attestation.collateral_invalid', 'a revocation list has a weak signature', () =>
    requireScheme(list.signatureAlgorithm),
  )
  if (!verifyVendorSignature(scheme, vendorPublicKey(issuer), list.tbs, list.signature)) throw invalid()
  if (now < list.thisUpdate || now > list.nextUpdate) {
    throw new AimsError('attestation.collateral_expired', 'a revocation list is out of its window')
  }
}

function read(der: Uint8Array): RevocationList {
  const input = DerReader.of(der, { maxBytes: MAX_LIST })
  const outer = input.enter(TAG.sequence)
  input.end()
  const tbs = outer.element(TAG.sequence)
  const signatureAlgorithm = outer.element(TAG.sequence)
  const signature = outer.octets()
  outer.end()
  const fields = DerReader.of(tbs, { maxBytes: MAX_LIST }).enter(TAG.sequence)
  if (fields.smallInteger() !== 1) throw malformed('not version 2')
  if (!asBuffer(fields.element(TAG.sequence)).equals(signatureAlgorithm)) throw malformed('the algorithms differ')
  const issuer = fields.element(TAG.sequence)
  const thisUpdate = readVendorTime(fields)
  const nextUpdate = readVendorTime(fields)
  const serials = fields.nextTag === TAG.sequence ? readSerials(fields.enter(TAG.sequence)) : new Set<string>()
  const extensions = fields.nextTag === 0xa0 ? readExtensions(fields) : new Map<string, VendorExtension>()
  fields.end()
  for (const [oid, { critical }] of extensions) {
    if (critical && !UNDERSTOOD.has(oid)) throw malformed('a critical extension is not understood')
  }
  const number = extensions.get(CRL_NUMBER)
  return {
    tbs,
    signatureAlgorithm,
    signature,
    issuer,
    thisUpdate,
    nextUpdate,
    serials,
    ...(number === undefined ? {} : { number: readNumber(number.value) }),
  }
}

function readSerials(list: DerReader): ReadonlySet<string> {
  const serials = new Set<string>()
  while (!list.isAtEnd) {
    const entry = list.enter(TAG.sequence)
    serials.add(asBuffer(entry.integer()).toString('hex'))
    readVendorTime(entry)
    // Reasons and dates are information; whatever the reason, the certificate is refused.
    if (!entry.isAtEnd) entry.element(TAG.sequence)
    entry.end()
  }
  return serials
}

function readNumber(value: Uint8Array): bigint {
  const input = DerReader.of(value)
  const bytes = input.integer()
  input.end()
  return BigInt(`0x${asBuffer(bytes).toString('hex')}`)
}

function invalid(): AimsError {
  return new AimsError('attestation.collateral_invalid', 'a revocation list is not signed by its issuer')
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.collateral_malformed', message)
}
