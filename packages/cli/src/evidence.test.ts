import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aims, at, file } from '../../../test/support/cli.ts'
import { DCAP_NOW, makeCollateralFiles, makeDcapPki, makeQuote } from '../../../test/support/dcap-pki.ts'
import { NITRO_NOW, nitroDocument, nitroRoot, pcr } from '../../../test/support/nitro.ts'
import { EVIDENCE_TYPES, findEvidenceType } from './evidence-types.ts'

const nonce = Buffer.alloc(20, 7)
const evidence = file(nitroDocument({ members: { user_data: nonce, nonce } }))
const root = file(nitroRoot.der)

// One verdict on the document, with the root of the test instead of the one built in.
async function verify(...more: readonly string[]): Promise<{ exit: number; result: Record<string, unknown> }> {
  const args = ['--type', 'nitro', '--evidence', evidence, '--root', root, ...at(NITRO_NOW), ...more]
  const { exit, results } = await aims('verify', 'evidence', ...args)
  assert.equal(results.length, 1)
  return { exit, result: results[0] ?? {} }
}

describe('aims verify evidence', () => {
  test('tells what was verified, and warns that nothing was compared', async () => {
    const { exit, result } = await verify()
    assert.equal(exit, 0, JSON.stringify(result))
    assert.equal(result.ok, true)
    assert.equal(result.authenticated, true)
    assert.equal(result.type, 'aws-nitro')
    assert.equal(result.binding, 'none')
    assert.equal(result.debug, false)
    assert.match(String(result.warnings), /binding was not compared/)
    assert.equal(result.evidenceNotAfter, '2025-06-15T18:05:40Z')
    assert.equal((result.claims as { nonce: string }).nonce, nonce.toString('hex'))
  })

  test('says what is authentic also when the policy refuses it, and nothing about what is not', async () => {
    const policy = file({ pcrs: { 0: ['00'.repeat(48)] } })
    const { exit, result } = await verify('--policy', policy)
    assert.deepEqual([exit, result.ok, result.authenticated], [1, false, true])
    assert.equal(result.code, 'attestation.measurement_mismatch')
    assert.equal((result.claims as { nonce: string }).nonce, nonce.toString('hex'))
    const { result: forged } = await verify('--nonce', '08'.repeat(20))
    assert.deepEqual([forged.ok, forged.authenticated, forged.claims], [false, undefined, undefined])
  })

  test('takes the fingerprint of a root as it takes its file', async () => {
    const { result } = await verify('--root', nitroRoot.fingerprint)
    assert.equal(result.hardwareRoot, nitroRoot.fingerprint)
  })

  test('takes the document in hex, base64 and PEM', async () => {
    const bytes = nitroDocument({ members: { user_data: nonce, nonce } })
    const base64 = bytes.toString('base64')
    for (const text of [bytes.toString('hex'), `${base64}\n`, `-----BEGIN X-----\n${base64}\n-----END X-----\n`]) {
      const { exit, result } = await verify('--evidence', file(text))
      assert.deepEqual([exit, result.authenticated], [0, true], JSON.stringify(result))
    }
    const { result: json } = await verify('--evidence', file('{}'))
    assert.equal(json.code, 'attestation.malformed')
  })

  test('names the file of collateral that it cannot use', async () => {
    const odd = file('no certificate')
    const args = ['--type', 'azure', '--evidence', evidence, '--collateral', root, '--collateral', odd]
    const { exit, results } = await aims('verify', 'evidence', ...args)
    assert.deepEqual([exit, results[0]?.code], [1, 'attestation.collateral_malformed'])
    assert.ok(String(results[0]?.message).startsWith(`${odd}: `), String(results[0]?.message))
  })

  test('does not trust the root of the evidence without --root', async () => {
    const { exit, results } = await aims(
      'verify',
      'evidence',
      '--type',
      'aws-nitro',
      '--evidence',
      evidence,
      ...at(NITRO_NOW),
    )
    assert.equal(exit, 1)
    assert.equal(results[0]?.code, 'attestation.untrusted')
  })

  const refused: readonly (readonly [string, readonly string[], number, string])[] = [
    ['another nonce', ['--nonce', '08'.repeat(20)], 1, 'attestation.binding_mismatch'],
    ['an audience, which the type has none of', ['--audience', 'https://a.example'], 1, 'attestation.binding_missing'],
    ['a later time', at(NITRO_NOW + 20_000), 1, 'attestation.expired'],
    ['another PCR', ['--policy', file({ pcrs: { 0: ['00'.repeat(48)] } })], 1, 'attestation.measurement_mismatch'],
    [
      'another PCR, in the policy of an entry',
      ['--policy', file({ nitro: { pcrs: { 0: ['00'.repeat(48)] } } })],
      1,
      'attestation.measurement_mismatch',
    ],
    ['a misspelt policy', ['--policy', file({ pcr: {} })], 2, 'attestation.policy_malformed'],
    [
      'a misspelt policy of an entry',
      ['--policy', file({ nitro: {}, requires: [] })],
      2,
      'attestation.policy_malformed',
    ],
    ['a policy that is no JSON', ['--policy', file('{')], 2, 'attestation.policy_malformed'],
    ['a nonce that is no hex', ['--nonce', 'xyz'], 2, 'operation.usage'],
    ['an empty nonce', ['--nonce', ''], 2, 'operation.usage'],
    ['nonce and audience', ['--nonce', '00', '--audience', 'a'], 2, 'operation.usage'],
    ['a key without a nonce', ['--key', root], 2, 'operation.usage'],
    ['a key with a short nonce', ['--nonce', '00', '--key', root], 2, 'operation.usage'],
    ['a type that there is not', ['--type', 'moon'], 2, 'operation.usage'],
    ['collateral that is not there', ['--collateral', '/nonexistent'], 3, 'operation.input_unreadable'],
    ['evidence that is not there', ['--evidence', '/nonexistent'], 3, 'operation.input_unreadable'],
  ]
  for (const [what, more, exit, code] of refused) {
    test(`refuses ${what} with ${code} and exit code ${exit}`, async () => {
      const verdict = await verify(...more)
      assert.deepEqual(
        { exit: verdict.exit, ok: verdict.result.ok, code: verdict.result.code },
        { exit, ok: false, code },
      )
      assert.equal(typeof verdict.result.message, 'string')
    })
  }

  test('the nonce that was signed binds', async () => {
    const { exit, result } = await verify(
      '--nonce',
      nonce.toString('hex'),
      '--policy',
      file({ pcrs: { 0: [pcr(1).toString('hex')] } }),
    )
    assert.deepEqual([exit, result.binding, result.freshness], [0, 'full', 'nonce'], JSON.stringify(result))
    assert.deepEqual(result.warnings, [])
  })

  test('says what of the policy of an entry one piece of evidence does not answer', async () => {
    const { result } = await verify('--policy', file({ nitro: {}, require: ['nitro'] }))
    assert.match(String(result.warnings), /require and assurance/)
  })
})

