// Entries from files: what `aims entry plan` and `aims entry apply` do with a server that runs.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { loadConfig, type RunningServer, readEntryFile, startServer } from 'aims-server'
import fc from 'fast-check'
import { aims, type Line } from '../../../test/support/cli.ts'
import { run } from './cli.ts'
import { output } from './output.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-entry-files-'))
let server: RunningServer
before(async () => {
  const overrides = { trustDomain: 'example.com', dataDirectory: join(scratch, 'data'), 'listen.port': 0 }
  server = await startServer(await loadConfig({ env: {}, overrides }))
  process.env.AIMS_API_SOCKET = server.socketPath
})
after(async () => {
  delete process.env.AIMS_API_SOCKET
  await server.close()
  rmSync(scratch, { recursive: true })
})

function put(name: string, text: string): string {
  const path = join(scratch, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  return path
}

const entry = async (...args: readonly string[]): Promise<{ readonly exit: number; readonly result: Line }> => {
  const { exit, results } = await aims('entry', ...args)
  return { exit, result: results[0] ?? {} }
}

const FLEET = `
spiffeId: spiffe://example.com/agent/team-a/one
selectors: ['unix:user:one', 'docker:label:app:one']
owner: team-a
purpose: does one thing
---
- spiffeId: spiffe://example.com/team-a/two
  selectors: ['unix:user:two']
  owner: team-a
`

test('files are planned, applied, changed, and pruned only when told and in their scope', async () => {
  put('fleet/a.yaml', FLEET)
  put('fleet/below/b.json', '{"entries":[{"spiffeId":"spiffe://example.com/team-b/x","selectors":["unix:user:x"]}]}')
  put('fleet/.hidden.yaml', 'not: [an entry')
  put('fleet/README.md', 'nothing')
  const fleet = join(scratch, 'fleet')
  const plan = await entry('plan', fleet)
  assert.equal(plan.exit, 0)
  const creates = plan.result.changes as readonly Line[]
  assert.deepEqual(
    creates.map(({ action, entry: made }) => [action, (made as Line).spiffeId]),
    [
      ['create', 'spiffe://example.com/agent/team-a/one'],
      ['create', 'spiffe://example.com/team-a/two'],
      ['create', 'spiffe://example.com/team-b/x'],
    ],
  )
  assert.equal((await entry('apply', fleet)).exit, 0)
  const again = await entry('plan', fleet)
  assert.deepEqual([again.result.changes, again.result.unchanged], [[], 3])

  const changed = put('less.yaml', FLEET.slice(0, FLEET.indexOf('---')).replace('one thing', 'another thing'))
  const kept = await entry('plan', changed)
  assert.deepEqual(
    (kept.result.changes as Line[]).map(({ action, members }) => [action, members]),
    [['update', ['purpose']]],
  )
  const saved = join(scratch, 'plan.json')
  const pruned = await entry('plan', changed, '--prune', '--scope', 'owner=team-a', '--out', saved)
  assert.deepEqual(
    (pruned.result.changes as Line[]).map(({ action }) => action),
    ['update', 'delete'],
  )
  // What was reviewed is what is applied, and a second time it is a conflict.
  assert.equal((await entry('apply', '--plan', saved)).exit, 0)
  const twice = await entry('apply', '--plan', saved)
  assert.deepEqual([twice.exit, twice.result.code], [1, 'provisioning.revision_conflict'])
  const list = (await entry('list')).result.entries as Line[]
  assert.deepEqual(list.map(({ spiffeId }) => spiffeId).sort(), [
    'spiffe://example.com/agent/team-a/one',
    'spiffe://example.com/team-b/x',
  ])

  const [retired] = (await entry('list', '--retired')).result.retired as Line[]
  assert.equal(retired?.spiffeId, 'spiffe://example.com/team-a/two')
  const shown = await entry('show', '--retired', String(retired?.spiffeId))
  assert.equal((shown.result.entry as Line).owner, 'team-a')
  const back = await entry('plan', join(scratch, 'fleet'))
  assert.deepEqual(
    (back.result.problems as Line[]).map(({ where, code }) => [String(where).slice(fleet.length), code]),
    [['/a.yaml:7:3', 'provisioning.subject_retired']],
  )
  assert.equal((await entry('apply', fleet, '--reuse-retired')).exit, 0)
})

test('an entry below an agent with sub-agents is a problem, in whatever order they stand, and is not applied', async () => {
  const parent = {
    spiffeId: 'spiffe://example.com/spawner/a',
    selectors: ['unix:user:spawner'],
    subAgents: { maxDepth: 1, max: 5, maxTtl: 60 },
  }
  const child = { spiffeId: 'spiffe://example.com/spawner/a/sub/b', selectors: ['unix:user:child'] }
  for (const entries of [
    [parent, child],
    [child, parent],
  ]) {
    const { exit, result } = await entry('plan', put('spawner.json', JSON.stringify(entries)))
    const codes = (result.problems as Line[]).map(({ code }) => code)
    assert.deepEqual([exit, codes], [1, ['provisioning.subject_taken']])
    const changes = entries.map((one) => ({ action: 'create', entry: one }))
    const forged = await entry('apply', '--plan', put('forged.json', JSON.stringify({ changes })))
    assert.deepEqual([forged.exit, forged.result.code], [1, 'provisioning.subject_taken'])
  }
})

test('the plan of a fleet is applied as it was reviewed, however long it is', async () => {
  const fleet = Array.from({ length: 1000 }, (_, i) => ({
    spiffeId: `spiffe://example.com/many/${i}`,
    selectors: [`unix:user:many-${i}`, 'unix:group:many'],
    owner: 'many',
  }))
  const saved = join(scratch, 'many-plan.json')
  const plan = await entry('plan', put('many.json', JSON.stringify(fleet)), '--out', saved)
  assert.equal(plan.exit, 0)
  const { exit, result } = await entry('apply', '--plan', saved)
  assert.deepEqual([exit, (result.applied as Line[] | undefined)?.length], [0, 1000])
})

test('a plan in plain words', async () => {
  const words: string[] = []
  const write = output.write
  output.write = (text) => void words.push(text)
  try {
    const file = put(
      'words.yaml',
      'spiffeId: spiffe://example.com/w/one\nselectors: ["unix:gid:5"]\n---\nspiffeId: spiffe://example.com/team-b/x\nselectors: ["unix:user:x"]\nx509Ttl: 60\n',
    )
    assert.equal(await run(['entry', 'plan', file]), 0)
  } finally {
    output.write = write
    process.exitCode = 0
  }
  assert.deepEqual(words.join('').split('\n'), [
    'create  spiffe://example.com/w/one  unix:gid:5',
    'update  spiffe://example.com/team-b/x  x509Ttl becomes 60',
    'warning: spiffe://example.com/w/one: its selectors tell a class of workloads: every one of them gets this identity [class-selectors]',
    '1 to create, 1 to update, 0 to delete, 0 unchanged',
    '',
  ])
})

test('a plan in plain words hides nothing of what an entry will be allowed', async () => {
  const words: string[] = []
  const write = output.write
  output.write = (text) => void words.push(text)
  try {
    const powers =
      'admin: true\ndnsNames: [api.example.com]\nfederatesWith: [partner.example]\nx509Ttl: 86400\nsubAgents: {maxDepth: 1, max: 10, maxTtl: 60}'
    const file = put('powers.yaml', `spiffeId: spiffe://example.com/w/root\nselectors: ["unix:user:root"]\n${powers}\n`)
    assert.equal(await run(['entry', 'plan', file]), 0, words.join(''))
  } finally {
    output.write = write
    process.exitCode = 0
  }
  const [line = ''] = words.join('').split('\n')
  for (const power of [
    'admin true',
    'dnsNames ["api.example.com"]',
    'federatesWith ["partner.example"]',
    'x509Ttl 86400',
    'subAgents {',
  ]) {
    assert.ok(line.includes(power), line)
  }
})

const GOOD = 'spiffeId: spiffe://example.com/p/x\nselectors: ["unix:user:p"]\n'

// One row per mistake in a file: the text, the place, the code. The exit code is 1: the plan cannot be applied.
for (const [what, text, place, code] of [
  ['a misspelt member', `${GOOD}onwer: me\n`, '3:1', 'provisioning.unknown_member'],
  ['a lifetime too long', `${GOOD}x509Ttl: 999999\n`, '3:1', 'provisioning.ttl_out_of_range'],
  ['a lifetime in words', `${GOOD}x509Ttl: 1h\n`, '3:1', 'provisioning.malformed_entry'],
  ['no selectors', 'spiffeId: spiffe://example.com/p/x\n', '1:1', 'provisioning.missing_member'],
  ['another trust domain', GOOD.replace('.com', '.org'), '1:1', 'provisioning.invalid_subject'],
  ['one SPIFFE ID twice', `${GOOD}---\n${GOOD}`, '4:1', 'provisioning.subject_taken'],
  ['an agent without purpose', `${GOOD.replace('/p/', '/agent/')}owner: me\n`, '1:1', 'provisioning.purpose_missing'],
] as const) {
  test(`${what} is a problem with its file and line, and nothing is applied`, async () => {
    const file = put('wrong.yaml', text)
    for (const verb of ['plan', 'apply']) {
      const { exit, result } = await entry(verb, file)
      assert.equal(exit, 1)
      assert.deepEqual(
        (result.problems as Line[]).map((one) => [one.where, one.code]),
        [[`${file}:${place}`, code]],
      )
    }
  })
}

// One row per file that is none, or command line that is not one: exit code 2 before the server is asked.
for (const [what, text, args, says] of [
  ['a key twice', `${GOOD}owner: a\nowner: b\n`, [], /:4:1: /],
  ['an alias', `${GOOD}owner: &a x\nhint: *a\n`, [], /:3:\d+: anchors/],
  ['a tag', `${GOOD}owner: !!str x\n`, [], /:3:\d+: tags/],
  [
    'a document with nothing in it',
    `${GOOD}---\n---\n${GOOD}`,
    [],
    /:3:4: .*nothing here: take the extra --- or - out/,
  ],
  ['a list of texts', '- x\n', [], /:1:3: an entry is a map/],
  ['entries and more', 'entries: []\nowner: x\n', [], /:1:1: beside entries/],
  ['entries that are a map', 'entries: {}\n', [], /:1:1: entries is a list/],
  ['a number that JSON has not', `${GOOD}x509Ttl: .nan\n`, [], /:1:1: a value is none of JSON/],
  ['broken JSON', '{"spiffeId": ', [], /:1:14: /],
  ['--prune without a scope', GOOD, ['--prune'], /--scope/],
  ['--scope without --prune', GOOD, ['--scope', '/a/'], /--prune/],
  ['a scope without its slash', GOOD, ['--prune', '--scope', '/a'], /slash at both ends/],
  ['two prefixes', GOOD, ['--prune', '--scope', '/a/', '--scope', '/b/'], /one ID prefix/],
] as const) {
  test(`${what}: the command says what to change and asks no server`, async () => {
    const { exit, result } = await entry('plan', put('none.yaml', text), ...args)
    assert.match(String(result.message), says)
    assert.equal(exit, 2)
  })
}

test('no files, no plan', async () => {
  assert.equal((await entry('apply')).exit, 2)
  mkdirSync(join(scratch, 'empty'), { recursive: true })
  assert.equal((await entry('plan', join(scratch, 'empty'))).exit, 2)
  assert.equal((await entry('plan', join(scratch, 'missing'))).exit, 3)
})

test('any text is entries with a place, or is refused with the place', async () => {
  const line = fc.oneof(
    fc.constantFrom(
      'spiffeId: x',
      '- a: 1',
      '---',
      'entries:',
      '  - b: [1, 2',
      '{"a": {}}',
      '? x',
      'a: *b',
      '\t',
      '__proto__: 1',
    ),
    fc.string({ maxLength: 12 }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (lines) => {
      try {
        for (const { where } of await readEntryFile(lines.join('\n'), 'f')) assert.match(where, /^f:\d+:\d+$/)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'provisioning.malformed_file')
        assert.match((error as Error).message, /^f:\d+:\d+: /)
      }
    }),
  )
})
