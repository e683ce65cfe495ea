import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  attestToken,
  type Claims,
  GCP,
  jwks,
  platformKey,
  platformToken,
  rsaKey,
  TOKEN_NOW,
} from '../../../../../test/support/platform-tokens.ts'
import type { JsonObject } from '../../base/json.ts'
import { gcpCollateral } from './gcp.ts'

const engine = (GCP.claims.google as { compute_engine: Claims }).compute_engine
const withEngine = (change: Claims) => ({ claims: { google: { compute_engine: { ...engine, ...change } } } })

describe('a token of a Google Compute Engine instance', () => {
  test('says which instance of which project, and is bound by its audience', async () => {
    const result = await attestToken(GCP, platformToken(GCP))
    assert.deepEqual([result.binding, result.freshness, result.debug], ['audience', 'nonce', false])
    assert.equal(result.evidenceNotAfter, TOKEN_NOW + 290)
    assert.deepEqual(result.selectors, [
      'gcp_iit:project-id:example-project',
      'gcp_iit:zone:europe-west3-a',
      'gcp_iit:instance-name:bot-1',
      'gcp_iit:instance-id:2589221140676718026',
      'gcp_iit:sa:bots@example-project.iam.gserviceaccount.com',
    ])
    assert.deepEqual(result.warnings, ['the policy names no project: any project of Google Cloud passes'])
  })

  test('has no selector for an address that Google has not verified', async () => {
    for (const verified of [false, 'true', undefined]) {
      const { selectors } = await attestToken(GCP, platformToken(GCP, { claims: { email_verified: verified } }))
      assert.equal(selectors.filter((one) => one.startsWith('gcp_iit:sa:')).length, 0)
    }
  })

  test('signed with the key of a service account, named by its subject, is refused (N28)', async () => {
    const account = rsaKey('RS256', 'service-account-key')
    const token = platformToken(GCP, { header: { kid: 'service-account-key' }, signer: account })
    await assert.rejects(attestToken(GCP, token), { code: 'attestation.key_unknown' })
    // Its keys are at hand under any other name, but nobody asks for them.
    const files = { 'gcp/jwks.json': jwks(platformKey), 'gcp/104070955682298736149/jwks.json': jwks(account) }
    await assert.rejects(attestToken(GCP, token, { files }), { code: 'attestation.key_unknown' })
  })

  for (const aud of [undefined, [], '', null]) {
    test(`whose aud is ${JSON.stringify(aud)} is refused, whatever is expected (N28)`, () =>
      assert.rejects(attestToken(GCP, platformToken(GCP, { claims: { aud } }), { expected: { kind: 'unchecked' } }), {
        code: 'attestation.malformed',
      }))
  }

  for (const [what, change] of [
    ['of a service account, without an instance', { claims: { google: undefined } }],
    ['without compute_engine', { claims: { google: {} } }],
    ['whose compute_engine is text', { claims: { google: { compute_engine: 'x' } } }],
    ['without project_id', withEngine({ project_id: undefined })],
    ['with an empty project_id', withEngine({ project_id: '' })],
    ['without instance_id', withEngine({ instance_id: undefined })],
    ['whose instance_id is a name', withEngine({ instance_id: 'bot-1' })],
    ['whose zone has a line feed', withEngine({ zone: 'a\nb' })],
  ] as const) {
    test(`${what} is refused`, () =>
      assert.rejects(attestToken(GCP, platformToken(GCP, change)), { code: 'attestation.malformed' }))
  }

  test('that lives longer than an hour is refused', async () => {
    await attestToken(GCP, platformToken(GCP, { claims: { exp: TOKEN_NOW - 10 + 3600 } }))
    await assert.rejects(attestToken(GCP, platformToken(GCP, { claims: { exp: TOKEN_NOW - 10 + 3601 } })), {
      code: 'attestation.lifetime_too_long',
    })
  })
})

describe('the policy for instances of Google', () => {
  const rows: readonly (readonly [string, JsonObject, string | undefined])[] = [
    ['its project', { projects: ['example-project'] }, undefined],
    ['another project', { projects: ['example-project-2', 'example'] }, 'attestation.not_allowed'],
    ['its zone', { zones: 'europe-west3-a' }, undefined],
    ['another zone', { zones: ['europe-west3-b'] }, 'attestation.not_allowed'],
    ['its number', { instances: ['2589221140676718026'] }, undefined],
    ['another number', { instances: ['1'] }, 'attestation.not_allowed'],
    ['its service account', { serviceAccounts: ['bots@example-project.iam.gserviceaccount.com'] }, undefined],
    ['another service account', { serviceAccounts: ['bots@example.com'] }, 'attestation.not_allowed'],
    ['a name instead of a number', { instances: ['bot-1'] }, 'attestation.policy_malformed'],
    ['a misspelt member', { project: ['example-project'] }, 'attestation.policy_malformed'],
    ['an empty list', { projects: [] }, 'attestation.policy_malformed'],
  ]
  for (const [what, policy, code] of rows) {
    test(`${what} ${code === undefined ? 'passes' : 'is refused'}`, async () => {
      const answer = (async () => attestToken(GCP, platformToken(GCP), { policy }))()
      if (code === undefined) await answer
      else await assert.rejects(answer, { code })
    })
  }
  test('no warning is left when the project is named', async () => {
    const { warnings } = await attestToken(GCP, platformToken(GCP), { policy: { projects: ['example-project'] } })
    assert.deepEqual(warnings, [])
  })
})

describe('loose files of keys', () => {
  const one = { name: 'x', bytes: jwks(platformKey) }
  const attestWith = (...files: Parameters<typeof gcpCollateral>[0]) => {
    const source = gcpCollateral(files)
    const bytes = source.get('gcp/jwks.json')
    return attestToken(GCP, platformToken(GCP), { files: bytes === undefined ? {} : { 'gcp/jwks.json': bytes } })
  }
  test('are put together, and answer to the name of the type alone', async () => {
    await attestWith(one)
    await attestWith({ name: 'y', bytes: jwks(rsaKey('RS256', 'key-2')) }, one)
    assert.equal(gcpCollateral([one]).get('github/jwks.json'), undefined)
    await assert.rejects(attestWith(), { code: 'attestation.collateral_missing' })
  })
  test('of something else are passed over, and so are the keys of another issuer', async () => {
    const others = ['', '[]', '{}', '{"id":"TDX"}', '-----BEGIN CERTIFICATE-----'].map((text) => ({
      name: 'x',
      bytes: Buffer.from(text),
    }))
    await attestWith(...others, one, one)
    await assert.rejects(attestWith(...others), { code: 'attestation.collateral_missing' })
    await assert.rejects(attestWith({ ...one, name: 'github/jwks.json' }), { code: 'attestation.collateral_missing' })
    await attestWith({ ...one, name: 'gcp/jwks.json' })
  })
  for (const text of ['{"keys":{}}', '{"keys":[1]}', '{"keys":[],"keys":[]}', '-----BEGIN PUBLIC KEY-----']) {
    test(`${JSON.stringify(text)} is refused`, () =>
      assert.throws(() => gcpCollateral([{ name: 'x', bytes: Buffer.from(text) }]), {
        code: 'attestation.collateral_malformed',
      }))
  }
})
