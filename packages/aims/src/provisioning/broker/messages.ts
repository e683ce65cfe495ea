import { type AnyMessage, anyMessage, TYPE_PREFIX } from '../workload-api/any.ts'
import {
  bytesOf,
  type MessageCodec,
  readFields,
  textOf,
  varintOf,
  writeBytes,
  writeElement,
  writeMap,
  writeMessage,
  writeVarint,
} from '../workload-api/protobuf.ts'

// The messages of brokerapi.proto that differ from those of the Workload API, in its order.

/** A request that names a workload: `SubscribeToX509SVIDRequest`, `SubscribeToX509BundlesRequest`, `SubscribeToJWTBundlesRequest`. */
export interface WorkloadRequest {
  /** Message `WorkloadReference`. Absent: invalid. */
  readonly reference?: AnyMessage
}

/** Message `FetchJWTSVIDRequest`. */
export interface BrokerJwtRequest extends WorkloadRequest {
  readonly audience: readonly string[]
  readonly spiffeId: string
}

/** Message `KubernetesObjectReference`. Absent members are unset. */
export interface KubernetesReference {
  readonly type: { readonly plural: string; readonly group: string }
  readonly key?: { readonly namespace: string; readonly name: string }
  readonly uid: string
}

/** The type URLs of the references that the specification defines. */
export const REFERENCE_TYPES: { readonly pid: string; readonly kubernetes: string } = {
  pid: `${TYPE_PREFIX}spiffe.broker.WorkloadPIDReference`,
  kubernetes: `${TYPE_PREFIX}spiffe.broker.KubernetesObjectReference`,
}

export const workloadRequest: MessageCodec<WorkloadRequest> = {
  encode: ({ reference }) => writeReference(reference),
  decode(bytes) {
    let reference: AnyMessage | undefined
    for (const field of readFields(bytes)) if (field.number === 1) reference = readReference(bytesOf(field))
    return reference === undefined ? {} : { reference }
  },
}

export const brokerJwtRequest: MessageCodec<BrokerJwtRequest> = {
  encode: ({ reference, audience, spiffeId }) =>
    writeMessage(
      writeReference(reference),
      audience.map((one) => writeElement(2, one)),
      writeBytes(3, spiffeId),
    ),
  decode(bytes) {
    const audience: string[] = []
    let spiffeId = ''
    for (const field of readFields(bytes)) {
      if (field.number === 2) audience.push(textOf(field))
      else if (field.number === 3) spiffeId = textOf(field)
    }
    return { ...workloadRequest.decode(bytes), audience, spiffeId }
  },
}

/** Message `WorkloadPIDReference`: the PID, 0 when it is unset. */
export const pidReference: MessageCodec<number> = {
  encode: (pid) => writeVarint(1, pid),
  decode(bytes) {
    let pid = 0
    for (const field of readFields(bytes)) if (field.number === 1) pid = Number(BigInt.asIntN(32, varintOf(field)))
    return pid
  },
}

/** Message `KubernetesObjectReference`. */
export const kubernetesReference: MessageCodec<KubernetesReference> = {
  encode: ({ type, key, uid }) =>
    writeMessage(
      writeElement(1, writeMessage(writeBytes(1, type.plural), writeBytes(2, type.group))),
      key === undefined ? [] : writeElement(2, writeMessage(writeBytes(1, key.namespace), writeBytes(2, key.name))),
      writeBytes(3, uid),
    ),
  decode(bytes) {
    let [plural, group]: readonly string[] = []
    let key: KubernetesReference['key']
    let uid = ''
    for (const field of readFields(bytes)) {
      if (field.number === 1) [plural, group] = readTexts(bytesOf(field))
      else if (field.number === 2) {
        const [namespace = '', name = ''] = readTexts(bytesOf(field))
        key = { namespace, name }
      } else if (field.number === 3) uid = textOf(field)
    }
    const type = { plural: plural ?? '', group: group ?? '' }
    return key === undefined ? { type, uid } : { type, key, uid }
  },
}

/** Why a call ended, in words that programs understand: `google.rpc.ErrorInfo`. */
export interface ErrorInfo {
  readonly reason: string
  readonly domain: string
  readonly metadata: ReadonlyMap<string, string>
}

/** A `google.rpc.Status` with one `ErrorInfo`, for the trailer `grpc-status-details-bin`. */
export function encodeErrorStatus(code: number, message: string, { reason, domain, metadata }: ErrorInfo): Buffer {
  const info = writeMessage(writeBytes(1, reason), writeBytes(2, domain), writeMap(3, metadata))
  const detail = anyMessage.encode({ typeUrl: `${TYPE_PREFIX}google.rpc.ErrorInfo`, value: info })
  return writeMessage(writeVarint(1, code), writeBytes(2, message), writeElement(3, detail))
}

// Message `WorkloadReference`, which has one field.
function writeReference(reference: AnyMessage | undefined): Buffer {
  return reference === undefined ? Buffer.alloc(0) : writeElement(1, writeElement(1, anyMessage.encode(reference)))
}

function readReference(bytes: Uint8Array): AnyMessage | undefined {
  let reference: AnyMessage | undefined
  for (const field of readFields(bytes)) if (field.number === 1) reference = anyMessage.decode(bytesOf(field))
  return reference
}

// The first two fields, both text.
function readTexts(bytes: Uint8Array): readonly [string, string] {
  let [one, two] = ['', '']
  for (const field of readFields(bytes)) {
    if (field.number === 1) one = textOf(field)
    else if (field.number === 2) two = textOf(field)
  }
  return [one, two]
}
