import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../../test/support/identities.ts'
import type { QueuedMessage } from '../../authentication/message/message.ts'
import { createMessageVerifier } from '../../authentication/message/verify.ts'
import { createMemoryReplayStore } from '../../authentication/replay/memory.ts'
import {
  fromKafka,
  fromNats,
  fromQueue,
  type KafkaHeaders,
  type NatsHeaders,
  provenNatsHeaders,
  toKafka,
  toQueue,
} from '../messages.ts'

const domain = testDomain()
const held = await domain.wit()
const wits = { wit: () => held }
const options = { topic: AUDIENCE, clock: () => NOW }

function verify(message: QueuedMessage): Promise<unknown> {
  const verifier = createMessageVerifier({
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 10 }),
    observer: { record: async () => undefined },
    maxLifetime: 300,
    clock: () => NOW,
  })
  return verifier.verify(message, { topic: AUDIENCE })
}

// A broker gives back bytes for all that was text, and a list for a header that was sent twice.
function throughKafka(message: ReturnType<typeof toKafka>): Parameters<typeof fromKafka>[0] {
  const headers: KafkaHeaders = {}
  for (const [name, value] of Object.entries(message.headers)) {
    headers[name] = Array.isArray(value) ? value.map((one) => Buffer.from(one ?? '')) : Buffer.from(value ?? '')
  }
  const key = message.key === null || message.key === undefined ? null : Buffer.from(message.key)
  return { key, value: message.value === null ? null : Buffer.from(message.value), headers }
}

for (const [title, message] of [
  ['with key and headers', { key: 'k', value: 'v', headers: { a: ['1', '2'], b: Buffer.from('3') } }],
  ['without a key', { value: 'v' }],
  ['that deletes', { key: 'k', value: null }],
] as const) {
  test(`Kafka: a message ${title} is proven, and not after a change`, async () => {
    const sent = toKafka(wits, message as Parameters<typeof fromKafka>[0], options)
    const received = throughKafka(sent)
    await verify(fromKafka(received))
    const more = { ...received.headers, c: Buffer.from('4') }
    await assert.rejects(verify(fromKafka({ ...received, headers: more })), { code: 'proof.envelope_mismatch' })
    await assert.rejects(verify(fromKafka({ ...received, key: 'other' })), { code: 'proof.envelope_mismatch' })
    await assert.rejects(verify(fromKafka({ ...received, value: 'other' })), {
      code: /proof\.(?:body|envelope)_mismatch/,
    })
  })
}

// Anybody who can write to the topic can send one: it must not be an error that a consumer does not expect.
test('Kafka: a header without a value is bound, and is not an empty one', async () => {
  const sent = toKafka(wits, { value: 'v', headers: { a: null, b: [null, '1'] } }, options)
  await verify(fromKafka(sent))
  await assert.rejects(verify(fromKafka({ ...sent, headers: { ...sent.headers, a: '' } })), {
    code: 'proof.envelope_mismatch',
  })
  await assert.rejects(verify(fromKafka({ value: 'v', headers: { 'workload-proof-token': null } })), {
    code: 'authentication.missing_credential',
  })
})

class Headers implements NatsHeaders {
  readonly #values = new Map<string, string[]>()
  keys = (): string[] => [...this.#values.keys()]
  values = (name: string): string[] => this.#values.get(name) ?? []
  set = (name: string, value: string): void => void this.#values.set(name, [value])
  append = (name: string, value: string): void => void this.#values.set(name, [...this.values(name), value])
}

test('NATS: headers, data and reply are bound', async () => {
  const headers = new Headers()
  headers.append('Tag', '1')
  headers.append('Tag', '2')
  const data = Buffer.from('{}')
  provenNatsHeaders(wits, headers, { data, reply: '_INBOX.1' }, options)
  await verify(fromNats({ data, headers, reply: '_INBOX.1' }))
  await assert.rejects(verify(fromNats({ data, headers })), { code: 'proof.envelope_mismatch' })
  await assert.rejects(verify(fromNats({ data, headers, reply: '_INBOX.2' })), { code: 'proof.envelope_mismatch' })
  headers.append('Tag', '3')
  await assert.rejects(verify(fromNats({ data, headers, reply: '_INBOX.1' })), { code: 'proof.envelope_mismatch' })
  await assert.rejects(verify(fromNats({ data })), { code: 'authentication.missing' })
})

test('queues: a message in JSON is read back', async () => {
  const text = toQueue(wits, { payload: 'hello', headers: { a: '1' } }, options)
  await verify(fromQueue(text))
  await assert.rejects(verify(fromQueue(text.replace('"a":"1"', '"a":"2"'))), { code: 'proof.envelope_mismatch' })
  const other = Buffer.from('hallo').toString('base64')
  await assert.rejects(verify(fromQueue(text.replace(/"payload":"[^"]*"/, `"payload":"${other}"`))), {
    code: 'proof.body_mismatch',
  })
})

for (const [title, text] of [
  ['no JSON', 'x'],
  ['a list', '[]'],
  ['no payload', '{"headers":{}}'],
  ['no headers', '{"payload":""}'],
  ['a header that is no text', '{"headers":{"a":1},"payload":""}'],
  ['a payload that is no base64', '{"headers":{},"payload":"%"}'],
  ['a payload padded twice', '{"headers":{},"payload":"YQ==="}'],
  ['a member more', '{"headers":{},"payload":"","x":1}'],
  ['a member twice', '{"headers":{},"payload":"","payload":""}'],
  ['more than 1 MiB', `{"headers":{},"payload":"${'A'.repeat(1_048_576)}"}`],
] as const) {
  test(`queues: ${title} is refused`, () => {
    assert.throws(() => fromQueue(text), { code: 'authentication.malformed_field' })
  })
}
