import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { CborInput } from '../../../../../test/support/cbor.ts'
import {
  NITRO_NOW,
  type NitroOptions,
  nitroDocument,
  nitroInstance,
  nitroLeaf,
  nitroPayload,
  nitroPcrs,
  nitroRegion,
  nitroRoot,
  pcr,
} from '../../../../../test/support/nitro.ts'
import { assertNoFlipAccepted, assertRefused, assertWhole } from '../../../../../test/support/tampering.ts'
import { caExtensions, makeCertificate, makeRoot, newKey } from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import { bindingDigest, type Challenge, type ExpectedBinding } from '../binding.ts'
import { attestEvidence } from '../evidence.ts'
import { awsNitroVerifier } from './aws-nitro.ts'

const verifier = awsNitroVerifier({ roots: new Set([nitroRoot.fingerprint]) })
const unchecked: ExpectedBinding = { kind: 'unchecked' }
interface Options {
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly policy?: JsonObject
}
const attest = (evidence: Uint8Array, { now = NITRO_NOW, expected = unchecked, policy = {} }: Options = {}) =>
  attestEvidence(verifier, evidence, { now, expected }, verifier.readPolicy(policy))
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code })

const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: nitroLeaf.key.spki }
const bound = {
  public_key: challenge.publicKey,
  nonce: challenge.nonce,
  user_data: bindingDigest('aws-nitro', challenge, 'sha256'),
}
const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }

