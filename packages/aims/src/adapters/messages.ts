export { fromKafka, type KafkaHeaders, type KafkaMessage, toKafka } from './messages/kafka.ts'
export { fromNats, type NatsHeaders, type NatsMessage, natsMessage, provenNatsHeaders } from './messages/nats.ts'
export type { ProvingMessageOptions } from './messages/options.ts'
export { fromQueue, type QueueMessage, toQueue } from './messages/queue.ts'
