import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  attestToken,
  type Claims,
  challenged,
  GITHUB,
  jwks,
  platformKey,
  platformToken,
  TOKEN_NOW,
} from '../../../../../test/support/platform-tokens.ts'
import type { JsonObject } from '../../base/json.ts'
import { collateralOf } from '../collateral.ts'
import { githubCollateral, githubVerifier } from './github.ts'

const token = (claims: Claims = {}) => platformToken(GITHUB, { claims })

describe('a token of a GitHub Actions job', () => {
  test('says which repository by its number, and which workflow', async () => {
    const result = await attestToken(GITHUB, token())
    assert.deepEqual([result.binding, result.freshness], ['audience', 'nonce'])
    assert.deepEqual(result.selectors, [
      'github:repository_id:514238596',
      'github:repository:octo/bots',
      'github:owner_id:1559510',
      'github:ref:refs/heads/main',
      'github:environment:production',
      'github:job_workflow_ref:octo/bots/.github/workflows/deploy.yml@refs/heads/main',
      'github:event_name:push',
      'github:runner_environment:github-hosted',
    ])
    assert.deepEqual(result.warnings, ['the policy names no owner and no repository: any job on GitHub passes'])
  })

  test('is named by its jti, so that it is good for one use (N33)', async () => {
    const verifier = GITHUB.verifier(githubCollateral([{ name: 'x', bytes: jwks(platformKey) }]))
    const { statement } = await verifier.authenticate(token(), { now: TOKEN_NOW, expected: challenged })
    assert.equal(statement, GITHUB.claims.jti)
    await assert.rejects(attestToken(GITHUB, token({ jti: undefined })), { code: 'attestation.malformed' })
  })

  for (const aud of ['https://github.com/octo', 'https://github.com/OCTO/', 'https://ghes.example/octo']) {
    test(`with the default audience ${aud} is refused, whatever is expected (N33)`, async () => {
      for (const expected of [{ kind: 'audience', audience: aud }, { kind: 'unchecked' }] as const) {
        await assert.rejects(attestToken(GITHUB, token({ aud }), { expected }), {
          code: 'attestation.binding_mismatch',
        })
      }
    })
  }

  test('for two audiences is refused (N33)', () =>
    assert.rejects(attestToken(GITHUB, token({ aud: [GITHUB.claims.aud, 'https://other.example'] })), {
      code: 'attestation.binding_mismatch',
    }))

  for (const name of [
    'repository',
    'repository_id',
    'repository_owner',
    'repository_owner_id',
    'event_name',
    'run_id',
    'job_workflow_ref',
  ]) {
    test(`without ${name} is refused`, () =>
      assert.rejects(attestToken(GITHUB, token({ [name]: undefined })), { code: 'attestation.malformed' }))
  }
  test('whose repository is of another owner is refused', () =>
    assert.rejects(attestToken(GITHUB, token({ repository: 'octo-evil/bots' })), { code: 'attestation.inconsistent' }))

  test('of another server is accepted where that is configured, and only there', async () => {
    const issuer = 'https://ghes.example/_services/token'
    const collateral = collateralOf({ 'github/jwks.json': jwks(platformKey) })
    const verifier = githubVerifier({ collateral, issuer })
    const context = { now: TOKEN_NOW, expected: challenged }
    const { attested } = await verifier.authenticate(token({ iss: issuer }), context)
    assert.equal(attested, `github:${issuer}:514238596`)
    assert.throws(() => verifier.authenticate(token(), context), { code: 'attestation.issuer_unknown' })
  })
})

describe('the policy for jobs', () => {
  const allowed: readonly (readonly [string, JsonObject, Claims?])[] = [
    ['its owner', { owners: ['1559510'] }],
    ['its repository', { repositories: '514238596' }],
    ['its workflow', { workflows: ['octo/bots/.github/workflows/deploy.yml@refs/heads/main'] }],
    ['its ref', { refs: ['refs/heads/main'] }],
    ['its environment', { environments: ['production'] }],
    ['its runner', { runners: ['github-hosted'] }],
    ['an event that is named', { events: ['pull_request_target'] }, { event_name: 'pull_request_target' }],
  ]
  for (const [what, policy, claims] of allowed)
    test(`${what} passes`, async () => {
      await attestToken(GITHUB, token(claims), { policy })
    })

  const denied: readonly (readonly [string, JsonObject, Claims?])[] = [
    [
      'a repository of the same name with another number (N33)',
      { repositories: ['514238596'] },
      { repository_id: '999', repository_owner_id: '888' },
    ],
    ['an owner of the same name with another number (N33)', { owners: ['1559510'] }, { repository_owner_id: '888' }],
    [
      'a workflow on another branch',
      { workflows: ['octo/bots/.github/workflows/deploy.yml@refs/heads/main'] },
      { job_workflow_ref: 'octo/bots/.github/workflows/deploy.yml@refs/heads/evil' },
    ],
    ['a ref that begins alike', { refs: ['refs/heads/main'] }, { ref: 'refs/heads/main-evil' }],
    ['a job without an environment', { environments: ['production'] }, { environment: undefined }],
    ['another kind of runner', { runners: ['github-hosted'] }, { runner_environment: 'self-hosted' }],
    ['an event that is not named', { events: ['push'] }, { event_name: 'schedule' }],
    ['pull_request_target by default (N33)', {}, { event_name: 'pull_request_target' }],
    ['a pull request, maybe of a fork, by default (N33)', {}, { event_name: 'pull_request', head_ref: 'evil' }],
    ['what follows a pull request, by default (N33)', {}, { event_name: 'workflow_run' }],
    ['what a role below write may do, by default (N33)', {}, { event_name: 'label' }],
    ['an event that is not known, by default (N33)', {}, { event_name: 'event_of_the_future' }],
    ['a comment, by default (N33)', {}, { event_name: 'issue_comment' }],
  ]
  for (const [what, policy, claims] of denied) {
    test(`${what} is refused`, () =>
      assert.rejects(attestToken(GITHUB, token(claims), { policy }), { code: 'attestation.not_allowed' }))
  }

  const malformed: readonly (readonly [string, JsonObject])[] = [
    ['names of repositories', { repositories: ['octo/bots'] }],
    ['names of owners', { owners: ['octo'] }],
    ['a subject', { sub: 'repo:octo/bots:*' }],
    ['an actor', { actors: ['alice'] }],
    ['a workflow without a ref', { workflows: ['octo/bots/.github/workflows/deploy.yml'] }],
    ['a branch instead of a ref', { refs: ['main'] }],
  ]
  for (const [what, policy] of malformed) {
    test(`${what} in it are refused (N33)`, () =>
      assert.throws(() => attestToken(GITHUB, token(), { policy }), { code: 'attestation.policy_malformed' }))
  }
})
