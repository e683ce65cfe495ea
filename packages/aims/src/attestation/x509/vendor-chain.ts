import { asBuffer } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'
import { isStrongKey, requireScheme, verifyVendorSignature } from './signature.ts'
import { type VendorCertificate, vendorPublicKey } from './vendor-certificate.ts'

/** What a vendor's chain is built from. */
export interface VendorChainRequest {
  readonly leaf: VendorCertificate
  /** From the evidence and from collateral, in any order, roots included. Nothing of it is trusted. */
  readonly candidates: readonly VendorCertificate[]
  /**
   * SHA-256 fingerprints (lower-case hex, over the DER) of the certificates that end a chain. A root is recognised by its
   * bytes, never by its name: impostors carry the same one.
   */
  readonly roots: ReadonlySet<string>
  /** Seconds since the epoch. */
  readonly now: number
  /** OIDs of critical extensions that the caller itself looks at, in any certificate of the chain. */
  readonly understood?: ReadonlySet<string>
  /** Certificates of the chain, leaf and root included. Default 5. */
  readonly maxCertificates?: number
}

/** A chain that holds, leaf first, root last. Only {@link validateVendorChain} makes one. */
export interface VendorChain {
  readonly kind: 'vendor-chain'
  readonly certificates: readonly VendorCertificate[]
  readonly root: VendorCertificate
  /** The earliest end of any certificate of the chain, seconds since the epoch. */
  readonly expiresAt: number
}

const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
// Read here, or restrictions of use that callers compare (extended key usage, names), or information (policies).
const UNDERSTOOD = new Set([
  BASIC_CONSTRAINTS,
  KEY_USAGE,
  '2.5.29.14',
  '2.5.29.35',
  '2.5.29.37',
  '2.5.29.17',
  '2.5.29.32',
])
const MAX_SIGNATURE_CHECKS = 16

/**
 * Finds a chain from the leaf to a pinned root: signatures, strong keys, validity of every certificate, basicConstraints,
 * path lengths, keyCertSign, no critical extension that is not understood. A root's own signature is not looked at.
 *
 * Does not look at revocation (`revocation.ts` does), names, or at what the leaf may be used for.
 *
 * @throws {@link AimsError} `attestation.untrusted`, `.chain_invalid`, `.weak_key`, `.invalid_signature`, `.expired`,
 *   `.not_yet_valid`: why the attempt that came furthest failed
 * @see RFC 5280 section 6.1
 */
export function validateVendorChain(request: VendorChainRequest): VendorChain {
  requireTime(request.now)
  if (request.roots.size === 0) throw new AimsError('attestation.untrusted', 'no root is configured for this evidence')
  const search = new ChainSearch(request)
  const certificates = search.run()
  if (certificates === undefined) {
    throw search.failure ?? new AimsError('attestation.untrusted', 'no certificate leads to a configured root')
  }
  return {
    kind: 'vendor-chain',
    certificates,
    root: certificates.at(-1) as VendorCertificate,
    expiresAt: Math.min(...certificates.map(({ notAfter }) => notAfter)),
  }
}

class ChainSearch {
  failure: AimsError | undefined
  #furthest = 0
  #checksLeft = MAX_SIGNATURE_CHECKS
  readonly #request: VendorChainRequest

  constructor(request: VendorChainRequest) {
    this.#request = request
  }

