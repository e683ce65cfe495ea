import {
  bytesOf,
  type MessageCodec,
  readFields,
  textOf,
  varintOf,
  writeBytes,
  writeElement,
  writeMessage,
  writeVarint,
} from '../workload-api/protobuf.ts'

// The messages of SPIRE's server API that are needed here, without the fields that are not. Names are those of the .proto in camel case.

/** Message `NewDownstreamX509CARequest` of svid.proto. */
export interface NewDownstreamX509CaRequest {
  /** PKCS#10, DER. */
  readonly csr: Uint8Array
  /** Seconds; 0 leaves it to the server. */
  readonly preferredTtl: number
}

/** Message `NewDownstreamX509CAResponse` of svid.proto. */
export interface NewDownstreamX509CaResponse {
  /** DER: the new CA, then those above it. */
  readonly caCertChain: readonly Uint8Array[]
  /** DER. */
  readonly x509Authorities: readonly Uint8Array[]
}

/** Message `JWTKey` of bundle.proto. */
export interface SpireJwtKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
  readonly keyId: string
  /** Seconds since the epoch; 0 for never. */
  readonly expiresAt: number
}

/** Message `X509Certificate` of bundle.proto. */
export interface SpireX509Authority {
  /** DER. */
  readonly asn1: Uint8Array
  /** Believed still, and not to be relied on. */
  readonly tainted: boolean
}

/** Message `Bundle` of bundle.proto. */
export interface SpireBundle {
  /** The name, e.g. `example.com`. */
  readonly trustDomain: string
  readonly x509Authorities: readonly SpireX509Authority[]
  readonly jwtAuthorities: readonly SpireJwtKey[]
}

const NO_BYTES: Buffer = Buffer.alloc(0)

/** Message `GetBundleRequest` without a mask: everything is wanted. */
export const getBundleRequest: MessageCodec<Readonly<Record<never, never>>> = {
  encode: () => NO_BYTES,
  decode(bytes) {
    readFields(bytes)
    return {}
  },
}

export const newDownstreamX509CaRequest: MessageCodec<NewDownstreamX509CaRequest> = {
  encode: ({ csr, preferredTtl }) =>
    writeMessage(writeBytes(1, csr), preferredTtl === 0 ? [] : writeVarint(2, preferredTtl)),
  decode(bytes) {
    const message = { csr: NO_BYTES, preferredTtl: 0 }
    for (const field of readFields(bytes)) {
      if (field.number === 1) message.csr = bytesOf(field)
      else if (field.number === 2) message.preferredTtl = Number(BigInt.asIntN(32, varintOf(field)))
    }
    return message
  },
}

export const newDownstreamX509CaResponse: MessageCodec<NewDownstreamX509CaResponse> = {
  encode: ({ caCertChain, x509Authorities }) =>
    writeMessage(
      caCertChain.map((der) => writeElement(1, der)),
      x509Authorities.map((der) => writeElement(2, der)),
    ),
  decode(bytes) {
    const caCertChain: Uint8Array[] = []
    const x509Authorities: Uint8Array[] = []
    for (const field of readFields(bytes)) {
      if (field.number === 1) caCertChain.push(bytesOf(field))
      else if (field.number === 2) x509Authorities.push(bytesOf(field))
    }
    return { caCertChain, x509Authorities }
  },
}

const jwtKey: MessageCodec<SpireJwtKey> = {
  encode: ({ publicKey, keyId, expiresAt }) =>
    writeMessage(writeBytes(1, publicKey), writeBytes(2, keyId), expiresAt === 0 ? [] : writeVarint(3, expiresAt)),
  decode(bytes) {
    const key = { publicKey: NO_BYTES, keyId: '', expiresAt: 0 }
    for (const field of readFields(bytes)) {
      if (field.number === 1) key.publicKey = bytesOf(field)
      else if (field.number === 2) key.keyId = textOf(field)
      else if (field.number === 3) key.expiresAt = Number(BigInt.asIntN(64, varintOf(field)))
    }
    return key
  },
}

/** Message `PublishJWTAuthorityRequest` of bundle.proto, of one field. */
export const publishJwtAuthorityRequest: MessageCodec<SpireJwtKey> = {
  encode: (key) => writeElement(1, jwtKey.encode(key)),
  decode(bytes) {
    let key = jwtKey.decode(NO_BYTES)
    for (const field of readFields(bytes)) if (field.number === 1) key = jwtKey.decode(bytesOf(field))
    return key
  },
}

/** Message `PublishJWTAuthorityResponse` of bundle.proto, of one field. */
export const publishJwtAuthorityResponse: MessageCodec<readonly SpireJwtKey[]> = {
  encode: (keys) => writeMessage(keys.map((key) => writeElement(1, jwtKey.encode(key)))),
  decode: (bytes) =>
    readFields(bytes)
      .filter(({ number }) => number === 1)
      .map((field) => jwtKey.decode(bytesOf(field))),
}

const x509Authority: MessageCodec<SpireX509Authority> = {
  encode: ({ asn1, tainted }) => writeMessage(writeBytes(1, asn1), tainted ? writeVarint(2, 1) : []),
  decode(bytes) {
    const authority = { asn1: NO_BYTES, tainted: false }
    for (const field of readFields(bytes)) {
      if (field.number === 1) authority.asn1 = bytesOf(field)
      else if (field.number === 2) authority.tainted = varintOf(field) !== 0n
    }
    return authority
  },
}

export const spireBundle: MessageCodec<SpireBundle> = {
  encode: ({ trustDomain, x509Authorities, jwtAuthorities }) =>
    writeMessage(
      writeBytes(1, trustDomain),
      x509Authorities.map((one) => writeElement(2, x509Authority.encode(one))),
      jwtAuthorities.map((key) => writeElement(3, jwtKey.encode(key))),
    ),
  decode(bytes) {
    let trustDomain = ''
    const x509Authorities: SpireX509Authority[] = []
    const jwtAuthorities: SpireJwtKey[] = []
    for (const field of readFields(bytes)) {
      if (field.number === 1) trustDomain = textOf(field)
      else if (field.number === 2) x509Authorities.push(x509Authority.decode(bytesOf(field)))
      else if (field.number === 3) jwtAuthorities.push(jwtKey.decode(bytesOf(field)))
    }
    return { trustDomain, x509Authorities, jwtAuthorities }
  },
}
