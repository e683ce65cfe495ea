// CMS SignedData as clouds write it, right or wrong one thing at a time.
import { createHash, sign } from 'node:crypto'
import { context, int, nil, octets, oid, type PkiCertificate, seq, set, time, tlv } from './vendor-pki.ts'

const DATA = '1.2.840.113549.1.7.1'
export const SHA256: Buffer = seq(oid('2.16.840.1.101.3.4.2.1'), nil())
export const SHA1: Buffer = seq(oid('1.3.14.3.2.26'), nil())
export const MD5: Buffer = seq(oid('1.2.840.113549.2.5'), nil())
export const RSA_SHA256: Buffer = seq(oid('1.2.840.113549.1.1.11'), nil())
export const RSA: Buffer = seq(oid('1.2.840.113549.1.1.1'), nil())
export const DSA_SHA1: Buffer = seq(oid('1.2.840.10040.4.3'))

/** `{ raw }`: already DER. */
export interface CmsOptions {
  readonly content: Uint8Array
  readonly signer: PkiCertificate
  readonly serial: Uint8Array
  readonly issuer?: Uint8Array
  /** Indefinite lengths and the content in pieces, as AWS writes it. */
  readonly streamed?: boolean
  readonly digestAlgorithm?: Uint8Array
  readonly announcedAlgorithm?: Uint8Array
  readonly signatureAlgorithm?: Uint8Array
  readonly hash?: 'sha256' | 'sha1'
  /** Absent: no signed attributes. */
  readonly signingTime?: number
  readonly attributes?: readonly Uint8Array[]
  /** Replaces what is digested, so that the signature is about something else. */
  readonly digested?: Uint8Array
  readonly certificates?: readonly Uint8Array[]
  readonly version?: number
  readonly signerVersion?: number
  readonly contentType?: string
  /** More SignerInfos after, or instead of, the one made. */
  readonly signers?: (signer: Buffer) => readonly Uint8Array[]
  /** After the signature, inside SignerInfo. */
  readonly unsigned?: Uint8Array
  /** Between certificates and signers. */
  readonly crls?: Uint8Array
  /** Signs in place of the key of `signer`. */
  readonly signingKey?: PkiCertificate
}

export const attribute = (type: string, ...values: readonly Uint8Array[]): Buffer => seq(oid(type), set(...values))

/** The attributes that AWS signs. */
export function signedAttributes(options: CmsOptions): readonly Uint8Array[] {
  const { content, digestAlgorithm = SHA256, signatureAlgorithm = RSA_SHA256, hash = 'sha256' } = options
  const digest = createHash(hash)
    .update(options.digested ?? content)
    .digest()
  return [
    attribute('1.2.840.113549.1.9.3', oid(DATA)),
    attribute('1.2.840.113549.1.9.5', time(options.signingTime ?? 0)),
    attribute('1.2.840.113549.1.9.52', seq(digestAlgorithm, tlv(0xa1, bodyOf(signatureAlgorithm)))),
    attribute('1.2.840.113549.1.9.4', octets(digest)),
  ]
}

export function makeCms(options: CmsOptions): Buffer {
  const {
    content,
    signer,
    serial,
    digestAlgorithm = SHA256,
    signatureAlgorithm = RSA_SHA256,
    hash = 'sha256',
  } = options
  const attributes = options.attributes ?? (options.signingTime === undefined ? undefined : signedAttributes(options))
  const signed = attributes === undefined ? (options.digested ?? content) : set(...attributes)
  const signature = sign(hash, signed, (options.signingKey ?? signer).key.privateKey)
  const info = seq(
    int(options.signerVersion ?? 1),
    seq(options.issuer ?? signer.subject, int(serial)),
    digestAlgorithm,
    ...(attributes === undefined ? [] : [context(0, ...attributes)]),
    signatureAlgorithm,
    octets(signature),
    ...(options.unsigned === undefined ? [] : [options.unsigned]),
  )
  const long = options.streamed === true ? indefinite : tlv
  const body =
    options.streamed === true
      ? indefinite(0x24, octets(content.subarray(0, 100)), octets(content.subarray(100)))
      : octets(content)
  return long(
    0x30,
    oid('1.2.840.113549.1.7.2'),
    long(
      0xa0,
      long(
        0x30,
        int(options.version ?? 1),
        set(options.announcedAlgorithm ?? digestAlgorithm),
        long(0x30, oid(options.contentType ?? DATA), long(0xa0, body)),
        ...(options.certificates === undefined ? [] : [context(0, ...options.certificates)]),
        ...(options.crls === undefined ? [] : [options.crls]),
        set(...(options.signers?.(info) ?? [info])),
      ),
    ),
  )
}

/** An element of indefinite length. */
export function indefinite(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Uint8Array.of(tag, 0x80), ...parts, Uint8Array.of(0, 0)])
}

// The content of a short element.
function bodyOf(element: Uint8Array): Uint8Array {
  return element.subarray(2)
}
