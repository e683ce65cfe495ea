import type { MessageHeader, QueuedMessage } from '../../authentication/message/message.ts'
import type { WitSource } from '../../credentials/wit/source.ts'
import { messageFields, type ProvingMessageOptions } from './options.ts'

/** Headers of kafkajs and @confluentinc/kafka-javascript. `null` is what they give for a header that was sent without a value. */
export interface KafkaHeaders {
  [name: string]: string | Uint8Array | null | (string | Uint8Array | null)[] | undefined
}

/** A message as these clients send and receive it. */
export interface KafkaMessage {
  readonly key?: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly headers?: KafkaHeaders
}

/** The message with its proof, for `producer.send`. @throws TypeError as `proveMessage` */
export function toKafka<M extends KafkaMessage>(
  wits: WitSource,
  message: M,
  options: ProvingMessageOptions,
): M & { readonly headers: KafkaHeaders } {
  const fields = messageFields(wits, fromKafka(message), options)
  return { ...message, headers: { ...message.headers, ...fields } }
}

/** What `verify` takes, of a message that `eachMessage` was given. */
export function fromKafka({ key = null, value, headers = {} }: KafkaMessage): QueuedMessage {
  const pairs = Object.entries(headers).flatMap(([name, values]): MessageHeader[] => {
    if (values === undefined) return []
    return Array.isArray(values) ? values.map((one): MessageHeader => [name, one]) : [[name, values]]
  })
  return { payload: value, key, headers: pairs }
}
