import { AimsError } from '../../base/errors.ts'

/** TPM_ALG_ID values that evidence carries. */
export const TPM_ALG = {
  rsa: 0x0001,
  sha1: 0x0004,
  aes: 0x0006,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  ecdsa: 0x0018,
  ecc: 0x0023,
  cfb: 0x0043,
} as const

/** Hashes by the names of node:crypto; SHA-1 only as a bank of PCRs and a digest in logs. */
export type TpmHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

const HASHES: { readonly [id: number]: TpmHash } = {
  [TPM_ALG.sha1]: 'sha1',
  [TPM_ALG.sha256]: 'sha256',
  [TPM_ALG.sha384]: 'sha384',
  [TPM_ALG.sha512]: 'sha512',
}

/** TPM_ALG_ID of a hash. */
export const HASH_ID: { readonly [hash in TpmHash]: number } = {
  sha1: TPM_ALG.sha1,
  sha256: TPM_ALG.sha256,
  sha384: TPM_ALG.sha384,
  sha512: TPM_ALG.sha512,
}

/** Bytes of a digest. */
export const HASH_SIZE: { readonly [hash in TpmHash]: number } = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

/** The hash of a TPM_ALG_ID, or `undefined`. */
export function findTpmHash(id: number): TpmHash | undefined {
  return HASHES[id]
}

/** @throws {@link AimsError} `attestation.unsupported` */
export function tpmHash(id: number): TpmHash {
  const hash = HASHES[id]
  if (hash === undefined) throw new AimsError('attestation.unsupported', 'the TPM uses a hash that is not supported')
  return hash
}

/** A curve: its JWK name and the bytes of a coordinate. */
export interface TpmCurve {
  readonly crv: 'P-256' | 'P-384' | 'P-521'
  readonly size: number
}

const CURVES: { readonly [id: number]: TpmCurve } = {
  3: { crv: 'P-256', size: 32 },
  4: { crv: 'P-384', size: 48 },
  5: { crv: 'P-521', size: 66 },
}

/** @throws {@link AimsError} `attestation.unsupported` */
export function tpmCurve(id: number): TpmCurve {
  const curve = CURVES[id]
  if (curve === undefined) throw new AimsError('attestation.unsupported', 'the TPM uses a curve that is not supported')
  return curve
}
