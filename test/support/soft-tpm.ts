// A TPM 2.0 in software, as far as attestation sees one: keys with their public areas, quotes, certified keys, and the
// activation of credentials. Everything it signs can be chosen, and so be made wrong one thing at a time.
import {
  constants,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  sign,
} from 'node:crypto'
import type { PcrSelection } from '../../packages/aims/src/attestation/tpm/pcrs.ts'
import { ATTRIBUTE } from '../../packages/aims/src/attestation/tpm/public-area.ts'
import {
  bits,
  bool,
  context,
  extendedUsage,
  makeCertificate,
  makeRoot,
  oid,
  type PkiCertificate,
  type PkiExtension,
  seq,
  set,
  tlv,
  utf8,
} from './vendor-pki.ts'

const u8 = (value: number): Buffer => Buffer.of(value)
export const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff)
export const u32 = (value: number): Buffer =>
  Buffer.of(value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff)
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
/** TPM2B. */
export const tpm2b = (...parts: readonly Uint8Array[]): Buffer => {
  const bytes = Buffer.concat(parts)
  return Buffer.concat([u16(bytes.length), bytes])
}

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'
export const HASH_ID = { sha1: 4, sha256: 0xb, sha384: 0xc, sha512: 0xd } as const
const SIZE = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const

const RESIDENT = ATTRIBUTE.fixedTpm | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin
export const EK_ATTRIBUTES: number = RESIDENT | ATTRIBUTE.adminWithPolicy | ATTRIBUTE.restricted | ATTRIBUTE.decrypt
export const AK_ATTRIBUTES: number = RESIDENT | ATTRIBUTE.userWithAuth | ATTRIBUTE.restricted | ATTRIBUTE.sign
export const KEY_ATTRIBUTES: number = RESIDENT | ATTRIBUTE.userWithAuth | ATTRIBUTE.sign
const POLICY_L = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa'
const POLICY_H3 = 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12'

export interface SoftKeyOptions {
  readonly kind?: 'RSA-2048' | 'RSA-1024' | 'P-256' | 'P-384'
  readonly attributes: number
  readonly nameHash?: HashName
  readonly policy?: string
  /** AES bits of a storage key. */
  readonly symmetric?: number
  /** `none`: the key has no scheme. */
  readonly scheme?: 'rsassa' | 'rsapss' | 'ecdsa' | 'none'
  readonly schemeHash?: HashName
  readonly pair?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
}

/** A key of a TPM, whose private part a test may use as no TPM would let it. */
export interface SoftKey {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  /** TPMT_PUBLIC. */
  readonly area: Buffer
  readonly name: Buffer
  readonly nameHash: HashName
  readonly symmetric: number
  /** Makes a TPMT_SIGNATURE. */
  sign(data: Uint8Array): Buffer
}

const SCHEME_ID = { rsassa: 0x14, rsapss: 0x16, ecdsa: 0x18 } as const
const NULL = u16(0x10)

export function softKey(options: SoftKeyOptions): SoftKey {
  const { kind = 'P-256', attributes, nameHash = 'sha256', policy = '', symmetric = 0, schemeHash = 'sha256' } = options
  const isRsa = kind.startsWith('RSA')
  const scheme = options.scheme ?? (symmetric > 0 ? 'none' : isRsa ? 'rsassa' : 'ecdsa')
  const { publicKey, privateKey } = options.pair ?? generate(kind)
  const jwk = publicKey.export({ format: 'jwk' })
  const part = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url')
  const area = Buffer.concat([
    u16(isRsa ? 1 : 0x23),
    u16(HASH_ID[nameHash]),
    u32(attributes),
    tpm2b(Buffer.from(policy, 'hex')),
    symmetric === 0 ? NULL : Buffer.concat([u16(6), u16(symmetric), u16(0x43)]),
    scheme === 'none' ? NULL : Buffer.concat([u16(SCHEME_ID[scheme]), u16(HASH_ID[schemeHash])]),
    ...(isRsa
      ? [u16(Number(kind.slice(4))), u32(0), tpm2b(part(jwk.n))]
      : [u16(kind === 'P-256' ? 3 : 4), NULL, tpm2b(part(jwk.x)), tpm2b(part(jwk.y))]),
  ])
  const name = Buffer.concat([u16(HASH_ID[nameHash]), createHash(nameHash).update(area).digest()])
  return {
    publicKey,
    privateKey,
    area,
    name,
    nameHash,
    symmetric,
    sign: (data) => signature(privateKey, data, scheme === 'none' ? (isRsa ? 'rsassa' : 'ecdsa') : scheme, schemeHash),
  }
}

function generate(kind: string): { publicKey: KeyObject; privateKey: KeyObject } {
  if (kind.startsWith('RSA')) return generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(4)) })
  return generateKeyPairSync('ec', { namedCurve: kind })
}

