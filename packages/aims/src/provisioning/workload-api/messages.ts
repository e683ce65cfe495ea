import type { JsonObject } from '../../base/json.ts'
import {
  bytesOf,
  type MessageCodec,
  readFields,
  readPair,
  textOf,
  writeBytes,
  writeElement,
  writeMap,
  writeMessage,
} from './protobuf.ts'
import { struct } from './struct.ts'

// The messages of workloadapi.proto, in its order. Names of fields are those of the .proto in camel case.

/** `X509SVIDRequest`, `X509BundlesRequest`, `JWTBundlesRequest` and `WITBundlesRequest`: messages without fields. */
export type EmptyRequest = Readonly<Record<never, never>>

/** Message `X509SVID` of workloadapi.proto. */
export interface X509SvidMessage {
  readonly spiffeId: string
  /** DER certificates side by side, leaf first. */
  readonly x509Svid: Uint8Array
  /** PKCS#8 DER. */
  readonly x509SvidKey: Uint8Array
  /** DER certificates side by side. */
  readonly bundle: Uint8Array
  readonly hint: string
}

/** Message `X509SVIDResponse` of workloadapi.proto. */
export interface X509SvidResponse {
  readonly svids: readonly X509SvidMessage[]
  readonly crl: readonly Uint8Array[]
  /** By the SPIFFE ID of the trust domain. */
  readonly federatedBundles: ReadonlyMap<string, Uint8Array>
}

/** Message `X509BundlesResponse` of workloadapi.proto. */
export interface X509BundlesResponse {
  readonly crl: readonly Uint8Array[]
  /** By the SPIFFE ID of the trust domain. */
  readonly bundles: ReadonlyMap<string, Uint8Array>
}

/** Message `JWTSVIDRequest` of workloadapi.proto. */
export interface JwtSvidRequestMessage {
  readonly audience: readonly string[]
  readonly spiffeId: string
}

/** Message `JWTSVID` of workloadapi.proto. */
export interface JwtSvidMessage {
  readonly spiffeId: string
  readonly svid: string
  readonly hint: string
}

/** Message `JWTSVIDResponse` of workloadapi.proto. */
export interface JwtSvidResponse {
  readonly svids: readonly JwtSvidMessage[]
}

/** Message `JWTBundlesResponse` of workloadapi.proto. */
export interface JwtBundlesResponse {
  /** JWK Sets by the SPIFFE ID of the trust domain. */
  readonly bundles: ReadonlyMap<string, Uint8Array>
}

/** Message `ValidateJWTSVIDRequest` of workloadapi.proto. */
export interface ValidateJwtSvidRequest {
  readonly audience: string
  readonly svid: string
}

/** Message `ValidateJWTSVIDResponse` of workloadapi.proto. */
export interface ValidateJwtSvidResponse {
  readonly spiffeId: string
  readonly claims: JsonObject
}

/** Message `WITSVIDRequest` of workloadapi.proto. */
export interface WitSvidRequest {
  readonly spiffeId: string
}

/** Message `WITSVID` of workloadapi.proto. */
export interface WitSvidMessage {
  readonly spiffeId: string
  readonly witSvid: string
  /** A private JWK as JSON. */
  readonly witSvidKey: string
  readonly hint: string
}

/** Message `WITSVIDResponse` of workloadapi.proto. */
export interface WitSvidResponse {
  readonly svids: readonly WitSvidMessage[]
}

/** Message `WITBundlesResponse` of workloadapi.proto. */
export interface WitBundlesResponse {
  /** JWK Sets by the SPIFFE ID of the trust domain. */
  readonly bundles: ReadonlyMap<string, string>
}

const NO_BYTES: Buffer = Buffer.alloc(0)

export const emptyRequest: MessageCodec<EmptyRequest> = {
  encode: () => NO_BYTES,
  decode(bytes) {
    readFields(bytes)
    return {}
  },
}

const x509Svid: MessageCodec<X509SvidMessage> = {
  encode: (svid) =>
    writeMessage(
      writeBytes(1, svid.spiffeId),
      writeBytes(2, svid.x509Svid),
      writeBytes(3, svid.x509SvidKey),
      writeBytes(4, svid.bundle),
      writeBytes(5, svid.hint),
    ),
  decode(bytes) {
    const svid = { spiffeId: '', x509Svid: NO_BYTES, x509SvidKey: NO_BYTES, bundle: NO_BYTES, hint: '' }
    for (const field of readFields(bytes)) {
      if (field.number === 1) svid.spiffeId = textOf(field)
      else if (field.number === 2) svid.x509Svid = bytesOf(field)
      else if (field.number === 3) svid.x509SvidKey = bytesOf(field)
      else if (field.number === 4) svid.bundle = bytesOf(field)
      else if (field.number === 5) svid.hint = textOf(field)
    }
    return svid
  },
}

export const x509SvidResponse: MessageCodec<X509SvidResponse> = {
  encode: ({ svids, crl, federatedBundles }) =>
    writeMessage(
      svids.map((svid) => writeElement(1, x509Svid.encode(svid))),
      crl.map((list) => writeElement(2, list)),
      writeMap(3, federatedBundles),
    ),
  decode(bytes) {
    const svids: X509SvidMessage[] = []
    const crl: Uint8Array[] = []
    const federatedBundles = new Map<string, Uint8Array>()
    for (const field of readFields(bytes)) {
      if (field.number === 1) svids.push(x509Svid.decode(bytesOf(field)))
      else if (field.number === 2) crl.push(bytesOf(field))
      else if (field.number === 3) readPair(federatedBundles, field, NO_BYTES, bytesOf)
    }
    return { svids, crl, federatedBundles }
  },
}

