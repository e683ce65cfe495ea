import { verify } from 'node:crypto'
import { asBuffer } from './bytes.ts'
import { requireTime } from './clock.ts'
import { AimsError } from './errors.ts'
import type { Certificate } from './x509-certificate.ts'
import { checkNameConstraints } from './x509-name-constraints.ts'

/** What a path is built from, and the limits it is built within. */
export interface PathRequest {
  readonly leaf: Certificate
  /** In any order; unrelated ones are ignored. */
  readonly intermediates: readonly Certificate[]
  /** Trusted because of where they come from; their own signatures are not checked, everything else is. */
  readonly anchors: readonly Certificate[]
  /** Seconds since the epoch. */
  readonly now: number
  /** Certificates of the path, leaf and anchor included. Default 6, at most 8. */
  readonly maxCertificates?: number
  /** Intermediates between leaf and anchor that are not self-issued (RFC 5280 max_path_length). Default: no limit. */
  readonly maxPathLength?: number
  /**
   * Also refuse what a conforming CA does not issue although a path holds without it: a certificate without key
   * identifiers, and basicConstraints of a CA that are not critical (RFC 5280 section 4.2). Default true.
   */
  readonly conformingIssuers?: boolean
}

/** A path that holds, leaf first, anchor last. Only {@link validatePath} makes one. */
export interface ValidatedPath {
  readonly kind: 'validated-path'
  readonly certificates: readonly Certificate[]
  /** The earliest end of any certificate of the path, seconds since the epoch. */
  readonly expiresAt: number
}

/** Default and largest number of certificates in a path. */
export const DEFAULT_MAX_CERTIFICATES = 6
export const MAX_CERTIFICATES = 8

/** Signature checks spent on one search. 16 of the slowest kind stay below 10 ms. */
const MAX_SIGNATURE_CHECKS = 16
/** Candidates looked at in one search: names are compared before signatures. */
const MAX_CANDIDATES = 1024

/**
 * Finds a path from the leaf to an anchor that holds under RFC 5280: signatures (SHA-256 or longer; RSA 2048 to 4096,
 * P-256, P-384, P-521, Ed25519), validity of every certificate, basicConstraints, keyUsage, path lengths, name
 * constraints, no critical extension that is not understood.
 *
 * Does not look at what the leaf may be used for (keyUsage, extended key usage), at certificate policies, or at
 * revocation lists: SVIDs are short-lived instead. Key identifiers only order the candidates.
 *
 * @throws {@link AimsError} `x509.*`: when no path holds, why the attempt that came furthest failed
 * @see RFC 5280 section 6.1
 */
export function validatePath(request: PathRequest): ValidatedPath {
  const { leaf, maxCertificates = DEFAULT_MAX_CERTIFICATES, conformingIssuers = true } = request
  if (!(maxCertificates >= 2 && maxCertificates <= MAX_CERTIFICATES)) {
    throw new TypeError(`maxCertificates must be between 2 and ${MAX_CERTIFICATES}`)
  }
  requireTime(request.now)
  checkCertificate(leaf, request.now)
  if (conformingIssuers) requireAuthorityKeyId(leaf)
  checkLeaf(leaf)
  const search = new Search({ ...request, maxCertificates, conformingIssuers })
  const certificates = search.run()
  if (certificates === undefined) {
    throw search.failure ?? new AimsError('x509.untrusted', 'no path leads to an authority')
  }
  return {
    kind: 'validated-path',
    certificates,
    expiresAt: Math.min(...certificates.map(({ notAfter }) => notAfter)),
  }
}

type Limits = PathRequest & { readonly maxCertificates: number; readonly conformingIssuers: boolean }

/** A depth-first search that keeps the failure that came furthest. Candidates have a fixed order, so does the failure. */
class Search {
  // Absent: no candidate was tried.
  failure: AimsError | undefined
  #furthest = 0
  #checksLeft = MAX_SIGNATURE_CHECKS
  #candidatesLeft = MAX_CANDIDATES
  readonly #limits: Limits

  constructor(limits: Limits) {
    this.#limits = limits
  }

  run(): readonly Certificate[] | undefined {
    return this.#extend([this.#limits.leaf])
  }

  // All signatures and all CA rules of `path` hold; its last certificate still needs an issuer.
  #extend(path: readonly Certificate[]): readonly Certificate[] | undefined {
    const { anchors, intermediates, maxCertificates, conformingIssuers } = this.#limits
    const last = path.at(-1) as Certificate
    for (const [candidates, isAnchor] of [
      [anchors, true],
      [intermediates, false],
    ] as const) {
      for (const issuer of byKeyId(candidates, last)) {
        this.#candidatesLeft -= 1
        if (this.#candidatesLeft < 0 || this.#checksLeft <= 0) return undefined
        if (!bytesEqual(issuer.subject, last.issuer) || path.some((one) => isSameCa(one, issuer))) continue
        const next = [...path, issuer]
        const complete = this.#attempt(next.length, () => {
          if (next.length + (isAnchor ? 0 : 1) > maxCertificates) {
            throw new AimsError('x509.chain_too_long', `the path has more than ${maxCertificates} certificates`)
          }
          checkCertificate(issuer, this.#limits.now)
          checkIssuer(issuer, path, isAnchor)
          if (conformingIssuers) requireConformingIssuer(issuer)
          this.#checkSignature(last, issuer)
          if (isAnchor) this.#checkWhole(next)
        })
        if (!complete) continue
        const found = isAnchor ? next : this.#extend(next)
        if (found !== undefined) return found
      }
    }
    return undefined
  }

  #attempt(reached: number, check: () => void): boolean {
    try {
      check()
      return true
    } catch (error) {
      if (!AimsError.is(error)) throw error
      if (reached > this.#furthest) {
        this.#furthest = reached
        this.failure = error
      }
      return false
    }
  }

  #checkSignature(certificate: Certificate, issuer: Certificate): void {
    this.#checksLeft -= 1
    if (!isSignedBy(certificate, issuer)) {
      throw new AimsError('x509.invalid_signature', 'a signature of the path does not verify')
    }
  }

  #checkWhole(path: readonly Certificate[]): void {
    const { maxPathLength = Number.POSITIVE_INFINITY } = this.#limits
    if (countNotSelfIssued(path.slice(1, -1)) > maxPathLength) {
      throw new AimsError('x509.path_length', `more than ${maxPathLength} intermediates`)
    }
    checkNameConstraints(path)
  }
}

