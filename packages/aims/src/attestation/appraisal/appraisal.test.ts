import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AimsError } from '../../base/errors.ts'
import type { JsonValue } from '../../base/json.ts'
import type { AttestationResult, AttestationType } from '../attestor.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceVerifier } from '../evidence.ts'
import { appraise, type EvidenceVerifiers, readAppraisalPolicy } from './appraisal.ts'
import { assuranceOf, compareAssurance, strongestAssurance } from './assurance.ts'
import { flag, hexList, integer, readPolicyFields, textList, wordsOf } from './policy-fields.ts'

const strong: AttestationResult = {
  type: 'tpm',
  selectors: ['tpm:ek:aa'],
  verifiedAt: 1,
  binding: 'full',
  freshness: 'nonce',
  hardwareRoot: 'ab',
  debug: false,
  attributes: {},
  warnings: [],
}

interface Claims {
  readonly image: string
}
interface Policy {
  readonly images: readonly string[] | undefined
}

// A verifier of a made-up platform: what it says is its image.
function verifier(type: AttestationType, result: Partial<AttestationResult> = {}): EvidenceVerifier<Claims, Policy> {
  return {
    type,
    maxSize: 100,
    authenticate: (evidence) => {
      const image = Buffer.from(evidence).toString()
      const selectors = [`${type}:image:${image}`]
      return authenticatedEvidence<Claims>({
        claims: { image },
        result: { ...strong, type, selectors, ...result },
        attested: `${type} 1`,
      })
    },
    readPolicy: (document) => readPolicyFields<Policy>(document, { images: textList }),
    appraise: ({ claims }, { images }) => {
      if (images?.includes(claims.image) === false) {
        throw new AimsError('attestation.measurement_mismatch', 'not an allowed image')
      }
      return ['looked at']
    },
  }
}

const tpm = verifier('tpm')
const aws = verifier('aws-iid', { binding: 'none', freshness: 'window' })
const gcp = verifier('gcp', { binding: 'audience' })
const verifiers: EvidenceVerifiers = new Map<AttestationType, EvidenceVerifier>([
  ['tpm', tpm as EvidenceVerifier],
  ['aws-iid', aws as EvidenceVerifier],
  ['gcp', gcp as EvidenceVerifier],
])
const policyOf = (document: JsonValue) => readAppraisalPolicy(document, verifiers)
const now = { now: 1, expected: { kind: 'unchecked' } } as const
const shown = async (...types: AttestationType[]): Promise<readonly Authenticated[]> =>
  Promise.all(
    types.map(async (type) => (verifiers.get(type) as EvidenceVerifier).authenticate(Buffer.from('good'), now)),
  )

describe('evidence held against the policy of an entry', () => {
  test('gives the selectors of all pieces, the strongest assurance, and the warnings of each appraisal', async () => {
    const { selectors, assurance, results } = appraise(await shown('tpm', 'aws-iid'), policyOf({}), verifiers)
    assert.deepEqual(selectors, ['tpm:image:good', 'aws-iid:image:good'])
    assert.equal(assurance, 'high')
    assert.deepEqual(
      results.map(({ warnings }) => warnings),
      [['looked at'], ['looked at']],
    )
  })

  const enough: readonly (readonly [JsonValue, readonly AttestationType[]])[] = [
    [{}, ['aws-iid']],
    [{ tpm: {} }, ['tpm']],
    [{ tpm: {}, gcp: {} }, ['gcp']],
    [{ require: ['tpm', { atLeast: 1, of: ['aws-iid', 'gcp'] }] }, ['tpm', 'gcp']],
    [{ require: [{ of: ['tpm', 'gcp'] }] }, ['gcp', 'tpm']],
    [{ assurance: 'moderate' }, ['gcp']],
    [{ tpm: { images: ['good', 'better'] } }, ['tpm']],
  ]
  for (const [document, types] of enough) {
    test(`${JSON.stringify(document)} is satisfied by ${types.join(' and ')}`, async () => {
      appraise(await shown(...types), policyOf(document), verifiers)
    })
  }

  const refused: readonly (readonly [JsonValue, readonly AttestationType[], string])[] = [
    [{}, [], 'attestation.not_enough'],
    [{}, ['tpm', 'tpm'], 'attestation.not_enough'],
    [{ tpm: {} }, ['gcp'], 'attestation.not_enough'],
    [{ require: ['tpm', 'gcp'] }, ['tpm'], 'attestation.not_enough'],
    [{ require: [{ atLeast: 2, of: ['tpm', 'gcp', 'aws-iid'] }] }, ['gcp'], 'attestation.not_enough'],
    [{ assurance: 'high' }, ['gcp'], 'attestation.not_enough'],
    [{ assurance: 'moderate' }, ['aws-iid'], 'attestation.not_enough'],
    [{ tpm: { images: ['better'] } }, ['tpm'], 'attestation.measurement_mismatch'],
    // A second piece that fails its own part is not left out because the first is enough.
    [{ require: ['gcp'], tpm: { images: ['better'] } }, ['gcp', 'tpm'], 'attestation.measurement_mismatch'],
  ]
  for (const [document, types, code] of refused) {
    test(`${JSON.stringify(document)} refuses ${types.join(' and ') || 'nothing'} as ${code}`, async () => {
      const evidence = await shown(...types)
      assert.throws(() => appraise(evidence, policyOf(document), verifiers), { code })
    })
  }

  test('evidence that no verifier made is a mistake of the program', async () => {
    const [real] = await shown('tpm')
    for (const forged of [{ ...real }, structuredClone({ ...real, claims: {} })] as Authenticated[]) {
      assert.throws(() => appraise([forged], policyOf({}), verifiers), TypeError)
    }
  })

  test('evidence of a type that is not configured is refused', async () => {
    const evidence = await shown('tpm')
    assert.throws(() => appraise(evidence, policyOf({}), new Map()), { code: 'attestation.unknown_type' })
  })
})