describe('a quote of TDX', () => {
  const pki = makeDcapPki()
  const loose = Object.values(makeCollateralFiles('tdx', pki)).flatMap((one) => ['--collateral', file(one)])
  const quote = [
    '--type',
    'tdx',
    '--evidence',
    file(makeQuote('v4', pki)),
    '--root',
    file(pki.root.der),
    ...at(DCAP_NOW),
  ]

  test('is rated by loose files of collateral', async () => {
    const { exit, results } = await aims('verify', 'evidence', ...quote, ...loose)
    assert.equal(exit, 0, JSON.stringify(results))
    assert.equal((results[0]?.tcb as { status?: string } | undefined)?.status, 'UpToDate')
  })

  test('is not accepted without them, unless unrated platforms are', async () => {
    const { exit, results } = await aims('verify', 'evidence', ...quote)
    assert.deepEqual([exit, results[0]?.code], [1, 'attestation.collateral_missing'])
    const unrated = await aims('verify', 'evidence', ...quote, '--accept-unrated-tcb')
    assert.equal(unrated.exit, 0)
    assert.equal((unrated.results[0]?.tcb as { status?: string } | undefined)?.status, 'unrated')
  })
})

test('types are found by every name, and each name means one type', () => {
  const names = EVIDENCE_TYPES.flatMap(({ type, aliases }) => [type, ...aliases])
  assert.equal(new Set(names).size, names.length)
  for (const { type, aliases } of EVIDENCE_TYPES) {
    for (const name of [type, ...aliases]) assert.equal(findEvidenceType(name.toUpperCase())?.type, type, name)
  }
  assert.equal(findEvidenceType('aws_nitro')?.type, 'aws-nitro')
  assert.equal(findEvidenceType('nothing'), undefined)
})

