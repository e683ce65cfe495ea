import { HASH_ID, TPM_ALG, type TpmHash } from '../../tpm/algorithms.ts'
import { ENDORSEMENT_POLICIES_H, ENDORSEMENT_POLICY_L, type EndorsementPolicy } from '../../tpm/key-rules.ts'
import { ATTRIBUTE } from '../../tpm/public-area.ts'
import { sized, u16, u32 } from '../../tpm/wire.ts'

/** An endorsement key as TCG lays it down: where its certificate is, and from what the TPM makes the key anew. */
export interface EndorsementTemplate {
  readonly kind: 'ecc' | 'rsa'
  /** NV index of the certificate. */
  readonly certificate: number
  /** Where the key may lie ready. */
  readonly handle: number
  readonly nameHash: TpmHash
  /** TPMT_PUBLIC. */
  readonly area: Buffer
  /** Its policy leaves a password aside. */
  readonly needsPolicy: boolean
}

const NULL = u16(TPM_ALG.null)
const NOTHING = sized(Buffer.alloc(0))
const NO_POINT = Buffer.concat([NOTHING, NOTHING])
const RESIDENT = ATTRIBUTE.fixedTpm | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin
const CURVE = { 'P-256': 3, 'P-384': 4, 'P-521': 5 } as const

/**
 * The templates of TCG, elliptic ones first: a TPM makes those in a moment.
 *
 * @see TCG EK Credential Profile 2.5, annex B and section 2.2.1.4 (NV indices)
 */
export const ENDORSEMENT_TEMPLATES: readonly EndorsementTemplate[] = [
  high('P-384', 0x16, 'sha384', 256),
  high('P-256', 0x14, 'sha256', 128),
  high('P-521', 0x18, 'sha512', 256),
  low('P-256', 0x0a, 0x02),
  low('RSA', 0x02, 0x01),
  high('RSA-2048', 0x12, 'sha256', 128),
  high('RSA-3072', 0x1c, 'sha384', 256),
  high('RSA-4096', 0x1e, 'sha384', 256),
]

function low(key: 'P-256' | 'RSA', index: number, handle: number): EndorsementTemplate {
  const zeros = (count: number): Buffer => sized(Buffer.alloc(count))
  const unique = key === 'RSA' ? zeros(256) : Buffer.concat([zeros(32), zeros(32)])
  return {
    kind: key === 'RSA' ? 'rsa' : 'ecc',
    certificate: 0x01c0_0000 + index,
    handle: 0x8101_0000 + handle,
    nameHash: 'sha256',
    needsPolicy: true,
    area: endorsementArea(ENDORSEMENT_POLICY_L, 'sha256', 128, key === 'RSA' ? rsa(2048) : ecc('P-256'), unique),
  }
}

function high(
  key: keyof typeof CURVE | 'RSA-2048' | 'RSA-3072' | 'RSA-4096',
  index: number,
  nameHash: 'sha256' | 'sha384' | 'sha512',
  aesBits: number,
): EndorsementTemplate {
  const isRsa = key === 'RSA-2048' || key === 'RSA-3072' || key === 'RSA-4096'
  const parameters = isRsa ? rsa(Number(key.slice(4))) : ecc(key)
  return {
    kind: isRsa ? 'rsa' : 'ecc',
    certificate: 0x01c0_0000 + index,
    handle: 0x8101_0000 + index,
    nameHash,
    needsPolicy: false,
    area: endorsementArea(ENDORSEMENT_POLICIES_H[nameHash], nameHash, aesBits, parameters, isRsa ? NOTHING : NO_POINT),
  }
}

interface KeyParameters {
  readonly type: number
  readonly rest: Buffer
}

function rsa(bits: number, scheme: Buffer = NULL): KeyParameters {
  return { type: TPM_ALG.rsa, rest: Buffer.concat([scheme, u16(bits), u32(0)]) }
}

function ecc(curve: keyof typeof CURVE, scheme: Buffer = NULL): KeyParameters {
  return { type: TPM_ALG.ecc, rest: Buffer.concat([scheme, u16(CURVE[curve]), NULL]) }
}

function endorsementArea(
  { policy, attributes }: EndorsementPolicy,
  hash: TpmHash,
  aesBits: number,
  { type, rest }: KeyParameters,
  unique: Buffer,
): Buffer {
  const symmetric = [u16(TPM_ALG.aes), u16(aesBits), u16(TPM_ALG.cfb)]
  const head = [u16(type), u16(HASH_ID[hash]), u32(attributes), sized(Buffer.from(policy, 'hex'))]
  return Buffer.concat([...head, ...symmetric, rest, unique])
}

/** TPMT_PUBLIC of a new attestation key: restricted, so that the TPM signs only what it knows itself. */
export function attestationArea(kind: 'ecc' | 'rsa'): Buffer {
  const attributes = RESIDENT | ATTRIBUTE.userWithAuth | ATTRIBUTE.restricted | ATTRIBUTE.sign
  if (kind === 'ecc') return signingArea(attributes, ecc('P-256', scheme(TPM_ALG.ecdsa)), NO_POINT)
  return signingArea(attributes, rsa(2048, scheme(TPM_ALG.rsassa)), NOTHING)
}

/** TPMT_PUBLIC of a new key of a workload, P-256. `seed` makes it differ from all others of the same TPM. */
export function residentArea(seed: Uint8Array): Buffer {
  const attributes = RESIDENT | ATTRIBUTE.userWithAuth | ATTRIBUTE.sign | ATTRIBUTE.noDa
  return signingArea(attributes, ecc('P-256', scheme(TPM_ALG.ecdsa)), Buffer.concat([sized(seed), NOTHING]))
}

const scheme = (algorithm: number): Buffer => Buffer.concat([u16(algorithm), u16(TPM_ALG.sha256)])

function signingArea(attributes: number, { type, rest }: KeyParameters, unique: Buffer): Buffer {
  return Buffer.concat([u16(type), u16(TPM_ALG.sha256), u32(attributes), NOTHING, NULL, rest, unique])
}
