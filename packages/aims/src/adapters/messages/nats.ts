import type { MessageHeader, QueuedMessage } from '../../authentication/message/message.ts'
import type { WitSource } from '../../credentials/wit/source.ts'
import { messageFields, type ProvingMessageOptions } from './options.ts'

/** `MsgHdrs` of the NATS clients, as far as it is used here. */
export interface NatsHeaders {
  keys(): string[]
  values(name: string): string[]
  set(name: string, value: string): void
}

/** A message as the NATS clients give it. */
export interface NatsMessage {
  readonly data: Uint8Array
  readonly headers?: NatsHeaders | undefined
  readonly reply?: string | undefined
}

/** What is to be published, in the form that is bound. */
export function natsMessage(data: Uint8Array | string, headers?: NatsHeaders, reply?: string): QueuedMessage {
  const pairs = (headers?.keys() ?? []).flatMap((name) =>
    (headers?.values(name) ?? []).map((value): MessageHeader => [name, value]),
  )
  return { payload: data, headers: pairs, ...(reply === undefined || reply === '' ? {} : { replyTo: reply }) }
}

/**
 * Sets the headers of the proof, last of all, for `connection.publish(subject, data, { headers, reply })`. For
 * `connection.request` the client makes the reply subject itself: name one, or leave it to HTTP.
 *
 * @throws TypeError as `proveMessage`
 */
export function provenNatsHeaders(
  wits: WitSource,
  headers: NatsHeaders,
  { data, reply }: { readonly data: Uint8Array | string; readonly reply?: string },
  options: ProvingMessageOptions,
): NatsHeaders {
  const proof = messageFields(wits, natsMessage(data, headers, reply), options)
  for (const [name, value] of Object.entries(proof)) headers.set(name, value)
  return headers
}

/** What `verify` takes, of a message of a subscription. */
export function fromNats({ data, headers, reply }: NatsMessage): QueuedMessage {
  return natsMessage(data, headers, reply)
}
