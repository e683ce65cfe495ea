import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { protobufPeer } from '../../../../../test/support/protobuf-peer.ts'
import { AimsError } from '../../base/errors.ts'
import { brokerJwtRequest, encodeErrorStatus, kubernetesReference, pidReference, workloadRequest } from './messages.ts'

// brokerapi.proto and google/rpc, as their peer needs them.
const peer = protobufPeer({
  Reference: ['typeUrl string', 'value bytes'],
  WorkloadReference: ['reference Reference'],
  WorkloadRequest: ['reference WorkloadReference'],
  FetchJWTSVIDRequest: ['reference WorkloadReference', 'audience string*', 'spiffeId string'],
  WorkloadPIDReference: ['pid int32'],
  KubernetesObjectType: ['plural string', 'group string'],
  KubernetesObjectKey: ['namespace string', 'name string'],
  KubernetesObjectReference: ['type KubernetesObjectType', 'key KubernetesObjectKey', 'uid string'],
  Status: ['code int32', 'message string', 'details Reference*'],
  ErrorInfo: ['reason string', 'domain string', 'metadata string{}'],
})

const text = (): fc.Arbitrary<string> => fc.string({ maxLength: 40, unit: 'grapheme' })
const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array))
const reference = (): fc.Arbitrary<{ typeUrl: string; value: Buffer }> =>
  fc.record({ typeUrl: text(), value: bytes() }, { noNullPrototype: true })

test('requests and references are written and read as protobuf-es does it', () => {
  const request = peer('FetchJWTSVIDRequest')
  const object = peer('KubernetesObjectReference')
  const names = fc.record({ namespace: text(), name: text() }, { noNullPrototype: true })
  const kubernetes = fc.record(
    {
      type: fc.record({ plural: text(), group: text() }, { noNullPrototype: true }),
      key: names,
      uid: text(),
    },
    { requiredKeys: ['type', 'uid'], noNullPrototype: true },
  )
  fc.assert(
    fc.property(
      reference(),
      fc.array(text(), { maxLength: 3 }),
      text(),
      kubernetes,
      (named, audience, spiffeId, k8s) => {
        const message = { reference: named, audience, spiffeId }
        const theirs = toBinary(request, create(request, { reference: { reference: named }, audience, spiffeId }))
        assert.deepEqual(brokerJwtRequest.decode(theirs), message)
        assert.deepEqual(toBinary(request, fromBinary(request, brokerJwtRequest.encode(message))), theirs)
        assert.deepEqual(workloadRequest.decode(theirs), { reference: named })
        assert.deepEqual(workloadRequest.decode(workloadRequest.encode({ reference: named })), { reference: named })
        const theirObject = toBinary(object, create(object, k8s))
        assert.deepEqual(kubernetesReference.decode(theirObject), k8s)
        assert.deepEqual(kubernetesReference.decode(kubernetesReference.encode(k8s)), k8s)
      },
    ),
    { numRuns: 60 },
  )
})

test('any 32-bit PID is read as it was written, also a negative one', () => {
  const desc = peer('WorkloadPIDReference')
  fc.assert(
    fc.property(fc.integer(), (pid) => {
      assert.equal(pidReference.decode(toBinary(desc, create(desc, { pid }))), pid)
      if (pid >= 0) assert.equal(pidReference.decode(pidReference.encode(pid)), pid)
    }),
  )
})

test('an error is a google.rpc.Status with one ErrorInfo', () => {
  const info = { reason: 'WORKLOAD_NOT_FOUND', domain: 'spiffe.io', metadata: new Map([['code', 'x.y']]) }
  const status: Record<string, unknown> = { ...fromBinary(peer('Status'), encodeErrorStatus(5, 'gone', info)) }
  assert.deepEqual([status.code, status.message], [5, 'gone'])
  assert.ok(Array.isArray(status.details))
  const [{ typeUrl, value }] = status.details
  assert.equal(typeUrl, 'type.googleapis.com/google.rpc.ErrorInfo')
  const read: Record<string, unknown> = { ...fromBinary(peer('ErrorInfo'), value) }
  assert.deepEqual([read.reason, read.domain, read.metadata], [info.reason, info.domain, { code: 'x.y' }])
})

describe('what is no request of a broker is refused', () => {
  const codecs = [workloadRequest, brokerJwtRequest, pidReference, kubernetesReference]
  for (const [title, hex, codec] of [
    ['a number where the reference belongs', '0801', workloadRequest],
    ['a reference that is cut off', '0a020a05', workloadRequest],
    ['an audience that is not UTF-8', '1201ff', brokerJwtRequest],
    ['text where the PID belongs', '0a0131', pidReference],
    ['a PID that is cut off', '08ff', pidReference],
    ['a name that is no text', '12021001', kubernetesReference],
  ] as const) {
    test(title, () => {
      assert.throws(
        () => codec.decode(Buffer.from(hex, 'hex')),
        (error) => AimsError.is(error) && error.code === 'provisioning.malformed_message',
      )
    })
  }

  test('any bytes are read, or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        for (const { decode } of codecs) {
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
