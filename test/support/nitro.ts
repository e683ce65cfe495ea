// Attestation documents as the Nitro hypervisor makes them, under a root of our own.
import { sign } from 'node:crypto'
import { type CborInput, encodeCbor } from './cbor.ts'
import { bits, caExtensions, makeCertificate, makeRoot, newKey, type PkiCertificate } from './vendor-pki.ts'

export const NITRO_NOW = 1_750_000_000

const key = () => newKey('P-384')

export const nitroRoot: PkiCertificate = makeRoot('aws.nitro-enclaves', { key: key() })
export const nitroRegion: PkiCertificate = makeCertificate({
  subject: 'region.aws.nitro-enclaves',
  issuer: nitroRoot,
  key: key(),
  extensions: caExtensions(1),
})
export const nitroInstance: PkiCertificate = makeCertificate({
  subject: 'i-0123456789abcdef0.region.aws.nitro-enclaves',
  issuer: nitroRegion,
  key: key(),
  notBefore: NITRO_NOW - 3600,
  notAfter: NITRO_NOW + 86_400,
  extensions: caExtensions(0),
})
/** The certificate of an enclave lives three hours. */
export const nitroLeaf: PkiCertificate = makeCertificate({
  subject: 'i-0123456789abcdef0-enc0123456789abcdef',
  issuer: nitroInstance,
  key: key(),
  notBefore: NITRO_NOW - 60,
  notAfter: NITRO_NOW + 10_740,
  extensions: [{ oid: '2.5.29.15', critical: true, value: bits(Buffer.from([0xc0]), 6) }],
})

export interface NitroOptions {
  readonly leaf?: PkiCertificate
  readonly bundle?: readonly Uint8Array[]
  /** Members of the payload; `undefined` leaves one out. */
  readonly members?: { readonly [name: string]: CborInput | undefined }
  readonly protectedHeader?: CborInput
  readonly unprotectedHeader?: CborInput
  readonly pcrs?: ReadonlyMap<number, Uint8Array>
  readonly signer?: PkiCertificate
}

export const pcr = (byte: number): Buffer => Buffer.alloc(48, byte)

export function nitroPcrs(change: { readonly [index: number]: Uint8Array } = {}): ReadonlyMap<number, Uint8Array> {
  const pcrs = new Map<number, Uint8Array>()
  for (let i = 0; i < 16; i += 1) pcrs.set(i, change[i] ?? pcr(i <= 4 ? i + 1 : 0))
  return pcrs
}

export function nitroPayload(options: NitroOptions = {}): Buffer {
  const { leaf = nitroLeaf, bundle = [nitroRoot.der, nitroRegion.der, nitroInstance.der] } = options
  const members: { readonly [name: string]: CborInput | undefined } = {
    module_id: 'i-0123456789abcdef0-enc0123456789abcdef',
    digest: 'SHA384',
    timestamp: NITRO_NOW * 1000 - 5,
    pcrs: options.pcrs ?? nitroPcrs(),
    certificate: leaf.der,
    cabundle: bundle,
    public_key: null,
    user_data: null,
    nonce: null,
    ...options.members,
  }
  const present = Object.entries(members).filter((entry): entry is [string, CborInput] => entry[1] !== undefined)
  return encodeCbor(new Map(present))
}

export function nitroDocument(options: NitroOptions = {}, payload: Uint8Array = nitroPayload(options)): Buffer {
  const header = encodeCbor(options.protectedHeader ?? new Map([[1, -35]]))
  const signer = options.signer ?? options.leaf ?? nitroLeaf
  const structure = encodeCbor(['Signature1', header, Buffer.alloc(0), payload])
  const signature = sign('sha384', structure, { key: signer.key.privateKey, dsaEncoding: 'ieee-p1363' })
  return encodeCbor([header, options.unprotectedHeader ?? new Map(), payload, signature])
}
