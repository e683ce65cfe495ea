import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOf } from '../../base/check.ts'
import { ERROR_CODES } from '../../base/error-codes/index.ts'
import { AUTHENTICATION_CAUSES, CAUSES_OF_AUTHENTICATION } from './authentication.ts'
import { CAUSES, diagnose } from './diagnose.ts'
import { CAUSES_OF_PROVISIONING, PROVISIONING_CAUSES } from './provisioning.ts'

const TABLES = { ...CAUSES_OF_AUTHENTICATION, ...CAUSES_OF_PROVISIONING }
const NAMED = Object.values(TABLES).flatMap((one) => Object.values(one).flat())
const DENIALS = ['no-policy', 'forbidden', 'policy-error', 'beyond-rights', 'invalid-request']

test('every cause that a code has exists, and every cause is one of a code', () => {
  assert.deepEqual([...new Set(NAMED)].sort(), Object.keys(CAUSES).sort())
})

test('every code of the tables is one of AIMS, or a denial', () => {
  assert.deepEqual(
    Object.keys(TABLES).filter((code) => !Object.hasOwn(ERROR_CODES, code) && !DENIALS.includes(code)),
    [],
  )
})

test('no cause, and no code, is in two tables', () => {
  for (const [a, b] of [
    [AUTHENTICATION_CAUSES, PROVISIONING_CAUSES],
    [CAUSES_OF_AUTHENTICATION, CAUSES_OF_PROVISIONING],
  ] as const) {
    assert.deepEqual(
      Object.keys(a).filter((id) => Object.hasOwn(b, id)),
      [],
    )
  }
})

test('a cause says what is wrong and what to change', () => {
  for (const [id, { because, fix }] of Object.entries(CAUSES)) {
    assert.match(id, /^[a-z]+(?:-[a-z]+)*$/)
    for (const text of [because, fix]) assert.match(text, /^[^A-Z].*[^.]$/s, id)
  }
})

// One row per way in which reasons and checks lead to causes.
for (const [title, reasons, difference, ids] of [
  ['a difference that tells causes apart', ['proof.target_mismatch'], 'prefix-removed', ['proxy-strips-prefix']],
  ['a difference that is not known', ['proof.target_mismatch'], 'new', ['proof-for-another-path']],
  ['a difference named like something of objects', ['proof.replayed'], 'constructor', ['proof-used-twice']],
  ['no difference', ['proof.target_mismatch'], undefined, ['proof-for-another-path']],
  ['several causes, likeliest first', ['proof.expired'], 'late', ['proof-late', 'caller-clock-behind']],
  ['a code without a cause of its own', ['x509.path_length'], undefined, ['x509.path_length']],
  ['the first reason only', ['no-policy', 'proof.expired'], undefined, ['no-policy-allows']],
  ['a reason of somebody else', ['whatever'], undefined, []],
  ['a reason named like something of objects', ['constructor'], undefined, []],
  ['no reason', [], undefined, []],
] as const) {
  test(`${title}: ${ids.join(', ') || 'no cause'}`, () => {
    const failed = checkOf('a', 'failed', difference === undefined ? {} : { difference })
    const found = diagnose({ reasons, checks: [checkOf('b', 'passed'), failed] })
    assert.deepEqual(
      found.map(({ id }) => id),
      ids,
    )
  })
}