  run(): readonly VendorCertificate[] | undefined {
    const { leaf, roots } = this.#request
    checkCertificate(leaf, this.#request)
    if (roots.has(leaf.fingerprint)) return [leaf]
    return this.#extend([leaf])
  }

  #extend(path: readonly VendorCertificate[]): readonly VendorCertificate[] | undefined {
    const { candidates, roots, maxCertificates = 5 } = this.#request
    const last = path.at(-1) as VendorCertificate
    if (path.length >= maxCertificates) {
      // What signed itself is an end, only not one that is configured.
      const isEnd = asBuffer(last.issuer).equals(last.subject)
      const failure = isEnd
        ? new AimsError('attestation.untrusted', 'the chain ends in a root that is not configured')
        : new AimsError('attestation.chain_invalid', 'the chain is too long')
      this.#note(path.length, failure)
      return undefined
    }
    for (const issuer of candidates) {
      if (this.#checksLeft <= 0) return undefined
      if (!asBuffer(issuer.subject).equals(last.issuer) || path.some((one) => sameBytes(one.spki, issuer.spki)))
        continue
      const next = [...path, issuer]
      try {
        checkCertificate(issuer, this.#request)
        checkIssuer(issuer, path.length - 1, roots.has(issuer.fingerprint))
        this.#checksLeft -= 1
        checkSignature(last, issuer)
      } catch (error) {
        if (!AimsError.is(error)) throw error
        this.#note(next.length, error)
        continue
      }
      if (roots.has(issuer.fingerprint)) return next
      const found = this.#extend(next)
      if (found !== undefined) return found
    }
    return undefined
  }

  #note(reached: number, failure: AimsError): void {
    if (reached <= this.#furthest) return
    this.#furthest = reached
    this.failure = failure
  }
}

/** Checks that the key of `issuer` made the signature of `certificate`. Compares no names and no times. */
function checkSignature(certificate: VendorCertificate, issuer: VendorCertificate): void {
  const scheme = requireSchemeOf(certificate)
  if (!verifyVendorSignature(scheme, vendorPublicKey(issuer), certificate.tbs, certificate.signature)) {
    throw new AimsError('attestation.invalid_signature', 'the signature of a certificate does not verify')
  }
}

function requireSchemeOf({ signatureAlgorithm }: VendorCertificate): ReturnType<typeof requireScheme> {
  return refuseMalformed(() => requireScheme(signatureAlgorithm))
}

function checkCertificate(certificate: VendorCertificate, { now, understood }: VendorChainRequest): void {
  if (now < certificate.notBefore) {
    throw new AimsError('attestation.not_yet_valid', 'a certificate of the chain is not valid yet')
  }
  if (Math.floor(now) > certificate.notAfter) {
    throw new AimsError('attestation.expired', 'a certificate of the chain has expired')
  }
  if (!isStrongKey(vendorPublicKey(certificate))) {
    throw new AimsError('attestation.weak_key', 'a certificate of the chain has a weak key')
  }
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !UNDERSTOOD.has(oid) && understood?.has(oid) !== true) {
      throw new AimsError('attestation.chain_invalid', 'a critical extension is not understood')
    }
  }
}

function checkIssuer(issuer: VendorCertificate, intermediatesBelow: number, isRoot: boolean): void {
  const constraints = basicConstraints(issuer)
  // A pinned root of version 1 has no extensions to say so.
  if (constraints?.ca !== true && !(isRoot && issuer.version === 1)) {
    throw new AimsError('attestation.chain_invalid', 'an issuer is not a CA')
  }
  if (!(keyUsages(issuer)?.has(KEY_CERT_SIGN) ?? true)) {
    throw new AimsError('attestation.chain_invalid', 'an issuer may not sign certificates')
  }
  if (intermediatesBelow > (constraints?.pathLength ?? Number.POSITIVE_INFINITY)) {
    throw new AimsError('attestation.chain_invalid', 'the chain is longer than a CA allows')
  }
}

/** basicConstraints, or `undefined` without the extension. A default that is written out is tolerated. */
export function basicConstraints(
  certificate: VendorCertificate,
): { readonly ca: boolean; readonly pathLength?: number } | undefined {
  const extension = certificate.extensions.get(BASIC_CONSTRAINTS)
  if (extension === undefined) return undefined
  return refuseMalformed(() => {
    const input = DerReader.of(extension.value)
    const fields = input.enter(TAG.sequence)
    input.end()
    const ca = fields.nextTag === TAG.boolean ? fields.boolean() : false
    const pathLength = fields.isAtEnd ? undefined : fields.smallInteger()
    fields.end()
    return { ca, ...(pathLength === undefined ? {} : { pathLength }) }
  })
}

/** Bit of keyUsage, RFC 5280 section 4.2.1.3. */
export const DIGITAL_SIGNATURE = 0
const KEY_CERT_SIGN = 5
export const CRL_SIGN = 6

/** The set bits of keyUsage, or `undefined` without the extension. Trailing zero bits are tolerated. */
export function keyUsages(certificate: VendorCertificate): ReadonlySet<number> | undefined {
  const extension = certificate.extensions.get(KEY_USAGE)
  if (extension === undefined) return undefined
  return refuseMalformed(() => {
    const input = DerReader.of(extension.value)
    const { bytes } = input.bitString()
    input.end()
    const set = new Set<number>()
    bytes.forEach((byte, at) => {
      for (let bit = 0; bit < 8; bit += 1) if (((byte << bit) & 0x80) !== 0) set.add(at * 8 + bit)
    })
    return set
  })
}

/** The OIDs of extended key usage, or `undefined` without the extension. */
export function extendedKeyUsages(certificate: VendorCertificate): readonly string[] | undefined {
  const extension = certificate.extensions.get('2.5.29.37')
  if (extension === undefined) return undefined
  return refuseMalformed(() => {
    const input = DerReader.of(extension.value)
    const list = input.enter(TAG.sequence)
    input.end()
    const purposes: string[] = []
    while (!list.isAtEnd) purposes.push(list.oid())
    return purposes
  })
}

function refuseMalformed<T>(run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (AimsError.is(cause) && cause.code.startsWith('der.')) {
      throw new AimsError('attestation.malformed', 'a certificate of the chain cannot be read', { cause })
    }
    throw cause
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return asBuffer(a).equals(b)
}
