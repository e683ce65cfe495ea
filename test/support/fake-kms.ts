// What the key managers of clouds have in common here: keys that are real, and what can go wrong. How each is spoken to is in
// fake-aws-kms.ts, fake-gcp-kms.ts and fake-azure-vault.ts.
import { createECDH, generateKeyPairSync, type KeyObject } from 'node:crypto'
import tls from 'node:tls'
import { ecdsaToDer } from '../../packages/aims/src/base/algorithms.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type TlsHost, webAuthority } from './tls-host.ts'

/** What goes wrong: nothing, or one thing. Those with `once` right themselves after the first time. */
export type KmsFault =
  | 'none'
  | 'throttled'
  | 'throttled once'
  | 'denied'
  | 'broken'
  | 'answers about another key'
  | 'signs with another key'
  | 'garbles signatures'
  | 'gives a key of another type'

export interface FakeKey {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly alg: 'ES256' | 'ES384'
  readonly labels: { readonly [name: string]: string }
  state: 'enabled' | 'disabled' | 'destroyed'
}

/** A key manager of a cloud on loopback. */
export interface FakeKms extends AsyncDisposable {
  readonly host: TlsHost
  /** By reference. */
  readonly keys: Map<string, FakeKey>
  /** Operations that came from somebody it knows. */
  readonly operations: string[]
  fault: KmsFault
  /** For `keys.manager`. */
  readonly setting: JsonObject
}

const CURVES = {
  ES256: {
    name: 'prime256v1',
    half: 32,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  ES384: {
    name: 'secp384r1',
    half: 48,
    order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
} as const

/** Has programs of this process believe the hosts of these tests, as machines believe those of the web. */
export function trustTestHosts(): void {
  tls.setDefaultCACertificates([...tls.getCACertificates(), webAuthority])
}

export function makeKey(alg: FakeKey['alg'], labels: FakeKey['labels']): FakeKey {
  return { ...generateKeyPairSync('ec', { namedCurve: CURVES[alg].name }), alg, labels, state: 'enabled' }
}

const other: FakeKey = makeKey('ES256', {})
const rsa: KeyObject = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey

/** The public key as this fault has it. */
export function shownKey({ publicKey }: FakeKey, fault: KmsFault): KeyObject {
  return fault === 'gives a key of another type' ? rsa : publicKey
}

/** Signs a digest as this fault has it, in DER or as r and s. */
export function signDigest(key: FakeKey, digest: Buffer, fault: KmsFault, form: 'der' | 'r and s'): Buffer {
  const { privateKey, alg } = fault === 'signs with another key' ? other : key
  const raw = ecdsa(alg, privateKey, digest)
  const signature = form === 'der' ? Buffer.from(ecdsaToDer(raw, CURVES[alg].half)) : raw
  return fault === 'garbles signatures' ? signature.subarray(1) : signature
}

// ECDSA over a digest, which node:crypto does not offer: FIPS 186-5, section 6.4.1. For tests: not in constant time.
function ecdsa(alg: FakeKey['alg'], key: KeyObject, digest: Buffer): Buffer {
  const { name, half, order } = CURVES[alg]
  const ephemeral = createECDH(name)
  const point = ephemeral.generateKeys()
  const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  const bytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(2 * half, '0'), 'hex')
  const d = number(Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url'))
  const r = number(point.subarray(1, 1 + half)) % order
  const s = (inverse(number(ephemeral.getPrivateKey()), order) * (number(digest.subarray(0, half)) + r * d)) % order
  return Buffer.concat([bytes(r), bytes(s)])
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, next, t, nextT] = [modulus, value, 0n, 1n]
  while (next !== 0n) {
    const quotient = r / next
    ;[r, next] = [next, r - quotient * next]
    ;[t, nextT] = [nextT, t - quotient * nextT]
  }
  return ((t % modulus) + modulus) % modulus
}
