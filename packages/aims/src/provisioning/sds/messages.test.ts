import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { protobufPeer } from '../../../../../test/support/protobuf-peer.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { discoveryRequest, discoveryResponse } from './messages.ts'

// discovery.proto, as its peer needs it, with fields that ours passes over.
const peer = protobufPeer({
  Status: ['code int32', 'message string', 'details google.protobuf.Any*'],
  Node: ['id string', 'cluster string', 'metadata google.protobuf.Struct', 'userAgentName string =6'],
  DiscoveryRequest: [
    'versionInfo string',
    'node Node',
    'resourceNames string*',
    'typeUrl string',
    'responseNonce string',
    'errorDetail Status',
  ],
  DiscoveryResponse: ['versionInfo string', 'resources google.protobuf.Any*', 'typeUrl string =4', 'nonce string =5'],
})

const text = (): fc.Arbitrary<string> => fc.string({ maxLength: 40, unit: 'grapheme' })
const list = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { maxLength: 4 })
const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const metadata = (): fc.Arbitrary<JsonObject> =>
  fc.dictionary(
    text().filter((key) => key !== '__proto__'),
    fc.oneof(text(), fc.boolean(), fc.integer(), fc.constant(null)),
    { noNullPrototype: true },
  )

const request = fc.record(
  {
    versionInfo: text(),
    nodeMetadata: metadata(),
    resourceNames: list(text()),
    typeUrl: text(),
    responseNonce: text(),
    errorDetail: fc.record({ code: fc.integer({ min: 0, max: 16 }), message: text() }, { noNullPrototype: true }),
  },
  { requiredKeys: ['versionInfo', 'resourceNames', 'typeUrl', 'responseNonce'], noNullPrototype: true },
)

test('a request is read as protobuf-es writes it, also with what we do not know, and written as it reads it', () => {
  const desc = peer('DiscoveryRequest')
  fc.assert(
    fc.property(request, text(), ({ nodeMetadata, ...message }, other) => {
      const node = nodeMetadata && { id: other, cluster: other, userAgentName: other, metadata: nodeMetadata }
      const errorDetail = message.errorDetail && {
        ...message.errorDetail,
        details: [{ typeUrl: other, value: new Uint8Array() }],
      }
      const theirs = toBinary(desc, create(desc, { ...message, node, errorDetail }))
      const ours = nodeMetadata === undefined ? message : { ...message, nodeMetadata }
      assert.deepEqual(plain(discoveryRequest.decode(theirs)), plain(ours))
      assert.deepEqual(plain(discoveryRequest.decode(discoveryRequest.encode(ours))), plain(ours))
      assert.doesNotThrow(() => fromBinary(desc, discoveryRequest.encode(ours)))
    }),
    { numRuns: 60 },
  )
})

test('a response is written and read as protobuf-es does it', () => {
  const desc = peer('DiscoveryResponse')
  const resource = fc.record({ typeUrl: text(), value: bytes() }, { noNullPrototype: true })
  const response = fc.record(
    { versionInfo: text(), resources: list(resource), typeUrl: text(), nonce: text() },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(response, (message) => {
      const theirs = toBinary(desc, create(desc, message))
      assert.deepEqual(toBinary(desc, fromBinary(desc, discoveryResponse.encode(message))), theirs)
      assert.deepEqual(plain(discoveryResponse.decode(theirs)), plain(message))
    }),
    { numRuns: 60 },
  )
})

describe('what is no discovery request is refused', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['a name that is not UTF-8', '1a01ff'],
    ['a number where a name belongs', '1801'],
    ['a node that is no message', '1201ff'],
    ['a node whose metadata is no Struct', '12031a01ff'],
    ['a status that is cut off', '32020a05'],
    ['text where the code of a status belongs', '32030a0161'],
    ['a nonce shorter than its length', '2a0361'],
    ['a type of wire type 3', '23'],
  ]
  for (const [title, hex] of rows) {
    test(title, () => {
      assert.throws(
        () => discoveryRequest.decode(Buffer.from(hex, 'hex')),
        (error) => AimsError.is(error) && error.code === 'provisioning.malformed_message',
      )
    })
  }

  test('any bytes are read, or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        for (const { decode } of [discoveryRequest, discoveryResponse]) {
          try {
            decode(noise)
          } catch (error) {
            assert.ok(AimsError.is(error) && error.code === 'provisioning.malformed_message')
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})

function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value))
}