/** TPMT_SIGNATURE. */
function signature(
  key: KeyObject,
  data: Uint8Array,
  scheme: keyof typeof SCHEME_ID,
  hash: HashName = 'sha256',
): Buffer {
  const head = Buffer.concat([u16(SCHEME_ID[scheme]), u16(HASH_ID[hash])])
  if (scheme === 'ecdsa') {
    const raw = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
    const half = raw.length / 2
    return Buffer.concat([head, tpm2b(raw.subarray(0, half)), tpm2b(raw.subarray(half))])
  }
  const padding = scheme === 'rsapss' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  return Buffer.concat([head, tpm2b(sign(hash, data, { key, padding }))])
}

/** The name of a key below an endorsement key, in which the names of both are. */
export function qualifiedName(ek: SoftKey, ak: SoftKey): Buffer {
  const qualify = (parent: Uint8Array, { name, nameHash }: SoftKey): Buffer =>
    Buffer.concat([
      name.subarray(0, 2),
      createHash(nameHash)
        .update(Buffer.concat([parent, name]))
        .digest(),
    ])
  return qualify(qualify(u32(0x4000_000b), ek), ak)
}

/** What a TPM may state; each part has an honest default. */
export interface StatementOptions {
  readonly magic?: number
  readonly type?: number
  readonly extraData: Uint8Array
  readonly qualifiedSigner?: Uint8Array
  readonly clock?: bigint
  readonly resetCount?: number
  readonly restartCount?: number
  readonly safe?: number
  readonly firmware?: bigint
}

/** TPMS_ATTEST around `attested`. */
export function statement(options: StatementOptions, attested: Uint8Array): Buffer {
  const { magic = 0xff544347, type = 0x8018, extraData, clock = 41_267n, resetCount = 2, restartCount = 0 } = options
  return Buffer.concat([
    u32(magic),
    u16(type),
    tpm2b(options.qualifiedSigner ?? Buffer.concat([u16(0xb), Buffer.alloc(32, 7)])),
    tpm2b(extraData),
    u64(clock),
    u32(resetCount),
    u32(restartCount),
    u8(options.safe ?? 1),
    u64(options.firmware ?? 0x2019_1023_0016_3636n),
    attested,
  ])
}

/** TPML_PCR_SELECTION. */
function selectionBytes(selection: readonly PcrSelection[], width = 3): Buffer {
  return Buffer.concat([
    u32(selection.length),
    ...selection.map(({ bank, indices }) => {
      const bitmap = Buffer.alloc(width)
      for (const index of indices) bitmap[index >> 3] = (bitmap[index >> 3] as number) | (1 << (index & 7))
      return Buffer.concat([u16(HASH_ID[bank]), u8(width), bitmap])
    }),
  ])
}

/** Values by `bank:index`; what is not set is zero. */
export type SoftPcrs = { readonly [pcr: string]: Uint8Array }

const pcrValue = (pcrs: SoftPcrs, bank: HashName, index: number): Uint8Array =>
  pcrs[`${bank}:${index}`] ?? Buffer.alloc(SIZE[bank])

/** Attested part of a quote. */
export function quoteInfo(selection: readonly PcrSelection[], pcrs: SoftPcrs, hash: HashName = 'sha256'): Buffer {
  const digest = createHash(hash)
  for (const { bank, indices } of selection) for (const index of indices) digest.update(pcrValue(pcrs, bank, index))
  return Buffer.concat([selectionBytes(selection), tpm2b(digest.digest())])
}

export const CERTIFY = 0x8017
/** Attested part of a certified key. */
export const certifyInfo = (name: Uint8Array): Buffer =>
  Buffer.concat([tpm2b(name), tpm2b(u16(0xb), Buffer.alloc(32, 9))])

/** PCR values as a document has them. */
export function pcrsJson(selection: readonly PcrSelection[], pcrs: SoftPcrs): { [bank: string]: object } {
  return Object.fromEntries(
    selection.map(({ bank, indices }) => [
      bank,
      Object.fromEntries(indices.map((index) => [index, Buffer.from(pcrValue(pcrs, bank, index)).toString('hex')])),
    ]),
  )
}

/** Directory name with maker, model and version, critical as TCG wants it where the subject is empty. */
const tpmNames = (manufacturer = 'id:414D5301'): PkiExtension => {
  const one = (id: string, text: string): Buffer => set(seq(oid(id), utf8(text)))
  const directory = seq(
    one('2.23.133.2.1', manufacturer),
    one('2.23.133.2.2', 'Soft'),
    one('2.23.133.2.3', 'id:00010002'),
  )
  return { oid: '2.5.29.17', critical: true, value: seq(context(4, directory)) }
}

const ekExtensions = (): readonly PkiExtension[] => [
  { oid: '2.5.29.19', critical: true, value: seq() },
  { oid: '2.5.29.15', critical: true, value: bits(Buffer.from([0x20]), 5) },
  extendedUsage('2.23.133.8.1'),
  tpmNames(),
]

/** The extension with which Google names an instance. */
export const gceExtension = (isProduction = true): PkiExtension => ({
  oid: '1.3.6.1.4.1.11129.2.1.21',
  value: seq(
    utf8('europe-west1-b'),
    tlv(0x02, Buffer.from('0102030405', 'hex')),
    utf8('example-project'),
    tlv(0x02, Buffer.from('030878c5bdd3d99d', 'hex')),
    utf8('agent-1'),
    context(0, seq(context(0, tlv(0x02, Buffer.of(0))), context(1, bool(isProduction)), context(2, bool(false)))),
  ),
})

