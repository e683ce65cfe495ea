import type { MessageHeader, QueuedMessage } from '../../authentication/message/message.ts'
import { type MessageProofOptions, proveMessage } from '../../authentication/message/prove.ts'
import type { WitSource } from '../../credentials/wit/source.ts'

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
  options: MessageProofOptions,
): M & { readonly headers: KafkaHeaders } {
  const { headers } = proveMessage(wits.wit(), fromKafka(message), options)
  return { ...message, headers: { ...message.headers, ...headers } }
}

/** What `verify` takes, of a message that `eachMessage` was given. */
export function fromKafka({ key = null, value, headers = {} }: KafkaMessage): QueuedMessage {
  const pairs = Object.entries(headers).flatMap(([name, values]): MessageHeader[] => {
    if (values === undefined) return []
    return Array.isArray(values) ? values.map((one): MessageHeader => [name, one]) : [[name, values]]
  })
  return { payload: value, key, headers: pairs }
}