describe('a Nitro document', () => {
  test('says which image runs on which instance', async () => {
    const result = await attest(nitroDocument())
    assert.equal(result.hardwareRoot, nitroRoot.fingerprint)
    assert.equal(result.evidenceNotAfter, NITRO_NOW + 10_740)
    assert.deepEqual([result.binding, result.freshness, result.debug], ['none', 'window', false])
    assert.deepEqual(result.selectors, [
      'aws:nitro:instance:id:i-0123456789abcdef0',
      ...[1, 2, 3, 4, 5].map((byte) => `aws:nitro:pcr${byte - 1}:${pcr(byte).toString('hex')}`),
    ])
    assert.deepEqual(result.warnings, ['the policy names no PCR: any enclave passes'])
  })

  test('is bound to a challenge by nonce, key and digest, all three', async () => {
    const result = await attest(nitroDocument({ members: bound }), { expected })
    assert.deepEqual([result.binding, result.freshness], ['full', 'nonce'])
    for (const name of ['public_key', 'nonce', 'user_data'] as const) {
      const other = Buffer.from(bound[name])
      other[0] = (other[0] as number) ^ 1
      for (const value of [other, null, undefined]) {
        await refuses('attestation.binding_mismatch', nitroDocument({ members: { ...bound, [name]: value } }), {
          expected,
        })
      }
    }
  })

  test('is compared with data that others asked for', async () => {
    const data = (text: string): ExpectedBinding => ({ kind: 'data', data: Buffer.from(text) })
    const document = nitroDocument({ members: { nonce: Buffer.from('abc') } })
    await attest(document, { expected: data('abc') })
    await refuses('attestation.binding_mismatch', document, { expected: data('abd') })
    await refuses('attestation.binding_mismatch', nitroDocument(), { expected: data('abc') })
    await refuses('attestation.binding_missing', document, { expected: data('') })
    await refuses('attestation.binding_missing', document, { expected: { kind: 'audience', audience: 'abc' } })
  })

  const impostor = makeRoot('aws.nitro-enclaves', { key: newKey('P-384') })
  const under = (change: Partial<Parameters<typeof makeCertificate>[0]>) =>
    makeCertificate({ subject: 'leaf', issuer: nitroInstance, key: newKey('P-384'), ...change })
  const bundle = [nitroRoot.der, nitroRegion.der, nitroInstance.der]
  const members = (change: { readonly [name: string]: CborInput | undefined }): NitroOptions => ({ members: change })
  const rows: readonly (readonly [string, string, NitroOptions, number?])[] = [
    ['whose cabundle is reversed (N25)', 'attestation.untrusted', { bundle: bundle.toReversed() }],
    [
      'whose cabundle has another order inside',
      'attestation.chain_invalid',
      { bundle: [bundle[0], bundle[2], bundle[1]] as Buffer[] },
    ],
    ['with a self-made root first (N25)', 'attestation.untrusted', { bundle: [impostor.der, ...bundle] }],
    [
      'with a self-made root after the real one (N25)',
      'attestation.chain_invalid',
      { bundle: [bundle[0] as Buffer, impostor.der, ...bundle.slice(1)] },
    ],
    ['without its root', 'attestation.untrusted', { bundle: bundle.slice(1) }],
    [
      'signed by a chain of an impostor (N25)',
      'attestation.invalid_signature',
      { leaf: under({ issuer: impostor }), bundle: [nitroRoot.der, impostor.der] },
    ],
    ['whose leaf has expired after three hours (N25)', 'attestation.expired', {}, NITRO_NOW + 10_741],
    ['whose leaf is not valid yet', 'attestation.not_yet_valid', {}, NITRO_NOW - 61],
    ['of the future', 'attestation.not_yet_valid', members({ timestamp: (NITRO_NOW + 301) * 1000 })],
    ['signed with ES256, alg -7 (N25)', 'attestation.unsupported', { protectedHeader: new Map([[1, -7]]) }],
    ['without an algorithm', 'attestation.unsupported', { protectedHeader: new Map() }],
    [
      'with more in the protected header',
      'attestation.malformed',
      {
        protectedHeader: new Map([
          [1, -35],
          [4, 1],
        ]),
      },
    ],
    ['with something in the unprotected header', 'attestation.malformed', { unprotectedHeader: new Map([[4, 1]]) }],
    [
      'of a leaf on P-256',
      'attestation.invalid_signature',
      { leaf: under({ key: newKey('P-256') }), signer: nitroLeaf },
    ],
    ['signed by another key', 'attestation.invalid_signature', { signer: nitroInstance }],
    ['of a leaf that may not sign', 'attestation.chain_invalid', { leaf: under({ extensions: caExtensions() }) }],
    ['with zero PCRs: debug mode (N25)', 'attestation.debug', { pcrs: nitroPcrs({ 0: pcr(0), 1: pcr(0), 2: pcr(0) }) }],
    ['with one zero PCR of three', 'attestation.debug', { pcrs: nitroPcrs({ 1: pcr(0) }) }],
    [
      'without PCR 0, which is not the same as zero (N25)',
      'attestation.malformed',
      { pcrs: new Map([...nitroPcrs()].slice(1)) },
    ],
    ['without PCRs', 'attestation.malformed', { pcrs: new Map() }],
    ['with PCR 32', 'attestation.malformed', { pcrs: new Map([...nitroPcrs(), [32, pcr(1)]]) }],
    ['with a PCR of 47 bytes', 'attestation.malformed', { pcrs: nitroPcrs({ 0: Buffer.alloc(47, 1) }) }],
    ['with another digest', 'attestation.unsupported', members({ digest: 'SHA256' })],
    ['with an unknown member', 'attestation.malformed', members({ extra: 1 })],
    ['with an empty module_id', 'attestation.malformed', members({ module_id: '' })],
    ['without a timestamp', 'attestation.malformed', members({ timestamp: undefined })],
    ['with timestamp 0', 'attestation.malformed', members({ timestamp: 0 })],
    ['without certificates of CAs', 'attestation.malformed', { bundle: [] }],
    ['with a nonce of 1025 bytes', 'attestation.malformed', members({ nonce: Buffer.alloc(1025) })],
    ['with a nonce that is text', 'attestation.malformed', members({ nonce: 'abc' })],
    ['without its certificate', 'attestation.malformed', members({ certificate: undefined })],
  ]
  for (const [what, code, options, now = NITRO_NOW] of rows) {
    test(`${what} is refused`, () => refuses(code, nitroDocument(options), { now }))
  }

  test('under a tag, twice, or with a duplicate member is refused (N25, N35)', async () => {
    const document = nitroDocument()
    await refuses('attestation.malformed', Buffer.concat([Buffer.of(0xd2), document]))
    await refuses('attestation.malformed', Buffer.concat([document, document]))
    const payload = nitroPayload()
    const twice = Buffer.concat([Buffer.of(0xaa), payload.subarray(1), Buffer.from('656e6f6e6365f6', 'hex')])
    await refuses('attestation.malformed', nitroDocument({}, twice))
  })

  test('of more than 16 KiB is not looked at (N35)', () => refuses('attestation.too_large', Buffer.alloc(16_385)))

  test('without a configured root is refused', () => {
    const none = awsNitroVerifier({ roots: new Set() })
    assert.throws(() => none.authenticate(nitroDocument(), { now: NITRO_NOW, expected: unchecked }), {
      code: 'attestation.untrusted',
    })
  })

  test('no flipped bit is accepted (section 3.1)', async () => {
    // Signed parts all fail at the same place, so one bit of each byte is enough; the frame around them gets all eight.
    const document = nitroDocument({ members: bound })
    await assertNoFlipAccepted((bytes) => attest(bytes), document, 1)
    const header = document.subarray(0, 12)
    const rest = document.subarray(12)
    await assertNoFlipAccepted((bytes) => attest(Buffer.concat([bytes, rest])), header, 8)
  })

  test('cut anywhere or made longer it is refused', () => assertWhole((bytes) => attest(bytes), nitroDocument()))

  test('random bytes are refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => assertRefused(attest, bytes, 'random bytes')),
    ))
})