/** A maker of TPMs. */
export const maker: PkiCertificate = makeRoot('Soft TPM Maker')

export interface SoftTpm {
  readonly ek: SoftKey
  readonly ekCertificate: PkiCertificate
  readonly ak: SoftKey
  readonly key: SoftKey
  /** TPM2_ActivateCredential. Throws for a credential of another TPM or key. */
  activate(credential: Uint8Array, akName?: Uint8Array): Buffer
}

export interface SoftTpmOptions {
  readonly ek?: Partial<SoftKeyOptions>
  readonly ak?: Partial<SoftKeyOptions>
  readonly key?: Partial<SoftKeyOptions>
  readonly extensions?: readonly PkiExtension[]
  readonly issuer?: PkiCertificate
  readonly notAfter?: number
}

/** Manufactures a TPM with a certified endorsement key, an attestation key, and a signing key that stays in it. */
export function softTpm(options: SoftTpmOptions = {}): SoftTpm {
  const isEcc = options.ek?.kind?.startsWith('P-') === true
  const ek = softKey({
    kind: 'RSA-2048',
    attributes: EK_ATTRIBUTES,
    ...(isEcc
      ? {
          attributes: EK_ATTRIBUTES | ATTRIBUTE.userWithAuth,
          nameHash: 'sha384' as const,
          policy: POLICY_H3,
          symmetric: 256,
        }
      : { policy: POLICY_L, symmetric: 128 }),
    ...options.ek,
  })
  const spki = ek.publicKey.export({ type: 'spki', format: 'der' })
  const ekCertificate = makeCertificate({
    subject: seq(),
    issuer: options.issuer ?? maker,
    key: { publicKey: ek.publicKey, privateKey: ek.privateKey, spki },
    extensions: options.extensions ?? ekExtensions(),
    ...(options.notAfter === undefined ? {} : { notAfter: options.notAfter }),
  })
  const ak = softKey({ attributes: AK_ATTRIBUTES, ...options.ak })
  const key = softKey({ attributes: KEY_ATTRIBUTES, ...options.key })
  return { ek, ekCertificate, ak, key, activate: (credential, akName = ak.name) => activate(ek, akName, credential) }
}

/** The other half of credential protection, written from Part 1, section 24, apart from the code under test. */
function activate(ek: SoftKey, akName: Uint8Array, credential: Uint8Array): Buffer {
  const bytes = Buffer.from(credential)
  const idObject = bytes.subarray(2, 2 + bytes.readUInt16BE(0))
  const encryptedSeed = bytes.subarray(4 + idObject.length)
  const hash = ek.nameHash
  const size = SIZE[hash]
  const seed = recoverSeed(ek, encryptedSeed)
  const mac = idObject.subarray(2, 2 + size)
  const identity = idObject.subarray(2 + size)
  const derive = (label: string, extra: Uint8Array, length: number): Buffer => {
    let out = Buffer.alloc(0)
    for (let i = 1; out.length < length; i += 1) {
      const block = createHmac(hash, seed)
        .update(Buffer.concat([u32(i), Buffer.from(`${label}\0`), extra, u32(length * 8)]))
        .digest()
      out = Buffer.concat([out, block])
    }
    return out.subarray(0, length)
  }
  const expected = createHmac(hash, derive('INTEGRITY', Buffer.alloc(0), size))
    .update(Buffer.concat([identity, akName]))
    .digest()
  if (!expected.equals(mac)) throw new Error('TPM_RC_INTEGRITY')
  const decipher = createDecipheriv(
    `aes-${ek.symmetric}-cfb`,
    derive('STORAGE', akName, ek.symmetric / 8),
    Buffer.alloc(16),
  )
  return Buffer.concat([decipher.update(identity), decipher.final()]).subarray(2)
}

function recoverSeed(ek: SoftKey, encrypted: Buffer): Buffer {
  if (ek.publicKey.asymmetricKeyType === 'rsa') {
    const label = Buffer.from('IDENTITY\0')
    return privateDecrypt(
      { key: ek.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: ek.nameHash, oaepLabel: label },
      encrypted,
    )
  }
  const size = encrypted.readUInt16BE(0)
  const [x, y] = [encrypted.subarray(2, 2 + size), encrypted.subarray(4 + size)]
  const jwk = ek.privateKey.export({ format: 'jwk' })
  const own = createECDH(ek.publicKey.asymmetricKeyDetails?.namedCurve ?? '')
  own.setPrivateKey(Buffer.from(jwk.d ?? '', 'base64url'))
  const shared = own.computeSecret(Buffer.concat([Buffer.of(4), x, y]))
  const parts = [u32(1), shared, Buffer.from('IDENTITY\0'), x, Buffer.from(jwk.x ?? '', 'base64url')]
  return createHash(ek.nameHash).update(Buffer.concat(parts)).digest()
}
