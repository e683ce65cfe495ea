import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import type { AuthenticationMethod } from './principal.ts'
import { problemFor } from './problem.ts'

const DEFAULT: readonly AuthenticationMethod[] = ['wit+wpt', 'mtls']

const ANSWERS: readonly (readonly [AimsErrorCode, number, string, (readonly AuthenticationMethod[])?])[] = [
  ['authentication.missing', 401, 'authentication.missing'],
  ['authentication.missing', 403, 'authentication.missing', ['mtls']],
  ['authentication.missing_proof', 401, 'authentication.refused'],
  // [authentication.wpt.21]
  ['proof.expired', 401, 'authentication.refused'],
  ['proof.invalid_signature', 401, 'authentication.refused'],
  ['proof.replayed', 401, 'authentication.refused'],
  ['proof.replay_store_full', 503, 'authentication.unavailable'],
  ['proof.replay_store_unavailable', 503, 'authentication.unavailable'],
  ['storage.busy', 503, 'authentication.unavailable'],
  ['audit.unavailable', 503, 'authentication.unavailable'],
  ['operation.server_unreachable', 503, 'authentication.unavailable'],
  ['operation.not_permitted', 503, 'authentication.unavailable', ['mtls']],
  // [credentials.wit.21]
  ['credential.expired', 400, 'authentication.refused'],
  ['credential.expired', 401, 'authentication.refused', ['jwt-svid']],
  ['authentication.mixed_profiles', 400, 'authentication.refused'],
  ['authentication.duplicate_field', 400, 'authentication.refused'],
  ['authentication.malformed_field', 400, 'authentication.refused'],
  ['authentication.peer_unexpected', 403, 'authentication.refused'],
  ['authentication.no_client_certificate', 403, 'authentication.refused', ['mtls']],
  ['x509.expired', 403, 'authentication.refused', ['mtls']],
  ['authentication.body_read_before', 500, 'internal'],
  ['authentication.body_too_large', 413, 'authentication.body_too_large'],
]

for (const [code, status, told, methods = DEFAULT] of ANSWERS) {
  test(`${code} is answered with ${status} where ${methods.join(' and ')} are accepted`, () => {
    const problem = problemFor(new AimsError(code, 'a detail that stays inside'), 'request-1', methods)
    assert.equal(problem.status, status)
    const body = JSON.parse(problem.body)
    assert.deepEqual({ ...body, title: '' }, { type: 'about:blank', title: '', status, code: told, id: 'request-1' })
    assert.equal(problem.headers['content-type'], 'application/problem+json')
    assert.equal('www-authenticate' in problem.headers, status === 401)
  })
}

// [authentication.profile.21] [authentication.wpt.21]
test('E18: the challenge names schemes and nothing else, and no two refusals of proofs can be told apart', () => {
  const problems = (['proof.expired', 'proof.replayed', 'proof.wit_mismatch', 'proof.invalid_signature'] as const).map(
    (code) => problemFor(new AimsError(code, code), 'id', DEFAULT),
  )
  for (const problem of problems) assert.deepEqual(problem, problems[0])
  assert.equal(problems[0]?.headers['www-authenticate'], 'WPT')
  const both = problemFor(new AimsError('authentication.missing', ''), 'id', ['wit+wpt', 'jwt-svid'])
  assert.equal(both.headers['www-authenticate'], 'WPT, Bearer')
})

test('a defect is answered with 500 and says nothing', () => {
  const problem = problemFor(new Error('secret'), 'id', DEFAULT)
  assert.equal(problem.status, 500)
  assert.equal(problem.body.includes('secret'), false)
})