describe('the policy for Nitro documents', () => {
  const image = pcr(1).toString('hex')
  const debugging = nitroDocument({ pcrs: nitroPcrs({ 0: pcr(0), 1: pcr(0), 2: pcr(0) }) })
  const passes: readonly (readonly [string, JsonObject])[] = [
    ['the right image', { pcrs: { 0: [image] } }],
    ['one of several images, in capitals', { pcrs: { 0: [pcr(9).toString('hex'), image.toUpperCase()] } }],
    ['an instance', { instances: ['i-0123456789abcdef0'] }],
    ['an age', { maxAge: 300 }],
  ]
  for (const [what, policy] of passes)
    test(`${what} passes`, async () => {
      await attest(nitroDocument(), { policy })
    })

  const refusals: readonly (readonly [string, string, JsonObject, number?])[] = [
    ['another image', 'attestation.measurement_mismatch', { pcrs: { 0: [pcr(2).toString('hex')] } }],
    ['a PCR the document does not have', 'attestation.measurement_mismatch', { pcrs: { 17: [image] } }],
    ['another instance', 'attestation.not_allowed', { instances: ['i-1'] }],
    ['a document too old', 'attestation.stale', { maxAge: 300 }, NITRO_NOW + 301],
    ['an unknown member', 'attestation.policy_malformed', { pcr0: image }],
    ['a PCR index that is none', 'attestation.policy_malformed', { pcrs: { 32: [image] } }],
    ['a PCR of another size', 'attestation.policy_malformed', { pcrs: { 0: ['ab'] } }],
    ['PCRs that are no object', 'attestation.policy_malformed', { pcrs: [image] }],
  ]
  for (const [what, code, policy, now] of refusals) {
    test(`${what} is refused`, async () => {
      await assert.rejects(async () => attest(nitroDocument(), { policy, ...(now === undefined ? {} : { now }) }), {
        code,
      })
    })
  }

  test('debug mode passes where the policy says so, with a warning', async () => {
    const result = await attest(debugging, { policy: { allowDebug: true } })
    assert.equal(result.debug, true)
    assert.ok(result.warnings.includes('the enclave runs in debug mode'))
    assert.ok(!result.selectors.some((selector) => selector.startsWith('aws:nitro:pcr0:')))
  })
})
