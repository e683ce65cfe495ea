import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { type ProtoTable, protobufPeer } from '../../../../../test/support/protobuf-peer.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import {
  emptyRequest,
  jwtBundlesResponse,
  jwtSvidRequest,
  jwtSvidResponse,
  validateJwtSvidRequest,
  validateJwtSvidResponse,
  witBundlesResponse,
  witSvidRequest,
  witSvidResponse,
  x509BundlesResponse,
  x509SvidResponse,
} from './messages.ts'
import type { MessageCodec } from './protobuf.ts'
import { struct } from './struct.ts'

// workloadapi.proto, as its peer needs it.
const PROTO: ProtoTable = {
  X509SVIDRequest: [],
  X509SVID: ['spiffeId string', 'x509Svid bytes', 'x509SvidKey bytes', 'bundle bytes', 'hint string'],
  X509SVIDResponse: ['svids X509SVID*', 'crl bytes*', 'federatedBundles bytes{}'],
  X509BundlesResponse: ['crl bytes*', 'bundles bytes{}'],
  JWTSVIDRequest: ['audience string*', 'spiffeId string'],
  JWTSVID: ['spiffeId string', 'svid string', 'hint string'],
  JWTSVIDResponse: ['svids JWTSVID*'],
  JWTBundlesResponse: ['bundles bytes{}'],
  ValidateJWTSVIDRequest: ['audience string', 'svid string'],
  ValidateJWTSVIDResponse: ['spiffeId string', 'claims google.protobuf.Struct'],
  WITSVIDRequest: ['spiffeId string'],
  WITSVID: ['spiffeId string', 'witSvid string', 'witSvidKey string', 'hint string'],
  WITSVIDResponse: ['svids WITSVID*'],
  WITBundlesResponse: ['bundles string{}'],
}

const peer = protobufPeer(PROTO)

const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const text = (): fc.Arbitrary<string> => fc.string({ maxLength: 40, unit: 'grapheme' })
const map = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<ReadonlyMap<string, T>> =>
  fc
    .array(fc.tuple(text(), value), { maxLength: 4 })
    .map((pairs) => new Map(pairs.filter(([key]) => key !== '__proto__')))
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true })
const list = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { maxLength: 4 })

const CODECS: readonly (readonly [string, MessageCodec<never>, fc.Arbitrary<object>])[] = [
  row('X509SVIDRequest', emptyRequest, fc.constant({})),
  row(
    'X509SVIDResponse',
    x509SvidResponse,
    record({
      svids: list(record({ spiffeId: text(), x509Svid: bytes(), x509SvidKey: bytes(), bundle: bytes(), hint: text() })),
      crl: list(bytes()),
      federatedBundles: map(bytes()),
    }),
  ),
  row('X509BundlesResponse', x509BundlesResponse, record({ crl: list(bytes()), bundles: map(bytes()) })),
  row('JWTSVIDRequest', jwtSvidRequest, record({ audience: list(text()), spiffeId: text() })),
  row(
    'JWTSVIDResponse',
    jwtSvidResponse,
    record({ svids: list(record({ spiffeId: text(), svid: text(), hint: text() })) }),
  ),
  row('JWTBundlesResponse', jwtBundlesResponse, record({ bundles: map(bytes()) })),
  row('ValidateJWTSVIDRequest', validateJwtSvidRequest, record({ audience: text(), svid: text() })),
  row('WITSVIDRequest', witSvidRequest, record({ spiffeId: text() })),
  row(
    'WITSVIDResponse',
    witSvidResponse,
    record({ svids: list(record({ spiffeId: text(), witSvid: text(), witSvidKey: text(), hint: text() })) }),
  ),
  row('WITBundlesResponse', witBundlesResponse, record({ bundles: map(text()) })),
]

function row<T extends object>(
  name: string,
  codec: MessageCodec<T>,
  values: fc.Arbitrary<T>,
): readonly [string, MessageCodec<never>, fc.Arbitrary<object>] {
  return [name, codec as MessageCodec<never>, values]
}

// What protobuf-es wants: plain objects for maps.
function forPeer(message: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [name, value instanceof Map ? Object.fromEntries(value) : value]),
  )
}

describe('each message is written and read as protobuf-es does it', () => {
  for (const [name, codec, values] of CODECS) {
    test(name, () => {
      fc.assert(
        fc.property(values, (message) => {
          const ours = codec.encode(message as never)
          const theirs = toBinary(peer(name), create(peer(name), forPeer(message)))
          // Ours is read by the peer as what it was, and theirs by us.
          assert.deepEqual(toBinary(peer(name), fromBinary(peer(name), ours)), theirs)
          assert.deepEqual(codec.decode(theirs), message)
          assert.deepEqual(codec.decode(ours), message)
        }),
        { numRuns: 60 },
      )
    })
  }
})

