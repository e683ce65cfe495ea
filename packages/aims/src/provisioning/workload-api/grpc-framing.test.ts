import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../../base/errors.ts'
import { FrameReader, frameMessage } from './grpc-framing.ts'

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

test('messages come out as they went in, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 })),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(frameMessage))
        const reader = new FrameReader(50)
        const out: Buffer[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = cuts[turn % cuts.length] ?? 1
          out.push(...reader.push(bytes.subarray(at, at + size)))
          at += size
        }
        reader.end()
        assert.deepEqual(out, messages.map(Buffer.from))
      },
    ),
  )
})

test('a message larger than allowed is refused by its prefix, before it is held', () => {
  const reader = new FrameReader(10)
  assert.throws(() => reader.push(Buffer.from('000000000b', 'hex')), code('provisioning.message_too_large'))
  assert.throws(
    () => new FrameReader(10).push(Buffer.from('00ffffffff', 'hex')),
    code('provisioning.message_too_large'),
  )
})

test('a compressed message is refused', () => {
  for (const flag of ['01', '80', 'ff']) {
    const reader = new FrameReader(10)
    assert.throws(() => reader.push(Buffer.from(`${flag}00000000`, 'hex')), code('provisioning.malformed_message'))
  }
})

test('a stream that ends within a message is refused', () => {
  for (const hex of ['00', '00000000', '0000000002ab']) {
    const reader = new FrameReader(10)
    assert.deepEqual(reader.push(Buffer.from(hex, 'hex')), [])
    assert.throws(() => reader.end(), code('provisioning.malformed_message'))
  }
})
