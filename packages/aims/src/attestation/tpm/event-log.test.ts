import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { cpuTime } from '../../../../../test/support/cpu-time.ts'
import { ccelEvent, type LogEvent, makeCcel, makeEventLog } from '../../../../../test/support/event-log.ts'
import { AimsError } from '../../base/errors.ts'
import { parseEventLog, replayEventLog } from './event-log.ts'

const sha = (hash: string, ...parts: readonly Uint8Array[]) => createHash(hash).update(Buffer.concat(parts)).digest()
const BOTH = [
  [4, 20],
  [11, 32],
] as const
const event = (register: number, byte: number, type = 1): LogEvent => ({
  register,
  type,
  digests: [
    [4, Buffer.alloc(20, byte)],
    [11, Buffer.alloc(32, byte)],
  ],
  data: Buffer.from('data'),
})

describe('an event log', () => {
  test('is read with its first event, and replays to registers for each hash', () => {
    const events = parseEventLog(makeEventLog(BOTH, [event(0, 1), event(4, 2), event(0, 3)]))
    assert.equal(events.length, 4)
    assert.deepEqual(events[1]?.data, Buffer.from('data'))
    for (const [hash, size] of [
      ['sha1', 20],
      ['sha256', 32],
    ] as const) {
      const once = sha(hash, Buffer.alloc(size), Buffer.alloc(size, 1))
      const registers = replayEventLog(events, hash)
      assert.deepEqual(registers.get(0), sha(hash, once, Buffer.alloc(size, 3)))
      assert.deepEqual(registers.get(4), sha(hash, Buffer.alloc(size), Buffer.alloc(size, 2)))
      assert.deepEqual([...registers.keys()], [0, 4])
    }
  })

  test('extends nothing for events that say so', () => {
    assert.equal(replayEventLog(parseEventLog(makeEventLog(BOTH, [event(0, 1, 3)])), 'sha256').size, 0)
  })

  test('may be padded with zeros or ones', () => {
    const log = makeCcel([ccelEvent(1, 7)])
    for (const byte of [0, 0xff]) {
      assert.equal(parseEventLog(Buffer.concat([log, Buffer.alloc(100, byte)])).length, 2)
    }
  })

  test('of zeros that are no padding is refused without being read again for each event (N35)', () => {
    const log = makeEventLog(BOTH, [])
    const zeros = Buffer.alloc(262_144 - log.length - 1)
    const read = () => parseEventLog(Buffer.concat([log, zeros, Buffer.of(1)]))
    assert.ok(cpuTime(() => assert.throws(read, { code: 'attestation.malformed' })) < 1000)
  })

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', Buffer.alloc(0)],
    ['padding of two kinds', Buffer.concat([makeCcel([]), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0xff])])],
    ['no algorithms', makeEventLog([], [])],
    [
      'nine algorithms',
      makeEventLog(
        Array.from({ length: 9 }, (_, at) => [100 + at, 1] as const),
        [],
      ),
    ],
    ['an algorithm twice', makeEventLog([BOTH[0], BOTH[0]], [])],
    ['an algorithm of another size', makeEventLog([[11, 20]], [])],
    ['a digest of an unknown algorithm', makeEventLog([BOTH[0]], [event(0, 1)])],
    [
      'a digest twice',
      makeEventLog(BOTH, [
        { ...event(0, 1), digests: [event(0, 1).digests[0], event(0, 1).digests[0]] as LogEvent['digests'] },
      ]),
    ],
    ['more digests than algorithms', makeEventLog([BOTH[1]], [event(0, 1)])],
  ]
  for (const [title, log] of malformed) {
    test(`with ${title}: malformed`, () => assert.throws(() => parseEventLog(log), { code: 'attestation.malformed' }))
  }

  for (const [title, change] of [
    ['without the algorithms of the crypto-agile format', { signature: 'Spec ID Event02\0' }],
    ['whose first event is another', { firstType: 1 }],
  ] as const) {
    test(`${title}: unsupported`, () => {
      assert.throws(() => parseEventLog(makeEventLog(BOTH, [], change)), { code: 'attestation.unsupported' })
    })
  }

  test('without the digest that is asked for: malformed', () => {
    const events = parseEventLog(makeEventLog(BOTH, [event(0, 1)]))
    assert.throws(() => replayEventLog(events, 'sha384'), { code: 'attestation.malformed' })
  })

  test('cut anywhere but between events is refused; changed anywhere gives a refusal or a log', () => {
    const log = makeCcel([ccelEvent(1, 7)])
    const whole = makeCcel([]).length
    for (let length = 0; length < log.length; length += 1) {
      if (length === whole) continue
      assert.throws(() => parseEventLog(log.subarray(0, length)), AimsError)
    }
    fc.assert(
      fc.property(fc.nat(log.length - 1), fc.nat(255), (at, byte) => {
        try {
          parseEventLog(Buffer.from(log).fill(byte, at, at + 1))
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code.startsWith('attestation.'))
        }
      }),
      { numRuns: 1000 },
    )
  })
})
