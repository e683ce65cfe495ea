import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { AimsError } from '../../base/errors.ts'
import { findTpmHash, TPM_ALG, type TpmCurve, type TpmHash, tpmCurve, tpmHash } from './algorithms.ts'
import { malformed, TpmReader } from './wire.ts'

/** Bits of objectAttributes: what the TPM lets a key do. */
export const ATTRIBUTE = {
  fixedTpm: 0x0_0002,
  fixedParent: 0x0_0010,
  sensitiveDataOrigin: 0x0_0020,
  userWithAuth: 0x0_0040,
  adminWithPolicy: 0x0_0080,
  noDa: 0x0_0400,
  restricted: 0x1_0000,
  decrypt: 0x2_0000,
  sign: 0x4_0000,
} as const

/** Signature or key agreement scheme of a key; absent where the user of the key chooses. */
export interface TpmScheme {
  readonly algorithm: number
  readonly hash: TpmHash
}

/** TPMT_PUBLIC: a public key as its TPM describes it. Read, and NOT verified: anybody can write one. */
export interface TpmPublic {
  readonly type: 'rsa' | 'ecc'
  readonly nameHash: TpmHash
  /** Bits of {@link ATTRIBUTE}. */
  readonly attributes: number
  readonly authPolicy: Buffer
  /** AES key bits in CFB mode of a storage key; absent for keys that sign. */
  readonly symmetricBits?: number
  readonly scheme?: TpmScheme
  readonly publicKey: KeyObject
  /** RSA modulus, for ROCA. */
  readonly modulus?: Buffer
  /** Curve and coordinates at full length. */
  readonly point?: { readonly curve: TpmCurve; readonly x: Buffer; readonly y: Buffer }
  /** Name: hash algorithm and digest over the whole area. What a TPM calls the key. */
  readonly name: Buffer
}

const MAX_PUBLIC = 2048

/**
 * Reads a TPMT_PUBLIC, or the TPM2B_PUBLIC that tools write, of an RSA or elliptic curve key.
 *
 * Does not check what the key may do: `key-rules.ts` does.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 * @see TPM 2.0 Library, Part 2, section 12.2.4; Part 1, section 16 (Names)
 */
export function parseTpmPublic(bytes: Uint8Array): TpmPublic {
  if (bytes.length > MAX_PUBLIC) throw malformed('a TPM public area is too long')
  const area = withoutSize(bytes)
  const input = new TpmReader(area)
  const type = input.u16()
  const nameHash = tpmHash(input.u16())
  const attributes = input.u32()
  const authPolicy = input.sized(64)
  const symmetricBits = readSymmetric(input)
  const key = type === TPM_ALG.rsa ? readRsa(input) : type === TPM_ALG.ecc ? readEcc(input) : unsupported()
  input.end()
  const digest = createHash(nameHash).update(area).digest()
  return {
    nameHash,
    attributes,
    authPolicy,
    ...(symmetricBits === undefined ? {} : { symmetricBits }),
    ...key,
    name: Buffer.concat([area.subarray(2, 4), digest]),
  }
}

type KeyPart = Pick<TpmPublic, 'type' | 'publicKey' | 'scheme' | 'modulus' | 'point'>

// A size can not be taken for a type: types are 1 and 35, and areas are longer.
function withoutSize(bytes: Uint8Array): Uint8Array {
  const size = new TpmReader(bytes).u16()
  return size === bytes.length - 2 ? bytes.subarray(2) : bytes
}

function readSymmetric(input: TpmReader): number | undefined {
  const algorithm = input.u16()
  if (algorithm === TPM_ALG.null) return undefined
  const bits = input.u16()
  const isAesCfb = algorithm === TPM_ALG.aes && input.u16() === TPM_ALG.cfb
  if (!isAesCfb || (bits !== 128 && bits !== 192 && bits !== 256)) return unsupported()
  return bits
}

function readScheme(input: TpmReader): TpmScheme | undefined {
  const algorithm = input.u16()
  if (algorithm === TPM_ALG.null) return undefined
  // Every scheme of a signing key consists of its hash; others (ECDAA, OAEP, ...) have nothing to do here.
  if (!SIGNATURES.has(algorithm)) return unsupported()
  return { algorithm, hash: tpmHash(input.u16()) }
}

const SIGNATURES: ReadonlySet<number> = new Set([TPM_ALG.rsassa, TPM_ALG.rsapss, TPM_ALG.ecdsa])

function readRsa(input: TpmReader): KeyPart {
  const scheme = readScheme(input)
  const bits = input.u16()
  const exponent = input.u32() || 65_537
  const modulus = input.sized(512)
  if (modulus.length * 8 !== bits || (modulus[0] ?? 0) < 0x80) throw malformed('an RSA modulus has not its key size')
  if (scheme?.algorithm === TPM_ALG.ecdsa) throw malformed('a scheme is not one of its key')
  const e = exponent.toString(16)
  const jwk = {
    kty: 'RSA',
    n: modulus.toString('base64url'),
    e: Buffer.from(e.length % 2 === 0 ? e : `0${e}`, 'hex').toString('base64url'),
  }
  return { type: 'rsa', publicKey: keyOf(jwk), modulus, ...(scheme === undefined ? {} : { scheme }) }
}

function readEcc(input: TpmReader): KeyPart {
  const scheme = readScheme(input)
  const curve = tpmCurve(input.u16())
  const kdf = input.u16()
  if (kdf !== TPM_ALG.null && findTpmHash(input.u16()) === undefined) return unsupported()
  const [x, y] = [input.sized(curve.size), input.sized(curve.size)].map((one) => leftPad(one, curve.size)) as [
    Buffer,
    Buffer,
  ]
  if (scheme !== undefined && scheme.algorithm !== TPM_ALG.ecdsa) throw malformed('a scheme is not one of its key')
  const jwk = { kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') }
  return { type: 'ecc', publicKey: keyOf(jwk), point: { curve, x, y }, ...(scheme === undefined ? {} : { scheme }) }
}

/** An integer at the length of its field: TPMs may leave zeros out. */
export function leftPad(bytes: Uint8Array, size: number): Buffer {
  if (bytes.length > size) throw malformed('an integer is longer than its field')
  return Buffer.concat([Buffer.alloc(size - bytes.length), bytes])
}

function keyOf(jwk: { readonly [member: string]: string }): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch (cause) {
    throw new AimsError('attestation.malformed', 'a TPM public area holds no usable key', { cause })
  }
}

function unsupported(): never {
  throw new AimsError('attestation.unsupported', 'a TPM key has a type or scheme that is not supported')
}
