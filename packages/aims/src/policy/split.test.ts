import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitPolicies } from './split.ts'

const cedar: typeof import('@cedar-policy/cedar-wasm/nodejs') = createRequire(import.meta.url)(
  '@cedar-policy/cedar-wasm/nodejs',
)

test('what Cedar reads as a policy set is cut where Cedar cuts it', () => {
  const pieces = [
    'permit(principal, action, resource);',
    'forbid(principal == A::"x;//\\"y", action, resource);',
    '@note("a;\\\\") permit(principal, action, resource) // ; "\n when { true };',
    '// permit(principal, action, resource);\n',
    '// "\r\n',
    ' \t\n',
  ]
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 9 }), (parts) => {
      const file = parts.join('')
      const answer = cedar.policySetTextToParts(file)
      assert.ok(answer.type === 'success')
      // Cedar sorts by id as text; here there are fewer than ten.
      assert.deepEqual(
        splitPolicies(file).map(({ text }) => text),
        answer.policies,
      )
    }),
  )
})

test('what follows the last semicolon is not lost', () => {
  for (const [file, last] of [
    ['permit(principal, action, resource); forbid', 'forbid'],
    ['permit(principal, action, resource); ;', ';'],
    ['a "b', 'a "b'],
    ['a "b\\', 'a "b\\'],
    ['// only a comment', undefined],
    ['', undefined],
  ] as const) {
    assert.equal(splitPolicies(file).at(-1)?.text, last)
  }
})

test('every character is in a statement, a comment or white space', () => {
  fc.assert(
    fc.property(fc.string(), (file) => {
      let at = 0
      let between = ''
      for (const { text, start } of splitPolicies(file)) {
        between += `${file.slice(at, start)}\n`
        assert.equal(file.slice(start, start + text.length), text)
        at = start + text.length
      }
      assert.equal((between + file.slice(at)).replace(/\/\/[^\n\r]*|\p{White_Space}/gu, ''), '')
    }),
  )
})
