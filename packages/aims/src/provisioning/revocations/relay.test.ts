import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../../base/errors.ts'
import { REVOCATIONS_SERVICE } from './relay.ts'

const { request, response } = REVOCATIONS_SERVICE.fetchList
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

test('what somebody has seen, and a list, come back as they were', () => {
  fc.assert(
    fc.property(time, time, (sequence, issuedAt) => {
      assert.deepEqual(request.decode(request.encode({ sequence, issuedAt })), { sequence, issuedAt })
    }),
  )
  fc.assert(
    fc.property(fc.string(), (list) => {
      assert.deepEqual(response.decode(response.encode({ list: Buffer.from(list).toString('base64') })), {
        list: Buffer.from(list).toString('base64'),
      })
    }),
  )
  assert.equal(request.encode({ sequence: 0, issuedAt: 0 }).length, 0)
})

test('other bytes are refused with a code, or are a message without these fields', () => {
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ['text where a number should be', [0x0a, 0x01, 0x61]],
    ['a number without an end', [0x08, 0xff]],
    ['a group', [0x0b]],
    ['a field number of zero', [0x00, 0x00]],
  ]
  const refused = { code: 'provisioning.malformed_message' }
  for (const [what, bytes] of rows) assert.throws(() => request.decode(Buffer.from(bytes)), refused, what)
  assert.throws(() => response.decode(Buffer.from([0x0a, 0x01, 0xff])), refused)
  assert.throws(() => response.decode(Buffer.from([0x08, 0x01])), refused)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      for (const codec of [request, response]) {
        try {
          codec.decode(bytes)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'provisioning.malformed_message')
        }
      }
    }),
  )
})
