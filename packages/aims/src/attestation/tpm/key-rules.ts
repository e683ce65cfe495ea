import { AimsError } from '../../base/errors.ts'
import type { TpmHash } from './algorithms.ts'
import { ATTRIBUTE, type TpmPublic } from './public-area.ts'
import type { TpmStatementKey } from './signature.ts'

const RESIDENT = ATTRIBUTE.fixedTpm | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin

const ENDORSEMENT = RESIDENT | ATTRIBUTE.adminWithPolicy | ATTRIBUTE.restricted | ATTRIBUTE.decrypt
const HIGH_RANGE = ENDORSEMENT | ATTRIBUTE.userWithAuth

/** What an endorsement key may be used with, and its attributes: they belong together. */
export interface EndorsementPolicy {
  /** authPolicy, hex. */
  readonly policy: string
  readonly attributes: number
}

/**
 * Template L: used with the authorization of the endorsement hierarchy.
 *
 * @see TCG EK Credential Profile 2.5, annex B
 */
export const ENDORSEMENT_POLICY_L: EndorsementPolicy = {
  policy: '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa',
  attributes: ENDORSEMENT,
}

/** Templates H, one per hash: used with that, with an NV index of the platform, or with the (empty) password of the key. */
export const ENDORSEMENT_POLICIES_H: { readonly [hash in 'sha256' | 'sha384' | 'sha512']: EndorsementPolicy } = {
  sha256: {
    policy: 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0',
    attributes: HIGH_RANGE,
  },
  sha384: {
    policy: 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
    attributes: HIGH_RANGE,
  },
  sha512: {
    policy:
      'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
    attributes: HIGH_RANGE,
  },
}

const ENDORSEMENT_POLICIES = [ENDORSEMENT_POLICY_L, ...Object.values(ENDORSEMENT_POLICIES_H)]

/**
 * Checks that a public area is that of an endorsement key: it decrypts for its own TPM only, and only credentials.
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `.weak_key`
 */
export function checkEndorsementKey(key: TpmPublic): void {
  const authPolicy = key.authPolicy.toString('hex')
  // Nothing but this pair tells that a key will not decrypt for somebody else, so it must fit exactly.
  const isTemplate = ENDORSEMENT_POLICIES.some(
    ({ policy, attributes }) => policy === authPolicy && attributes === key.attributes,
  )
  if (!isTemplate) {
    throw mayNot('an endorsement key has not the policy and attributes of a template')
  }
  if (key.symmetricBits === undefined) throw mayNot('the endorsement key protects no credentials')
  requireStrength(key)
}

/**
 * Checks that a public area is that of an attestation key, and returns how it signs. `restricted` is what makes its
 * signatures mean something: without it the TPM signs whatever it is given, a made-up quote for instance (N21).
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `.weak_key`
 */
export function checkAttestationKey(key: TpmPublic): TpmStatementKey {
  requireAttributes(key, RESIDENT | ATTRIBUTE.restricted | ATTRIBUTE.sign, ATTRIBUTE.decrypt, 'an attestation key')
  if (key.scheme === undefined) throw mayNot('the attestation key has no signature scheme')
  requireStrength(key)
  return { publicKey: key.publicKey, scheme: key.scheme }
}

/**
 * Checks that a public area is that of a key which signs for a workload and never leaves its TPM.
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `.weak_key`
 */
export function checkResidentKey(key: TpmPublic): void {
  requireAttributes(key, RESIDENT | ATTRIBUTE.sign, ATTRIBUTE.restricted | ATTRIBUTE.decrypt, 'a resident signing key')
  requireStrength(key)
}

function requireAttributes({ attributes }: TpmPublic, present: number, absent: number, what: string): void {
  if ((attributes & present) !== present || (attributes & absent) !== 0) {
    throw mayNot(`a TPM key has not the attributes of ${what}`)
  }
}

const WEAK: ReadonlySet<TpmHash> = new Set<TpmHash>(['sha1'])

function requireStrength({ publicKey, nameHash, scheme }: TpmPublic): void {
  const { modulusLength = 2048, publicExponent = 65_537n } = publicKey.asymmetricKeyDetails ?? {}
  const isWeak = modulusLength < 2048 || publicExponent !== 65_537n || WEAK.has(nameHash)
  if (isWeak || (scheme !== undefined && WEAK.has(scheme.hash))) {
    throw new AimsError('attestation.weak_key', 'a TPM key has a weak modulus, exponent or hash')
  }
}

function mayNot(message: string): AimsError {
  return new AimsError('attestation.chain_invalid', message)
}
