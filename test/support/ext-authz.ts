// Envoy's side of ext_authz over gRPC, byte for byte.
import type { RawHeaders } from '../../packages/aims/src/authentication/carriage.ts'
import {
  bytesOf,
  readFields,
  textOf,
  varintOf,
  writeBytes,
  writeElement,
  writeMap,
  writeMessage,
} from '../../packages/aims/src/provisioning/workload-api/protobuf.ts'

/** What Envoy asks about. */
export interface Question {
  readonly method?: string
  readonly path?: string
  readonly headers: RawHeaders
  readonly joined?: true
  readonly body?: string
  readonly principal?: string
}

/** A `CheckRequest` as Envoy writes it. */
export function checkRequest({
  method = 'GET',
  path = '/api/events',
  headers,
  joined,
  body = '',
  principal = '',
}: Question): Buffer {
  const lines = headers.map(([name, value]) => writeElement(1, writeMessage(writeBytes(1, name), writeBytes(3, value))))
  const http = writeMessage(
    writeBytes(2, method),
    joined === undefined ? [] : writeMap(3, new Map(headers)),
    writeBytes(4, path),
    writeBytes(12, body),
    joined === undefined ? writeElement(13, writeMessage(lines)) : [],
  )
  const attributes = writeMessage(writeElement(1, writeBytes(4, principal)), writeElement(4, writeElement(2, http)))
  return writeElement(1, attributes)
}

/** What Envoy reads in an answer. */
export interface Reply {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly remove: readonly string[]
}

/** A `CheckResponse` as Envoy reads it. */
export function readReply(bytes: Buffer): Reply {
  const headers: Record<string, string> = {}
  const remove: string[] = []
  let status = 0
  for (const field of readFields(bytes)) {
    if (field.number === 1) continue
    if (field.number === 3) status = 200
    for (const part of readFields(bytesOf(field))) {
      if (part.number === 1) status = Number(varintOf(readFields(bytesOf(part))[0] ?? part))
      else if (part.number === 5) remove.push(textOf(part))
      else if (part.number === 2) {
        const [header] = readFields(bytesOf(part))
        const [name, value] = readFields(bytesOf(header ?? part)).map(textOf)
        headers[name ?? ''] = value ?? ''
      }
    }
  }
  return { status, headers, remove }
}
