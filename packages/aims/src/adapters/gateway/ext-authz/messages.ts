import {
  bytesOf,
  malformed,
  readFields,
  readPair,
  textOf,
  writeBytes,
  writeElement,
  writeMessage,
  writeVarint,
} from '../../../provisioning/workload-api/protobuf.ts'

// Of envoy/service/auth/v3/external_auth.proto and attribute_context.proto, what is used here.

/** What Envoy asks about: `CheckRequest`, of which the HTTP request and its sender. */
export interface CheckRequest {
  /** `source.principal`: URI of the client certificate that Envoy has verified, else what else it has. */
  readonly principal: string
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: CheckedHeaders
  /** `raw_body`, else `body`. */
  readonly body: Uint8Array
}

/** `header_map` has every line as it came. `headers` has one value per name: lines of one name were joined by commas. */
export interface CheckedHeaders {
  readonly areRaw: boolean
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** Message `CheckRequest`, as a server reads it. */
export function decodeCheckRequest(bytes: Uint8Array): CheckRequest {
  let principal = ''
  let http: HttpAttributes | undefined
  for (const attributes of messagesOf(bytes, 1)) {
    for (const source of messagesOf(attributes, 1)) {
      for (const field of readFields(source)) if (field.number === 4) principal = textOf(field)
    }
    for (const request of messagesOf(attributes, 4)) {
      for (const message of messagesOf(request, 2)) http = readHttp(message)
    }
  }
  if (http === undefined) throw malformed()
  return { principal, ...http }
}

type HttpAttributes = Omit<CheckRequest, 'principal'>

function readHttp(bytes: Uint8Array): HttpAttributes {
  let [method, path] = ['', '']
  let body: Uint8Array = new Uint8Array()
  const joined = new Map<string, string>()
  let raw: (readonly [string, string])[] | undefined
  for (const field of readFields(bytes)) {
    if (field.number === 2) method = textOf(field)
    else if (field.number === 3) readPair(joined, field, '', textOf)
    else if (field.number === 4) path = textOf(field)
    else if (field.number === 11 || field.number === 12) body = bytesOf(field).length > 0 ? bytesOf(field) : body
    else if (field.number === 13) raw = messagesOf(bytesOf(field), 1).map(readHeader)
  }
  // Envoy writes names in lower case; by these it is decided whether a body was seen, so that is not left to it.
  const fields = (raw ?? [...joined]).map(([name, value]) => [name.toLowerCase(), value] as const)
  return { method, path, body, headers: { areRaw: raw !== undefined, fields } }
}

// HeaderValue: the value as text, or as bytes, which are Latin-1 here as in Node.
function readHeader(bytes: Uint8Array): readonly [string, string] {
  let [key, value] = ['', '']
  for (const field of readFields(bytes)) {
    if (field.number === 1) key = textOf(field)
    else if (field.number === 2) value = textOf(field)
    else if (field.number === 3) value = bytesOf(field).toString('latin1')
  }
  return [key, value]
}

function messagesOf(bytes: Uint8Array, number: number): readonly Buffer[] {
  return readFields(bytes).flatMap((field) => (field.number === number ? [bytesOf(field)] : []))
}

/** What Envoy is told: `CheckResponse`. */
export type CheckResponse =
  | {
      readonly effect: 'admit'
      /** In place of what the request has under these names. */
      readonly set: readonly (readonly [name: string, value: string])[]
      readonly remove: readonly string[]
    }
  | {
      readonly effect: 'refuse'
      readonly status: number
      readonly headers: readonly (readonly [name: string, value: string])[]
      readonly body: string
    }

const PERMISSION_DENIED = 7
/** `OVERWRITE_IF_EXISTS_OR_ADD` */
const OVERWRITE = 2

/** Message `CheckResponse`, as a server writes it. */
export function encodeCheckResponse(response: CheckResponse): Buffer {
  if (response.effect === 'admit') {
    const { set, remove } = response
    const ok = writeMessage(
      set.map((header) => writeHeader(2, header)),
      remove.map((name) => writeElement(5, name)),
    )
    // Status OK is the default of each of its fields, and yet it has to be there.
    return writeMessage(writeElement(1, ''), writeElement(3, ok))
  }
  const denied = writeMessage(
    writeElement(1, writeVarint(1, response.status)),
    response.headers.map((header) => writeHeader(2, header)),
    writeBytes(3, response.body),
  )
  return writeMessage(writeElement(1, writeVarint(1, PERMISSION_DENIED)), writeElement(2, denied))
}

function writeHeader(number: number, [name, value]: readonly [string, string]): Buffer {
  const header = writeMessage(writeBytes(1, name), writeBytes(2, value))
  return writeElement(number, writeMessage(writeElement(1, header), writeVarint(3, OVERWRITE)))
}

/** Path of the one method. */
export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check'
