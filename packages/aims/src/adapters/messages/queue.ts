import type { MessageHeader, QueuedMessage } from '../../authentication/message/message.ts'
import { decodeBase64 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import type { WitSource } from '../../credentials/wit/source.ts'
import { messageFields, type ProvingMessageOptions } from './options.ts'

/** What is sent over a queue that carries text alone. */
export interface QueueMessage {
  readonly payload: string | Uint8Array
  readonly headers?: { readonly [name: string]: string }
}

/** The message and its proof as JSON: `{ "headers": {...}, "payload": base64 }`. @throws TypeError as `proveMessage` */
export function toQueue(
  wits: WitSource,
  { payload, headers = {} }: QueueMessage,
  options: ProvingMessageOptions,
): string {
  const message = { payload, headers: Object.entries(headers) }
  const proof = messageFields(wits, message, options)
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(payload)
  return JSON.stringify({ headers: { ...headers, ...proof }, payload: bytes.toString('base64') })
}

/** Reads what {@link toQueue} wrote; nothing is verified. At most 1 MiB. @throws {@link AimsError} `authentication.malformed_field` */
export function fromQueue(text: string): QueuedMessage {
  const { headers, payload, ...more } = refuseAs('authentication.malformed_field', 'not a message in JSON', () =>
    parseJsonObject(text, { maxLength: MAX_LENGTH, maxDepth: 3 }),
  )
  if (typeof payload !== 'string' || Object.keys(more).length > 0) throw malformed()
  const bytes = decodeBase64(payload)
  if (bytes === undefined) throw malformed()
  return { payload: bytes, headers: pairsOf(headers) }
}

const MAX_LENGTH = 1_048_576

function pairsOf(headers: JsonValue | undefined): readonly MessageHeader[] {
  if (!isJsonObject(headers)) throw malformed()
  return Object.entries(headers).map(([name, value]) => {
    if (typeof value !== 'string') throw malformed()
    return [name, value]
  })
}

function malformed(): AimsError {
  return new AimsError('authentication.malformed_field', 'the message has not the members of one')
}
