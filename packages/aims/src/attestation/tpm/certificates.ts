import { sha256 } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { spkiBytes } from '../../base/keys.ts'
import type { CollateralSource } from '../collateral.ts'
import { parseRevocationList, verifyRevocationList } from '../x509/revocation.ts'
import {
  nameAttributes,
  parseVendorCertificate,
  parseVendorCertificates,
  type VendorCertificate,
  vendorPublicKey,
} from '../x509/vendor-certificate.ts'
import { basicConstraints, extendedKeyUsages, type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { findGceInstance, type GceInstance } from './instance.ts'
import type { TpmPublic } from './public-area.ts'

/** Who vouches for the keys of TPMs. */
export interface TpmCertificateTrust {
  /** SHA-256 fingerprints of the vendor certificates that end a chain. None is built in: see `roots.ts`. */
  readonly roots: ReadonlySet<string>
  /**
   * `tpm/ca/HASH`: certificates (PEM or DER) of the CA whose DER name has this SHA-256. `tpm/crl/HASH`: its revocation
   * list; a list that is there counts.
   */
  readonly collateral: CollateralSource
  /** Refuse a chain in which a revocation list is not at hand. Default false: many makers of TPMs publish none. */
  readonly requireRevocationLists?: boolean
}

/** A key of a TPM that a vendor certified. */
export interface CertifiedKey {
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly keyDigest: string
  readonly chain: VendorChain
  /** E.g. `id:494E5443`, from the certificate. */
  readonly manufacturer?: string
  readonly model?: string
  readonly version?: string
  readonly instance?: GceInstance
}

const EK_PURPOSE = '2.23.133.8.1'
const AK_PURPOSE = '2.23.133.8.3'
const MAX_ISSUERS = 5

/**
 * Checks the certificate of an endorsement key: chain, purpose, and that it is about this public area.
 *
 * @throws {@link AimsError} `attestation.malformed`, `.untrusted`, `.chain_invalid`, `.inconsistent` and the rest of
 *   {@link validateVendorChain}
 * @see TCG EK Credential Profile 2.5, section 3.2
 */
export function certifiedEndorsementKey(
  certificates: readonly Uint8Array[],
  key: TpmPublic,
  trust: TpmCertificateTrust,
  now: number,
): CertifiedKey {
  return certifiedKey(certificates, key, EK_PURPOSE, trust, now)
}

/** The same for the certificate of an attestation key, as clouds issue them for their virtual TPMs. */
export function certifiedAttestationKey(
  certificates: readonly Uint8Array[],
  key: TpmPublic,
  trust: TpmCertificateTrust,
  now: number,
): CertifiedKey {
  return certifiedKey(certificates, key, AK_PURPOSE, trust, now)
}

function certifiedKey(
  certificates: readonly Uint8Array[],
  key: TpmPublic,
  purpose: string,
  trust: TpmCertificateTrust,
  now: number,
): CertifiedKey {
  const [leaf, ...others] = certificates.map(parseVendorCertificate)
  if (leaf === undefined) throw new AimsError('attestation.malformed', 'the key of the TPM has no certificate')
  const candidates = [...others, ...issuersOf([leaf, ...others], trust.collateral)]
  const chain = validateVendorChain({ leaf, candidates, roots: trust.roots, now })
  checkRevocationAtHand(chain, trust, now)
  if (basicConstraints(leaf)?.ca === true || chain.certificates.length < 2) {
    throw new AimsError('attestation.chain_invalid', 'the certificate of a TPM key is one of a CA')
  }
  const instance = findGceInstance(leaf)
  // Google states the instance instead of the purpose.
  if (extendedKeyUsages(leaf)?.includes(purpose) !== true && instance === undefined) {
    throw new AimsError('attestation.chain_invalid', 'the certificate is not one for a key of a TPM')
  }
  if (!vendorPublicKey(leaf).equals(key.publicKey)) {
    throw new AimsError('attestation.inconsistent', 'the certificate is of another key')
  }
  return {
    keyDigest: sha256(spkiBytes(key.publicKey)).toString('hex'),
    chain,
    ...readTpmNames(leaf),
    ...(instance === undefined ? {} : { instance }),
  }
}

// Names come from the evidence, so only bounded many are looked up.
function issuersOf(known: readonly VendorCertificate[], collateral: CollateralSource): readonly VendorCertificate[] {
  const found: VendorCertificate[] = []
  const asked = new Set<string>()
  for (const { issuer } of known) follow(issuer)
  return found

  function follow(issuer: Uint8Array): void {
    const name = `tpm/ca/${sha256(issuer).toString('hex')}`
    if (asked.has(name) || asked.size >= MAX_ISSUERS) return
    asked.add(name)
    const bytes = collateral.get(name)
    if (bytes === undefined) return
    const more = refuseAs('attestation.collateral_malformed', 'certificates of a TPM vendor cannot be read', () =>
      parseVendorCertificates(bytes),
    )
    found.push(...more)
    for (const one of more) follow(one.issuer)
  }
}

function checkRevocationAtHand({ certificates }: VendorChain, trust: TpmCertificateTrust, now: number): void {
  for (const [at, issuer] of certificates.entries()) {
    const certificate = certificates[at - 1]
    if (certificate === undefined) continue
    const bytes = trust.collateral.get(`tpm/crl/${sha256(issuer.subject).toString('hex')}`)
    if (bytes === undefined) {
      if (trust.requireRevocationLists !== true) continue
      throw new AimsError('attestation.collateral_missing', 'a revocation list of a TPM vendor is not at hand')
    }
    const list = parseRevocationList(bytes)
    verifyRevocationList(list, issuer, now)
    if (list.serials.has(Buffer.from(certificate.serial).toString('hex'))) {
      throw new AimsError('attestation.revoked', 'the certificate of a TPM key has been revoked')
    }
  }
}

const NAMES = { manufacturer: '2.23.133.2.1', model: '2.23.133.2.2', version: '2.23.133.2.3' } as const

/** Maker, model and version, from the directory name among the alternative names. */
function readTpmNames(leaf: VendorCertificate): { readonly [name in keyof typeof NAMES]?: string } {
  const extension = leaf.extensions.get('2.5.29.17')
  if (extension === undefined) return {}
  return refuseAs('attestation.malformed', 'the names of a TPM certificate cannot be read', () => {
    const input = DerReader.of(extension.value)
    const names = input.enter(TAG.sequence)
    input.end()
    const found: { -readonly [name in keyof typeof NAMES]?: string } = {}
    while (!names.isAtEnd) {
      if (names.nextTag !== 0xa4) {
        names.element()
        continue
      }
      const explicit = names.enter(0xa4)
      const directory = explicit.element(TAG.sequence)
      explicit.end()
      for (const [name, oid] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
        const [value] = nameAttributes(directory, oid)
        if (value !== undefined && /^[\x20-\x7e]{1,64}$/.test(value)) found[name] = value
      }
    }
    return found
  })
}
