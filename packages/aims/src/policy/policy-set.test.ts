import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createCedarEngine } from '../authorization/cedar-engine.ts'
import { AimsError } from '../base/errors.ts'
import { diffPolicySets } from './diff.ts'
import { findPolicyProblems, type PolicyFile, parsePolicySet } from './policy-set.ts'
import { formatPolicyProblem } from './problem.ts'

const file = (text: string, name = 'agents.cedar'): PolicyFile => ({ name, text })
const PERMIT = 'permit(principal, action, resource);'

test('policies are read with id, place, effect and annotations, and an engine takes the set', async () => {
  const text = `// Who may write: permit(principal, action, resource);
@id("events/write")
@owner("calendar team")
permit(principal in AgentGroup::"spiffe://example.com/agent", action == Action::"POST", resource)
when { context.path like "/a;b\\"//*" }; forbid(principal, action, resource) when { principal.method == "mtls" };

`
  const set = await parsePolicySet([file(text)])
  assert.deepEqual(
    set.policies.map(({ id, file, line, effect }) => ({ id, file, line, effect })),
    [
      { id: 'events/write', file: 'agents.cedar', line: 2, effect: 'permit' },
      { id: 'agents.cedar:5', file: 'agents.cedar', line: 5, effect: 'forbid' },
    ],
  )
  assert.deepEqual({ ...set.policies[0]?.annotations }, { id: 'events/write', owner: 'calendar team' })
  assert.ok(set.policies.every((policy) => text.includes(policy.text)))
  assert.equal((await createCedarEngine(set)).version, set.version)
})

test('a set without policies is valid', async () => {
  assert.deepEqual((await parsePolicySet([])).policies, [])
  assert.deepEqual((await parsePolicySet([file('// nothing yet\n')])).policies, [])
})

// One row per way not to load: the text, the code, and where the message points.
for (const [what, text, code, place] of [
  ['no Cedar', 'allow everyone', 'policy.invalid', '1:7'],
  ['a missing semicolon', 'permit(principal, action, resource)', 'policy.invalid', '1:36'],
  ['a missing parenthesis', `${PERMIT}\npermit(principal, action, resource;`, 'policy.invalid', '2:35'],
  ['an unknown attribute', 'permit(principal, action, resource)\nwhen { principal.admin };', 'policy.invalid', '2:8'],
  [
    'a problem behind letters of several bytes',
    '// é€😀\n@note("é😀") permit(principal, action, resource) when { principal.admin };',
    'policy.invalid',
    '2:57',
  ],
  [
    'an optional attribute without has',
    'permit(principal, action, resource) when { context.user == User::"x" };',
    'policy.invalid',
    '1:44',
  ],
  ['an unknown action', 'permit(principal, action == Action::"TRACE", resource);', 'policy.invalid', '1:29'],
  ['a policy that can never apply', 'forbid(principal, action, resource) when { false };', 'policy.invalid', '1:1'],
  ['a template', 'permit(principal == ?principal, action, resource);', 'policy.invalid', '1:21'],
  [
    'a string without end',
    'permit(principal, action, resource) when { principal.id == "x };',
    'policy.invalid',
    '1:60',
  ],
  ['two @id on one policy', `@id("a") @id("b") ${PERMIT}`, 'policy.invalid', '1:10'],
  ['two semicolons', `${PERMIT};`, 'policy.invalid', '1:37'],
  [
    'nesting without end',
    `permit(principal, action, resource) when { ${'('.repeat(70)}true${')'.repeat(70)} };`,
    'policy.invalid',
    '1:1',
  ],
  [
    'a very long policy',
    `permit(principal, action, resource) when { ${'true && '.repeat(5000)}true };`,
    'policy.invalid',
    '1:1',
  ],
  ['an empty @id', `@id("") ${PERMIT}`, 'policy.invalid_id', '1:1'],
  ['an @id with a line break', `@id("a\\nb") ${PERMIT}`, 'policy.invalid_id', '1:1'],
  ["an @id of an object's own", `@id("__proto__") ${PERMIT}`, 'policy.invalid_id', '1:1'],
  ['an @id of 129 characters', `@id("${'a'.repeat(129)}") ${PERMIT}`, 'policy.invalid_id', '1:1'],
  ['the same @id twice', `@id("a") ${PERMIT}\n@id("a") ${PERMIT}`, 'policy.duplicate_id', '2:1'],
  ['an @id that is the place of another', `${PERMIT}\n@id("agents.cedar:1") ${PERMIT}`, 'policy.duplicate_id', '2:1'],
  ['two policies without @id on one line', `${PERMIT}${PERMIT}`, 'policy.duplicate_id', '1:37'],
] as const) {
  test(`a file with ${what} does not load, and the message says where`, async () => {
    await assert.rejects(parsePolicySet([file(text)]), (error) => {
      assert.ok(AimsError.is(error))
      assert.equal(error.code, code)
      assert.equal(error.message.match(/^agents\.cedar:(\d+:\d+): /)?.[1], place, error.message)
      assert.doesNotMatch(error.message, /\n/)
      return true
    })
  })
}