export const x509BundlesResponse: MessageCodec<X509BundlesResponse> = {
  encode: ({ crl, bundles }) =>
    writeMessage(
      crl.map((list) => writeElement(1, list)),
      writeMap(2, bundles),
    ),
  decode(bytes) {
    const crl: Uint8Array[] = []
    const bundles = new Map<string, Uint8Array>()
    for (const field of readFields(bytes)) {
      if (field.number === 1) crl.push(bytesOf(field))
      else if (field.number === 2) readPair(bundles, field, NO_BYTES, bytesOf)
    }
    return { crl, bundles }
  },
}

export const jwtSvidRequest: MessageCodec<JwtSvidRequestMessage> = {
  encode: ({ audience, spiffeId }) =>
    writeMessage(
      audience.map((one) => writeElement(1, one)),
      writeBytes(2, spiffeId),
    ),
  decode(bytes) {
    const audience: string[] = []
    let spiffeId = ''
    for (const field of readFields(bytes)) {
      if (field.number === 1) audience.push(textOf(field))
      else if (field.number === 2) spiffeId = textOf(field)
    }
    return { audience, spiffeId }
  },
}

const jwtSvid: MessageCodec<JwtSvidMessage> = {
  encode: ({ spiffeId, svid, hint }) => writeMessage(writeBytes(1, spiffeId), writeBytes(2, svid), writeBytes(3, hint)),
  decode(bytes) {
    const message = { spiffeId: '', svid: '', hint: '' }
    for (const field of readFields(bytes)) {
      if (field.number === 1) message.spiffeId = textOf(field)
      else if (field.number === 2) message.svid = textOf(field)
      else if (field.number === 3) message.hint = textOf(field)
    }
    return message
  },
}

export const jwtSvidResponse: MessageCodec<JwtSvidResponse> = {
  encode: ({ svids }) => writeMessage(svids.map((svid) => writeElement(1, jwtSvid.encode(svid)))),
  decode(bytes) {
    const fields = readFields(bytes).filter(({ number }) => number === 1)
    return { svids: fields.map((field) => jwtSvid.decode(bytesOf(field))) }
  },
}

export const jwtBundlesResponse: MessageCodec<JwtBundlesResponse> = {
  encode: ({ bundles }) => writeMessage(writeMap(1, bundles)),
  decode(bytes) {
    const bundles = new Map<string, Uint8Array>()
    for (const field of readFields(bytes)) if (field.number === 1) readPair(bundles, field, NO_BYTES, bytesOf)
    return { bundles }
  },
}

export const validateJwtSvidRequest: MessageCodec<ValidateJwtSvidRequest> = {
  encode: ({ audience, svid }) => writeMessage(writeBytes(1, audience), writeBytes(2, svid)),
  decode(bytes) {
    const message = { audience: '', svid: '' }
    for (const field of readFields(bytes)) {
      if (field.number === 1) message.audience = textOf(field)
      else if (field.number === 2) message.svid = textOf(field)
    }
    return message
  },
}

export const validateJwtSvidResponse: MessageCodec<ValidateJwtSvidResponse> = {
  encode: ({ spiffeId, claims }) => writeMessage(writeBytes(1, spiffeId), writeElement(2, struct.encode(claims))),
  decode(bytes) {
    let spiffeId = ''
    let claims: JsonObject = {}
    for (const field of readFields(bytes)) {
      if (field.number === 1) spiffeId = textOf(field)
      else if (field.number === 2) claims = struct.decode(bytesOf(field))
    }
    return { spiffeId, claims }
  },
}

export const witSvidRequest: MessageCodec<WitSvidRequest> = {
  encode: ({ spiffeId }) => writeBytes(1, spiffeId),
  decode(bytes) {
    let spiffeId = ''
    for (const field of readFields(bytes)) if (field.number === 1) spiffeId = textOf(field)
    return { spiffeId }
  },
}

const witSvid: MessageCodec<WitSvidMessage> = {
  encode: (svid) =>
    writeMessage(
      writeBytes(1, svid.spiffeId),
      writeBytes(2, svid.witSvid),
      writeBytes(3, svid.witSvidKey),
      writeBytes(4, svid.hint),
    ),
  decode(bytes) {
    const svid = { spiffeId: '', witSvid: '', witSvidKey: '', hint: '' }
    for (const field of readFields(bytes)) {
      if (field.number === 1) svid.spiffeId = textOf(field)
      else if (field.number === 2) svid.witSvid = textOf(field)
      else if (field.number === 3) svid.witSvidKey = textOf(field)
      else if (field.number === 4) svid.hint = textOf(field)
    }
    return svid
  },
}

export const witSvidResponse: MessageCodec<WitSvidResponse> = {
  encode: ({ svids }) => writeMessage(svids.map((svid) => writeElement(1, witSvid.encode(svid)))),
  decode(bytes) {
    const fields = readFields(bytes).filter(({ number }) => number === 1)
    return { svids: fields.map((field) => witSvid.decode(bytesOf(field))) }
  },
}

export const witBundlesResponse: MessageCodec<WitBundlesResponse> = {
  encode: ({ bundles }) => writeMessage(writeMap(1, bundles)),
  decode(bytes) {
    const bundles = new Map<string, string>()
    for (const field of readFields(bytes)) if (field.number === 1) readPair(bundles, field, '', textOf)
    return { bundles }
  },
}