/** True when the key of `issuer` made the signature of `certificate`. Compares no names and no times. */
export function isSignedBy(certificate: Certificate, issuer: Pick<Certificate, 'subjectPublicKey'>): boolean {
  const scheme = certificate.signatureScheme
  const key = issuer.subjectPublicKey
  if (scheme === undefined || key.asymmetricKeyType !== scheme.keyType) return false
  try {
    return verify(scheme.hash, certificate.tbs, key, certificate.signature)
  } catch {
    return false
  }
}

/** What must hold for every certificate of a path, whatever its place. */
function checkCertificate(certificate: Certificate, now: number): void {
  const { extensions, isCa, keyType, signatureScheme, notBefore, notAfter } = certificate
  if (keyType === 'unsupported') throw new AimsError('x509.weak_key', 'a key is weak or of an unsupported kind')
  if (signatureScheme === undefined) throw new AimsError('x509.weak_key', 'a signature algorithm is not allowed')
  if (extensions.unknownCritical.length > 0) {
    throw new AimsError('x509.unknown_critical_extension', 'a critical extension is not understood')
  }
  if (now < notBefore) throw new AimsError('x509.not_yet_valid', 'a certificate is not valid yet')
  // Times have whole seconds, and the last one counts (RFC 5280 section 4.1.2.5).
  if (Math.floor(now) > notAfter) throw new AimsError('x509.expired', 'a certificate has expired')
  if (!isCa && extensions.nameConstraints !== undefined) {
    throw new AimsError('x509.invalid_extension', 'name constraints in a certificate that is no CA')
  }
  if (extensions.nameConstraints?.critical === false) {
    throw new AimsError('x509.invalid_extension', 'name constraints are not critical')
  }
}

// RFC 5280 section 4.2.1.1: only a self-signed certificate may go without.
function requireAuthorityKeyId({ extensions, isSelfIssued }: Certificate): void {
  if (extensions.authorityKeyId === undefined && !isSelfIssued) {
    throw new AimsError('x509.invalid_extension', 'the authority key identifier is missing')
  }
}

// RFC 5280 sections 4.2.1.2 and 4.2.1.9.
function requireConformingIssuer(issuer: Certificate): void {
  const { basicConstraints, subjectKeyId } = issuer.extensions
  requireAuthorityKeyId(issuer)
  if (basicConstraints?.critical !== true) {
    throw new AimsError('x509.invalid_extension', 'basicConstraints of a CA not critical')
  }
  if (subjectKeyId === undefined) throw new AimsError('x509.invalid_extension', 'a CA has no subject key identifier')
}

function checkLeaf({ isCa, usages, subject, extensions }: Certificate): void {
  if (!isCa && usages?.has('keyCertSign') === true) {
    throw new AimsError('x509.key_usage', 'a certificate that is no CA has keyCertSign')
  }
  if (subject.length === 2 && extensions.subjectAltName?.critical !== true) {
    throw new AimsError('x509.san_not_critical', 'the subject is empty and the SAN is not critical')
  }
}

/** What must hold for the issuer of the last certificate of `path`. */
function checkIssuer(issuer: Certificate, path: readonly Certificate[], isAnchor: boolean): void {
  const { basicConstraints } = issuer.extensions
  if (basicConstraints?.ca !== true) throw new AimsError('x509.not_a_ca', 'an issuer is not a CA')
  // Operators' own roots often lack keyUsage; whoever is not trusted by configuration must have it.
  const maySign = issuer.usages === undefined ? isAnchor : issuer.usages.has('keyCertSign')
  if (!maySign) throw new AimsError('x509.not_a_ca', 'an issuer may not sign certificates')
  const { pathLength = Number.POSITIVE_INFINITY } = basicConstraints
  if (countNotSelfIssued(path.slice(1)) > pathLength) {
    throw new AimsError('x509.path_length', 'the path is longer than a CA allows')
  }
}

// Those whose key identifier fits come first. The sort is stable: the order is a function of the input alone.
function byKeyId(candidates: readonly Certificate[], child: Certificate): readonly Certificate[] {
  const wanted = child.extensions.authorityKeyId
  if (candidates.length < 2 || wanted === undefined || wanted.length === 0) return candidates
  const rank = ({ extensions: { subjectKeyId } }: Certificate): number =>
    subjectKeyId !== undefined && bytesEqual(subjectKeyId, wanted) ? 0 : 1
  return candidates.toSorted((a, b) => rank(a) - rank(b))
}

// A path visits a CA once, under whichever of its certificates: this ends loops of cross-signed CAs.
function isSameCa(a: Certificate, b: Certificate): boolean {
  return bytesEqual(a.spkiDer, b.spkiDer) && bytesEqual(a.subject, b.subject)
}

function countNotSelfIssued(certificates: readonly Certificate[]): number {
  return certificates.filter(({ isSelfIssued }) => !isSelfIssued).length
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return asBuffer(a).equals(b)
}