describe('an appraisal policy', () => {
  const rows: readonly (readonly [JsonValue, string])[] = [
    [[], 'attestation.policy_malformed'],
    ['tpm', 'attestation.policy_malformed'],
    [{ tmp: {} }, 'attestation.policy_malformed'],
    [{ tpm: [] }, 'attestation.policy_malformed'],
    [{ tpm: { image: ['x'] } }, 'attestation.policy_malformed'],
    [{ tpm: { images: [] } }, 'attestation.policy_malformed'],
    [{ tpm: { images: [1] } }, 'attestation.policy_malformed'],
    [{ sgx: {} }, 'attestation.unknown_type'],
    [{ require: [] }, 'attestation.policy_malformed'],
    [{ require: 'tpm' }, 'attestation.policy_malformed'],
    [{ require: ['sgx'] }, 'attestation.unknown_type'],
    [{ require: [{ atLeast: 2, of: ['tpm'] }] }, 'attestation.policy_malformed'],
    [{ require: [{ atLeast: 0, of: ['tpm'] }] }, 'attestation.policy_malformed'],
    [{ require: [{ atLeast: 1.5, of: ['tpm', 'gcp'] }] }, 'attestation.policy_malformed'],
    [{ require: [{ atLeast: 1, of: ['tpm', 'tpm'] }] }, 'attestation.policy_malformed'],
    [{ require: [{ atLeast: 1, of: ['tpm'], or: 1 }] }, 'attestation.policy_malformed'],
    [{ require: [null] }, 'attestation.policy_malformed'],
    [{ assurance: 'highest' }, 'attestation.policy_malformed'],
    [{ assurance: 3 }, 'attestation.policy_malformed'],
  ]
  for (const [document, code] of rows) {
    test(`${JSON.stringify(document)} is refused as ${code}`, () => {
      assert.throws(() => policyOf(document), { code })
    })
  }

  test('its fields are read by their tables', () => {
    const fields = {
      on: flag(true),
      count: integer(1, 9),
      digests: hexList(2),
      states: wordsOf(['a', 'b'] as const, ['a']),
    }
    assert.deepEqual({ ...readPolicyFields({}, fields) }, { on: true, states: ['a'] })
    assert.deepEqual(
      { ...readPolicyFields({ on: false, count: 3, digests: 'ABcd', states: ['b'] }, fields) },
      {
        on: false,
        count: 3,
        digests: ['abcd'],
        states: ['b'],
      },
    )
    for (const wrong of [
      { on: 1 },
      { count: 10 },
      { count: 1.5 },
      { count: 3n },
      { digests: ['abc'] },
      { digests: ['abcdef'] },
      { states: ['c'] },
      { no: 1 },
    ]) {
      assert.throws(() => readPolicyFields(wrong, fields), { code: 'attestation.policy_malformed' })
    }
  })
})

describe('assurance', () => {
  const rows: readonly (readonly [string, Partial<AttestationResult>, string])[] = [
    ['hardware that signed the key for this nonce', {}, 'high'],
    ['firmware the vendor rates as up to date', { tcb: { status: 'UpToDate', advisories: [] } }, 'high'],
    ['firmware that is out of date', { tcb: { status: 'OutOfDate', advisories: [] } }, 'moderate'],
    ['firmware that nobody rated', { tcb: { status: 'unrated', advisories: [] } }, 'moderate'],
    ['a platform bound by audience', { binding: 'audience' }, 'moderate'],
    ['the kernel', { binding: 'channel', freshness: 'live' }, 'moderate'],
    ['hardware that is bound and old', { freshness: 'window' }, 'low'],
    ['a bearer document', { binding: 'none', freshness: 'none' }, 'low'],
    ['a platform in debug mode', { debug: true }, 'low'],
  ]
  for (const [what, change, level] of rows) {
    test(`of ${what} is ${level}`, () => {
      assert.equal(assuranceOf({ ...strong, ...change }), level)
    })
  }

  test('without a vendor root is not high', () => {
    const { hardwareRoot: _, ...rootless } = strong
    assert.equal(assuranceOf(rootless), 'moderate')
  })

  test('has an order', () => {
    assert.ok(compareAssurance('low', 'high') < 0)
    assert.equal(strongestAssurance(['moderate', 'high', 'low']), 'high')
    assert.equal(strongestAssurance([]), 'low')
  })
})
