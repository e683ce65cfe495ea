import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError, type AimsErrorCode } from 'aims/base'
import { exitCodeFor } from './exit-codes.ts'

// One row per kind of end.
for (const [code, exit] of [
  ['operation.config_invalid', 2],
  ['operation.config_unreadable', 2],
  ['provisioning.unknown_member', 2],
  ['operation.not_permitted', 1],
  ['attestation.debug', 1],
  ['attestation.policy_malformed', 2],
  ['credential.expired', 1],
  ['provisioning.not_entitled', 1],
  ['provisioning.subject_taken', 1],
  ['provisioning.no_identity', 1],
  ['provisioning.no_endpoint', 2],
  ['provisioning.endpoint_unavailable', 3],
  ['provisioning.timeout', 3],
  ['policy.invalid', 1],
  ['policy.unreadable', 3],
  ['operation.port_busy', 3],
  ['operation.data_directory_unwritable', 3],
  ['operation.key_file_mode', 3],
  ['operation.clock_went_back', 3],
  ['operation.socket_foreign', 3],
  ['storage.newer_version', 3],
  ['storage.locked', 3],
  ['operation.server_unreachable', 3],
  ['audit.unavailable', 3],
] as const satisfies readonly (readonly [AimsErrorCode, number])[]) {
  test(`${code} ends a program with ${exit}`, () => {
    assert.equal(exitCodeFor(new AimsError(code, 'x')), exit)
  })
}

test('what has no code could not be done', () => {
  assert.equal(exitCodeFor(new Error('x')), 3)
  assert.equal(exitCodeFor(undefined), 3)
})
