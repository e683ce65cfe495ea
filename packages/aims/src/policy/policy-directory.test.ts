import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadPolicyDirectory, readPolicyDirectory } from './policy-directory.ts'

const PERMIT = 'permit(principal, action, resource);'

function directory(t: TestContext, files: { readonly [name: string]: string | Buffer }): string {
  const path = mkdtempSync(join(tmpdir(), 'aims-policy-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(join(path, 'set'))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, 'set', name), content)
  return join(path, 'set')
}

test('the cedar files of a directory are one set, sorted by name; the rest plays no part', async (t) => {
  const path = directory(t, { 'b.cedar': PERMIT, 'a.cedar': PERMIT, 'README.md': 'x', 'c.cedar.bak': 'x' })
  mkdirSync(join(path, 'drafts'))
  writeFileSync(join(path, 'drafts', 'd.cedar'), 'x')
  const { policies } = await loadPolicyDirectory(path)
  assert.deepEqual(
    policies.map(({ id }) => id),
    ['a.cedar:1', 'b.cedar:1'],
  )
})

test('an empty directory is the set without policies', async (t) => {
  assert.deepEqual((await loadPolicyDirectory(directory(t, {}))).policies, [])
})

test('links are followed inside the directory, as in a mounted ConfigMap', async (t) => {
  const path = directory(t, {})
  mkdirSync(join(path, '..2026_01_01'))
  writeFileSync(join(path, '..2026_01_01', 'a.cedar'), PERMIT)
  symlinkSync('..2026_01_01', join(path, '..data'))
  symlinkSync('..data/a.cedar', join(path, 'a.cedar'))
  assert.equal((await loadPolicyDirectory(path)).policies.length, 1)
})

// One row per directory that does not load.
for (const [what, code, files, prepare] of [
  ['a policy that does not parse', 'policy.invalid', { 'a.cedar': 'x' }],
  ['bytes that are not UTF-8', 'policy.not_text', { 'a.cedar': Buffer.from([0x2f, 0x2f, 0xff]) }],
  ['a byte order mark', 'policy.invalid', { 'a.cedar': `\ufeff${PERMIT}` }],
  ['a file of more than a mebibyte', 'policy.too_large', { 'a.cedar': ' '.repeat(1024 * 1024 + 1) }],
  ['a hidden policy file', 'policy.unreadable', { '._a.cedar': PERMIT }],
  ['a name with a space', 'policy.unreadable', { 'a b.cedar': PERMIT }],
  ['an ending in upper case', 'policy.unreadable', { 'a.CEDAR': PERMIT }],
  ['a directory named like a file', 'policy.unreadable', {}, (path: string) => mkdirSync(join(path, 'a.cedar'))],
  [
    'a link out of it',
    'policy.unreadable',
    {},
    (path: string) => {
      writeFileSync(join(path, '../outside.cedar'), PERMIT)
      symlinkSync('../outside.cedar', join(path, 'a.cedar'))
    },
  ],
  [
    'a link to a neighbour whose name starts alike',
    'policy.unreadable',
    {},
    (path: string) => {
      mkdirSync(`${path}-other`)
      writeFileSync(`${path}-other/a.cedar`, PERMIT)
      symlinkSync(`${path}-other/a.cedar`, join(path, 'a.cedar'))
    },
  ],
  ['a link to nothing', 'policy.unreadable', {}, (path: string) => symlinkSync('nothing', join(path, 'a.cedar'))],
  ['a link to itself', 'policy.unreadable', {}, (path: string) => symlinkSync('a.cedar', join(path, 'a.cedar'))],
  ['a named pipe', 'policy.unreadable', {}, (path: string) => execFileSync('mkfifo', [join(path, 'a.cedar')])],
] as const satisfies readonly (readonly [
  string,
  string,
  { [name: string]: string | Buffer },
  ((path: string) => void)?,
])[]) {
  test(`a directory with ${what} does not load`, async (t) => {
    const path = directory(t, files)
    prepare?.(path)
    await assert.rejects(loadPolicyDirectory(path), { code })
  })
}

test('a directory that is not there, or is a file, does not load', async (t) => {
  const path = directory(t, { 'a.cedar': PERMIT })
  await assert.rejects(readPolicyDirectory(join(path, 'missing')), { code: 'policy.unreadable' })
  await assert.rejects(readPolicyDirectory(join(path, 'a.cedar')), { code: 'policy.unreadable' })
})
