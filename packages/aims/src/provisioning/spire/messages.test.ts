import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { type ProtoTable, protobufPeer } from '../../../../../test/support/protobuf-peer.ts'
import { AimsError } from '../../base/errors.ts'
import type { MessageCodec } from '../workload-api/protobuf.ts'
import { getBundleRequest, type SpireJwtKey } from './messages.ts'
import { SPIRE_SERVER_API } from './service.ts'

// svid.proto and bundle.proto of SPIRE, as their peer needs them.
const PROTO: ProtoTable = {
  NewDownstreamX509CARequest: ['csr bytes', 'preferredTtl int32'],
  NewDownstreamX509CAResponse: ['caCertChain bytes*', 'x509Authorities bytes*'],
  X509Certificate: ['asn1 bytes', 'tainted bool'],
  JWTKey: ['publicKey bytes', 'keyId string', 'expiresAt int64', 'tainted bool'],
  Bundle: [
    'trustDomain string',
    'x509Authorities X509Certificate*',
    'jwtAuthorities JWTKey*',
    'refreshHint int64',
    'sequenceNumber int64',
  ],
  PublishJWTAuthorityRequest: ['jwtAuthority JWTKey'],
  PublishJWTAuthorityResponse: ['jwtAuthorities JWTKey*'],
}
const peer = protobufPeer(PROTO)

const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
const text = (): fc.Arbitrary<string> => fc.string({ maxLength: 40, unit: 'grapheme' })
const list = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { maxLength: 4 })
const jwtKey = (): fc.Arbitrary<SpireJwtKey> =>
  fc.record({ publicKey: bytes(), keyId: text(), expiresAt: fc.nat() }, { noNullPrototype: true })
const theirKey = (key: SpireJwtKey): object => ({ ...key, expiresAt: BigInt(key.expiresAt) })

/** A message: ours, and as the peer has it. */
interface Row<T> {
  readonly name: string
  readonly codec: MessageCodec<T>
  readonly values: fc.Arbitrary<T>
  theirs(message: T): Record<string, unknown>
}
const { newDownstreamX509Ca, getBundle, publishJwtAuthority } = SPIRE_SERVER_API

function sameAsPeer<T>({ name, codec, values, theirs }: Row<T>): void {
  test(name, () => {
    fc.assert(
      fc.property(values, (message) => {
        const written = toBinary(peer(name), create(peer(name), theirs(message)))
        const ours = codec.encode(message)
        assert.deepEqual(toBinary(peer(name), fromBinary(peer(name), ours)), written)
        assert.deepEqual(codec.decode(written), message)
        assert.deepEqual(codec.decode(ours), message)
      }),
      { numRuns: 60 },
    )
  })
}

describe('each message is written and read as protobuf-es does it', () => {
  sameAsPeer({
    name: 'NewDownstreamX509CARequest',
    codec: newDownstreamX509Ca.request,
    values: fc.record({ csr: bytes(), preferredTtl: fc.nat() }, { noNullPrototype: true }),
    theirs: (message) => ({ ...message }),
  })
  sameAsPeer({
    name: 'NewDownstreamX509CAResponse',
    codec: newDownstreamX509Ca.response,
    values: fc.record({ caCertChain: list(bytes()), x509Authorities: list(bytes()) }, { noNullPrototype: true }),
    theirs: (message) => ({ ...message }),
  })
  sameAsPeer({
    name: 'Bundle',
    codec: getBundle.response,
    values: fc.record(
      {
        trustDomain: text(),
        x509Authorities: list(fc.record({ asn1: bytes(), tainted: fc.boolean() }, { noNullPrototype: true })),
        jwtAuthorities: list(jwtKey()),
      },
      { noNullPrototype: true },
    ),
    theirs: ({ trustDomain, x509Authorities, jwtAuthorities }) => ({
      trustDomain,
      x509Authorities,
      jwtAuthorities: jwtAuthorities.map(theirKey),
    }),
  })
  sameAsPeer({
    name: 'PublishJWTAuthorityRequest',
    codec: publishJwtAuthority.request,
    values: jwtKey(),
    theirs: (message) => ({ jwtAuthority: theirKey(message) }),
  })
  sameAsPeer({
    name: 'PublishJWTAuthorityResponse',
    codec: publishJwtAuthority.response,
    values: list(jwtKey()),
    theirs: (message) => ({ jwtAuthorities: message.map(theirKey) }),
  })
})

test('what a bundle says besides is passed over', () => {
  const full = {
    trustDomain: 'example.com',
    x509Authorities: [{ asn1: Buffer.from('root'), tainted: true }],
    jwtAuthorities: [{ publicKey: Buffer.from('key'), keyId: 'k', expiresAt: 7n, tainted: true }],
    refreshHint: 60n,
    sequenceNumber: 9n,
  }
  assert.deepEqual(getBundle.response.decode(toBinary(peer('Bundle'), create(peer('Bundle'), full))), {
    trustDomain: 'example.com',
    x509Authorities: [{ asn1: Buffer.from('root'), tainted: true }],
    jwtAuthorities: [{ publicKey: Buffer.from('key'), keyId: 'k', expiresAt: 7 }],
  })
  assert.deepEqual(getBundleRequest.encode({}), Buffer.of())
})

// One row per message that is not one: a field of another wire type, or cut off.
for (const [what, codec, hex] of [
  ['a bundle whose name is a number', getBundle.response, '0801'],
  ['a bundle whose authority is a number', getBundle.response, '1001'],
  ['a bundle with an authority that is no message', getBundle.response, '12020aff'],
  ['a bundle with a taint that is text', getBundle.response, '12031201' + '61'],
  ['a key whose end is text', publishJwtAuthority.request, '0a031a0161'],
  ['a key whose name is not UTF-8', publishJwtAuthority.request, '0a031201ff'],
  ['a chain that is cut off', newDownstreamX509Ca.response, '0a05'],
  ['a lifetime that is text', newDownstreamX509Ca.request, '120161'],
  ['a request with a group', getBundleRequest, '0b'],
] as const satisfies readonly (readonly [string, MessageCodec<never> | MessageCodec<object>, string])[]) {
  test(`refused: ${what}`, () => {
    assert.throws(() => codec.decode(Buffer.from(hex, 'hex')), { code: 'provisioning.malformed_message' })
  })
}

test('any bytes are read or refused as malformed', () => {
  const codecs = [newDownstreamX509Ca.response, getBundle.response, publishJwtAuthority.response, getBundleRequest]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...codecs), (input, codec) => {
      try {
        codec.decode(input)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'provisioning.malformed_message', String(error))
      }
    }),
    { numRuns: 500 },
  )
})
