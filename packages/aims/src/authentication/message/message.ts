import { hash } from 'node:crypto'
import { canonicalJson } from '../../base/jcs.ts'

/** The fields of a message that carry its proof: headers, or attributes where a queue calls them so. */
export const MESSAGE_FIELDS = { wit: 'workload-identity-token', proof: 'workload-proof-token' } as const

/** A header of a message, its name as it is written. Names may repeat. `null` is no value, as Kafka knows it: not an empty one. */
export type MessageHeader = readonly [name: string, value: string | Uint8Array | null]

/** A message as a broker carries it, whatever its client calls the parts. Text stands for its UTF-8. */
export interface QueuedMessage {
  /** `null` is none at all, as Kafka writes a deletion: another thing than an empty one. */
  readonly payload: string | Uint8Array | null
  /** What decides its partition, where there is such a thing. `null` and absent are the same. */
  readonly key?: string | Uint8Array | null
  /** All application headers. Absent: none. */
  readonly headers?: readonly MessageHeader[]
  /** Where an answer is to be sent, where the broker has such a thing. */
  readonly replyTo?: string
}

/** The `typ` of a message proof. One of its own: no HTTP verifier takes it, and no verifier of messages takes another. */
export const MESSAGE_PROOF_TYP = 'wpt-message+jwt'

/** The claim that binds key, headers and reply address: the digest of {@link envelopeDigest}. Named as RFC 7519 asks for. */
export const ENVELOPE_CLAIM = 'urn:uuid:11ead41a-52ed-4edc-81f0-6fc83a95d533'

/** Bytes of a part of a message. */
export function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === 'string' ? Buffer.from(part) : part
}

/** All values of a header, as text. */
export function headerValues({ headers = [] }: QueuedMessage, field: string): readonly string[] {
  const found = headers.filter(([name]) => name.toLowerCase() === field)
  return found.map(([, value]) => Buffer.from(bytesOf(value ?? '')).toString('latin1'))
}

/**
 * The digest of everything but the payload, like `sha-256=:...:`: over RFC 8785 JSON of the key, the reply address,
 * whether there is a payload, and all headers by name, those of one name in their order. The headers that carry the proof
 * are left out, and those that are not bound; for these alone names are compared without regard to case. To a consumer that
 * looks for `Tenant`, a header `tenant` is none.
 *
 * @param unbound - Lower-case names of headers that something on the way may add or change.
 */
export function envelopeDigest(message: QueuedMessage, unbound: readonly string[]): string {
  const { payload, key = null, headers = [], replyTo = null } = message
  const bound = headers
    .filter(([name]) => !isCarrier(name.toLowerCase()) && !unbound.includes(name.toLowerCase()))
    .map(([name, value]): [string, string | null] => [name, value === null ? null : base64(value)])
    // Stable: values of one name keep their order.
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const parts = { headers: bound, key: key === null ? null : base64(key), payload: payload !== null, replyTo }
  return `sha-256=:${hash('sha256', canonicalJson(parts), 'base64')}:`
}

function isCarrier(name: string): boolean {
  return name === MESSAGE_FIELDS.wit || name === MESSAGE_FIELDS.proof
}

function base64(part: string | Uint8Array): string {
  return Buffer.from(bytesOf(part)).toString('base64')
}
