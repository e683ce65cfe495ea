import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { type RevocationList, verifyRevocationList } from '../x509/revocation.ts'
import { requireScheme } from '../x509/signature.ts'
import { type VendorCertificate, vendorPublicKey } from '../x509/vendor-certificate.ts'
import { type VendorChain, validateVendorChain } from '../x509/vendor-chain.ts'
import { commonNameOf, type SnpEndorsementKey } from './vek.ts'

/** What the chain of an endorsement key is checked with. */
export interface SnpChainRequest {
  readonly certificate: VendorCertificate
  readonly key: SnpEndorsementKey
  /** From evidence and collateral. Nothing of it is trusted. */
  readonly candidates: readonly VendorCertificate[]
  readonly roots: ReadonlySet<string>
  /** Absent: any that the root has signed. */
  readonly intermediates?: ReadonlySet<string> | undefined
  readonly lists: readonly RevocationList[]
  readonly now: number
}

/** What came of it. */
export interface SnpChain {
  readonly root: VendorCertificate
  /** Seconds since the epoch. */
  readonly notAfter: number
}

const SALT = 48

/**
 * Checks an endorsement key's chain: leaf, ASK or ASVK, ARK; pinned by fingerprint, named after one product, RSA of 4096
 * bits with RSASSA-PSS and SHA-384 throughout, P-384 in the leaf; and the revocation lists of the ARK that are at hand.
 *
 * @throws {@link AimsError} `attestation.untrusted`, `.chain_invalid`, `.weak_key`, `.invalid_signature`, `.expired`,
 *   `.not_yet_valid`, `.revoked`, `.collateral_invalid`, `.collateral_expired`
 * @see AMD 57230 (VCEK Certificate and KDS Interface), sections 2 and 4
 */
export function checkSnpChain(request: SnpChainRequest): SnpChain {
  const { certificate, candidates, roots, now, key, lists } = request
  const chain = validateVendorChain({ leaf: certificate, candidates, roots, now, maxCertificates: 3 })
  const [leaf, signer, root] = chain.certificates
  if (leaf === undefined || signer === undefined || root === undefined) {
    throw invalid('an endorsement key has exactly one certificate between itself and the root')
  }
  if (request.intermediates !== undefined && !request.intermediates.has(signer.fingerprint)) {
    throw new AimsError('attestation.untrusted', 'the signer of the endorsement key is not a configured one')
  }
  checkNames(key, signer, root)
  checkKeys(chain)
  const ends = lists.map((list) => checkList(list, signer, root, now))
  return { root, notAfter: Math.min(chain.expiresAt, ...ends) }
}

function checkNames({ kind, product }: SnpEndorsementKey, signer: VendorCertificate, root: VendorCertificate): void {
  const wanted = kind === 'VCEK' ? `SEV-${product}` : `SEV-VLEK-${product}`
  if (commonNameOf(signer) !== wanted || commonNameOf(root) !== `ARK-${product}`) {
    throw invalid('the chain is of another product, or signs another kind of endorsement key')
  }
}

function checkKeys({ certificates }: VendorChain): void {
  for (const [at, certificate] of certificates.entries()) {
    const key = vendorPublicKey(certificate)
    const details = key.asymmetricKeyDetails
    const isRightKey =
      at === 0
        ? details?.namedCurve === 'secp384r1'
        : key.asymmetricKeyType === 'rsa' && details?.modulusLength === 4096
    const { keyType, hash, saltLength } = requireScheme(certificate.signatureAlgorithm)
    if (!isRightKey || keyType !== 'rsa-pss' || hash !== 'sha384' || saltLength !== SALT) {
      throw new AimsError('attestation.weak_key', 'a certificate has not the kind of key or signature that AMD uses')
    }
  }
}

// The ARK revokes ASKs and ASVKs. Endorsement keys all have serial number 0: nobody revokes them one by one.
function checkList(list: RevocationList, signer: VendorCertificate, root: VendorCertificate, now: number): number {
  verifyRevocationList(list, root, now)
  if (list.serials.has(asBuffer(signer.serial).toString('hex'))) {
    throw new AimsError('attestation.revoked', 'AMD has revoked the signer of the endorsement key')
  }
  return list.nextUpdate
}

function invalid(message: string): AimsError {
  return new AimsError('attestation.chain_invalid', message)
}