test('all problems of all files are listed, in the order of files', async () => {
  const files = [
    file('x;', 'b.cedar'),
    file(`y;\n@id("a") ${PERMIT}`, 'a.cedar'),
    file(`@id("a") ${PERMIT}`, 'c.cedar'),
  ]
  const problems = await findPolicyProblems(files)
  assert.deepEqual(
    problems.map((problem) => formatPolicyProblem(problem).split(': ')[0]),
    ['a.cedar:1:2', 'b.cedar:1:2', 'c.cedar:1:1'],
  )
  await assert.rejects(parsePolicySet(files), { code: 'policy.invalid', message: /\(and 2 more\)$/ })
})

for (const [what, files] of [
  ['1001 files', Array.from({ length: 1001 }, (_, i) => file('', `${i}.cedar`))],
  ['a file of more than a million characters', [file(' '.repeat(1024 * 1024 + 1))]],
] as const) {
  test(`${what} are too much`, async () => {
    await assert.rejects(parsePolicySet(files), { code: 'policy.too_large' })
  })
}

test('the version does not depend on the order of files and changes with every byte', async () => {
  const a = file(PERMIT, 'a.cedar')
  const b = file('// b', 'b.cedar')
  const version = async (...files: readonly PolicyFile[]): Promise<string> => (await parsePolicySet(files)).version
  const first = await version(a, b)
  assert.match(first, /^sha256:[A-Za-z0-9_-]{43}$/)
  assert.equal(await version(b, a), first)
  for (const files of [
    [a],
    [b],
    [a, file('// b ', 'b.cedar')],
    [a, file('// b', 'c.cedar')],
    [file(`${PERMIT}b.cedar// b`.slice(0, PERMIT.length), 'a.cedar'), file('', 'b.cedar// b')],
    [file(`${PERMIT}\n// b`, 'a.cedar')],
  ]) {
    assert.notEqual(await version(...files), first)
  }
})

test('two files with one name are misuse', async () => {
  await assert.rejects(parsePolicySet([file('', 'a.cedar'), file('', 'a.cedar')]), TypeError)
})

test('a difference is told by id', async () => {
  const before = await parsePolicySet([file(`@id("a") ${PERMIT} @id("b") ${PERMIT} @id("c") ${PERMIT}`)])
  const after = await parsePolicySet([
    file(`@id("d") ${PERMIT}\n@id("c") ${PERMIT}\n@id("b") forbid(principal, action, resource);`),
  ])
  assert.deepEqual(diffPolicySets(before, after), { added: ['d'], removed: ['a'], changed: ['b'] })
  assert.deepEqual(diffPolicySets(after, after), { added: [], removed: [], changed: [] })
})

test('any text is a set whose policies are all in it, or is refused with a code of the layer', async () => {
  const part = fc.constantFrom(PERMIT, '@id("a") ', ';', '"', '//', '\n', '\\', ' ', '(', '}', 'when { true }', '"a;b"')
  const text = fc.oneof(
    fc.string(),
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
  )
  await fc.assert(
    fc.asyncProperty(text, async (content) => {
      try {
        const set = await parsePolicySet([file(content)])
        let at = 0
        for (const policy of set.policies) {
          at = content.indexOf(policy.text, at)
          assert.notEqual(at, -1)
        }
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('policy.'), String(error))
      }
    }),
    { numRuns: 300 },
  )
})