test('aims attest verify is the same command', async () => {
  const { exit, results } = await aims(
    'attest',
    'verify',
    '--type',
    'nitro',
    '--evidence',
    evidence,
    '--root',
    root,
    ...at(NITRO_NOW),
  )
  assert.deepEqual([exit, results[0]?.ok, results[0]?.type], [0, true, 'aws-nitro'])
})

test('aims attest types says what each type proves', async () => {
  const { exit, results } = await aims('attest', 'types')
  assert.equal(exit, 0)
  const types = results[0]?.types as readonly { type: string; proves: string; binds: string }[]
  assert.deepEqual(
    types.map(({ type }) => type),
    EVIDENCE_TYPES.map(({ type }) => type),
  )
  for (const { proves, binds } of types) assert.ok(proves.length > 20 && binds.length > 5)
})

describe('aims attest appraise', () => {
  const appraise = async (policy: object, ...more: readonly string[]) => {
    const args = ['--root', root, '--policy', file(policy), ...at(NITRO_NOW), ...more]
    const { exit, results } = await aims('attest', 'appraise', ...args)
    return { exit, result: results[0] ?? {} }
  }
  const piece = `nitro=${evidence}`

  test('holds all pieces against the policy of an entry, and tells the assurance', async () => {
    const { exit, result } = await appraise(
      { 'aws-nitro': {}, require: ['aws-nitro'] },
      piece,
      '--nonce',
      nonce.toString('hex'),
    )
    assert.deepEqual(
      [exit, result.ok, result.assurance, result.warnings],
      [0, true, 'high', []],
      JSON.stringify(result),
    )
    assert.equal((result.results as readonly { type: string }[])[0]?.type, 'aws-nitro')
  })

  const refused: readonly (readonly [string, object, readonly string[], number, string])[] = [
    ['too few pieces', { require: [{ of: ['aws-nitro', 'aws-iid'] }] }, [piece], 1, 'attestation.not_enough'],
    ['assurance that is too low', { assurance: 'high' }, [piece], 1, 'attestation.not_enough'],
    ['the same type twice', {}, [piece, piece], 1, 'attestation.not_enough'],
    ['another image', { nitro: { pcrs: { 0: ['00'.repeat(48)] } } }, [piece], 1, 'attestation.measurement_mismatch'],
    ['a policy with an unknown type', { moon: {} }, [piece], 2, 'attestation.policy_malformed'],
    ['a policy that names a type twice', { nitro: {}, 'aws-nitro': {} }, [piece], 2, 'operation.usage'],
    ['evidence without a type', {}, [evidence], 2, 'operation.usage'],
  ]
  for (const [what, policy, more, exit, code] of refused) {
    test(`refuses ${what} with ${code}`, async () => {
      const verdict = await appraise(policy, ...more)
      assert.deepEqual(
        { exit: verdict.exit, ok: verdict.result.ok, code: verdict.result.code },
        { exit, ok: false, code },
      )
    })
  }
})
