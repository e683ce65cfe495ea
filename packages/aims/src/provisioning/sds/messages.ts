import type { JsonObject } from '../../base/json.ts'
import { type AnyMessage, anyMessage } from '../workload-api/any.ts'
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
import { struct } from '../workload-api/struct.ts'

// Messages of envoy/service/discovery/v3/discovery.proto, with the fields that matter to secrets.

/** Why a client did not take a response: message `google.rpc.Status`. */
export interface RejectionDetail {
  /** A gRPC status code. */
  readonly code: number
  /** Text of the client, for its operator. */
  readonly message: string
}

/** Message `DiscoveryRequest`. */
export interface DiscoveryRequest {
  /** The version that the client has, empty when it has none. */
  readonly versionInfo: string
  /** `metadata` of the node. Absent when the message names no node. */
  readonly nodeMetadata?: JsonObject
  /** Empty: all. */
  readonly resourceNames: readonly string[]
  readonly typeUrl: string
  /** The response this answers, empty for the first request of a stream. */
  readonly responseNonce: string
  /** Present when the response was rejected. */
  readonly errorDetail?: RejectionDetail
}

/** Message `DiscoveryResponse`. */
export interface DiscoveryResponse {
  readonly versionInfo: string
  readonly resources: readonly AnyMessage[]
  readonly typeUrl: string
  readonly nonce: string
}

export const discoveryRequest: MessageCodec<DiscoveryRequest> = {
  encode: (request) =>
    writeMessage(
      writeBytes(1, request.versionInfo),
      request.nodeMetadata === undefined ? [] : writeElement(2, writeNode(request.nodeMetadata)),
      request.resourceNames.map((name) => writeElement(3, name)),
      writeBytes(4, request.typeUrl),
      writeBytes(5, request.responseNonce),
      request.errorDetail === undefined ? [] : writeElement(6, rejection.encode(request.errorDetail)),
    ),
  decode(bytes) {
    const request: Writable<DiscoveryRequest> = { versionInfo: '', resourceNames: [], typeUrl: '', responseNonce: '' }
    const resourceNames: string[] = []
    for (const field of readFields(bytes)) {
      if (field.number === 1) request.versionInfo = textOf(field)
      else if (field.number === 2) request.nodeMetadata = readNode(bytesOf(field))
      else if (field.number === 3) resourceNames.push(textOf(field))
      else if (field.number === 4) request.typeUrl = textOf(field)
      else if (field.number === 5) request.responseNonce = textOf(field)
      else if (field.number === 6) request.errorDetail = rejection.decode(bytesOf(field))
    }
    return { ...request, resourceNames }
  },
}

export const discoveryResponse: MessageCodec<DiscoveryResponse> = {
  encode: ({ versionInfo, resources, typeUrl, nonce }) =>
    writeMessage(
      writeBytes(1, versionInfo),
      resources.map((resource) => writeElement(2, anyMessage.encode(resource))),
      writeBytes(4, typeUrl),
      writeBytes(5, nonce),
    ),
  decode(bytes) {
    const response = { versionInfo: '', typeUrl: '', nonce: '' }
    const resources: AnyMessage[] = []
    for (const field of readFields(bytes)) {
      if (field.number === 1) response.versionInfo = textOf(field)
      else if (field.number === 2) resources.push(anyMessage.decode(bytesOf(field)))
      else if (field.number === 4) response.typeUrl = textOf(field)
      else if (field.number === 5) response.nonce = textOf(field)
    }
    return { ...response, resources }
  },
}

const rejection: MessageCodec<RejectionDetail> = {
  encode: ({ code, message }) => writeMessage(code === 0 ? [] : writeVarint(1, code), writeBytes(2, message)),
  decode(bytes) {
    const detail = { code: 0, message: '' }
    for (const field of readFields(bytes)) {
      if (field.number === 1) detail.code = Number(BigInt.asIntN(32, varintOf(field)))
      else if (field.number === 2) detail.message = textOf(field)
    }
    return detail
  },
}

// Message `Node` of envoy/config/core/v3/base.proto. What else a node tells of itself decides nothing here.
function writeNode(metadata: JsonObject): Buffer {
  return writeElement(3, struct.encode(metadata))
}

function readNode(bytes: Uint8Array): JsonObject {
  let metadata: JsonObject = {}
  for (const field of readFields(bytes)) if (field.number === 3) metadata = struct.decode(bytesOf(field))
  return metadata
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