const json = fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes('__proto__'))

test('claims travel as google.protobuf.Struct, as protobuf-es reads and writes it', () => {
  const desc = peer('ValidateJWTSVIDResponse')
  fc.assert(
    fc.property(text(), fc.dictionary(text(), json), (spiffeId, plain) => {
      const claims = JSON.parse(JSON.stringify(plain)) as JsonObject
      const ours = validateJwtSvidResponse.encode({ spiffeId, claims })
      const { spiffeId: readId, claims: readClaims }: Record<string, unknown> = { ...fromBinary(desc, ours) }
      assert.deepEqual([readId, readClaims], [spiffeId, claims])
      const theirs = toBinary(desc, create(desc, { spiffeId, claims }))
      const back = validateJwtSvidResponse.decode(theirs)
      assert.deepEqual(JSON.parse(JSON.stringify(back)), { spiffeId, claims })
    }),
    { numRuns: 80 },
  )
})

test('an integer claim beyond 2^53 becomes the nearest double, as the Workload API has no other numbers', () => {
  const claims = struct.decode(struct.encode({ big: 2n ** 60n + 1n }))
  assert.equal(claims.big, 2 ** 60)
})

test('a claim named __proto__ is a claim and nothing else', () => {
  const claims = struct.decode(struct.encode(JSON.parse('{"__proto__":"x"}')))
  assert.equal(Object.getPrototypeOf(claims), null)
  assert.deepEqual(Object.keys(claims), ['__proto__'])
})

test('the last of a repeated single field and of a repeated map key counts; unknown fields are passed over', () => {
  const two = Buffer.concat([witSvidRequest.encode({ spiffeId: 'a' }), witSvidRequest.encode({ spiffeId: 'b' })])
  const unknown = Buffer.from(`f80101fa0103616263f901${'00'.repeat(8)}fd01${'00'.repeat(4)}`, 'hex')
  assert.deepEqual(witSvidRequest.decode(Buffer.concat([unknown, two])), { spiffeId: 'b' })
  const maps = [Buffer.from('1'), Buffer.from('2')].map((value) =>
    jwtBundlesResponse.encode({ bundles: new Map([['td', value]]) }),
  )
  assert.deepEqual(jwtBundlesResponse.decode(Buffer.concat(maps)).bundles, new Map([['td', Buffer.from('2')]]))
})

describe('what is not such a message is refused', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['a tag that is cut off', '8a'],
    ['a length that is cut off', '0a'],
    ['a value shorter than its length', '0a0361'],
    ['a length beyond 2^63', '0affffffffffffffffff01'],
    ['a varint of eleven bytes', '08ffffffffffffffffffff01'],
    ['a fixed64 that is cut off', '0900000000'],
    ['a fixed32 that is cut off', '0d0000'],
    ['field number 0', '0200'],
    ['a field number beyond 2^29', 'f8ffffff7f00'],
    ['the start of a group', '0b'],
    ['the end of a group', '0c'],
    ['wire type 6', '0e'],
    ['text that is not UTF-8', '0a01ff'],
    ['text with an encoded surrogate', '0a03eda080'],
    ['a number where text belongs', '0801'],
    ['more than 10,000 fields', '7801'.repeat(10_001)],
  ]
  for (const [title, hex] of rows) {
    test(title, () => {
      assert.throws(
        () => witSvidRequest.decode(Buffer.from(hex, 'hex')),
        (error) => AimsError.is(error) && error.code === 'provisioning.malformed_message',
      )
    })
  }

  test('a Struct nested without end', () => {
    let claims: JsonObject = {}
    for (let depth = 0; depth < 40; depth += 1) claims = { claims }
    assert.throws(
      () => struct.decode(struct.encode(claims)),
      (error) => AimsError.is(error) && error.code === 'provisioning.malformed_message',
    )
  })

  test('a Struct with a number that JSON does not have', () => {
    assert.throws(
      () => struct.decode(struct.encode({ number: Number.NaN })),
      (error) => AimsError.is(error) && error.code === 'provisioning.malformed_message',
    )
  })
})

test('any bytes are read, or refused as malformed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      for (const codec of [x509SvidResponse, jwtSvidRequest, validateJwtSvidResponse, witBundlesResponse]) {
        try {
          codec.decode(noise)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'provisioning.malformed_message')
        }
      }
    }),
    { numRuns: 500 },
  )
})
