// What people type wrongly, and whether the answer says what to change; and the small commands around a log.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WorkloadKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import { aims } from '../../../test/support/cli.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-commands-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const AGENT = ['--agent', 'spiffe://example.com/agent/calendar-bot']
const SERVICE = ['--service', 'spiffe://example.com/service/events-api']

function policies(name: string, text: string): string {
  const directory = join(scratch, name)
  mkdirSync(directory)
  if (text !== '') writeFileSync(join(directory, 'a.cedar'), text)
  return directory
}

const GOOD = policies('good', 'permit(principal, action, resource);')
const BAD = policies(
  'bad',
  'permit(principal, action == Action::"POTS", resource); permit(principal, action, resource) when { context.pat == "/" };',
)
const EMPTY = policies('empty', '')

// One row per mistake: the command line, the exit code, the code, and what the message or hint says to change.
for (const [why, args, exit, code, says] of [
  ['an unknown layer', ['compliance', 'requirements', '--layer', 'nope'], 2, 'operation.usage', /identifiers, /],
  ['an unknown status', ['compliance', 'requirements', '--status', 'done'], 2, 'operation.usage', /implemented, /],
  ['a code misremembered', ['explain', 'proof.wrong_audience'], 2, 'operation.usage', /proof\.audience_mismatch/],
  ['a code of nothing', ['explain', 'no.such'], 2, 'operation.usage', /no such code/],
  [
    'an agent without scheme',
    ['decide', '--json', '--policies', GOOD, '--agent', 'calendar-bot', ...SERVICE, '--path', '/'],
    2,
    'operation.usage',
    /--agent takes a SPIFFE ID/,
  ],
  [
    'a method in lower case',
    ['decide', '--json', '--policies', GOOD, ...AGENT, ...SERVICE, '--method', 'get', '--path', '/'],
    1,
    'authorization.unknown_method',
    /upper case/,
  ],
  ['no policy directory', ['policy', 'validate', join(scratch, 'none')], 3, 'policy.unreadable', /none.*ENOENT/],
  [
    'a misspelt policy',
    ['policy', 'validate', BAD],
    1,
    'policy.invalid',
    /a\.cedar:1:\d+: unrecognized action .* did you mean/,
  ],
  ['no log', ['audit', 'list', '--log', join(scratch, 'none')], 3, 'operation.input_unreadable', /none: ENOENT/],
  ['no agent there', ['svid', 'fetch', '--socket', 'tcp:nowhere'], 2, 'provisioning.invalid_endpoint', /unix:\/\/\//],
] as const) {
  test(`${why}: the answer says what to change`, async () => {
    const { exit: ended, results } = await aims(...args)
    const [result] = results
    assert.equal(result?.code, code)
    assert.equal(ended, exit)
    assert.match(`${result?.message} ${result?.hint ?? ''}`, says)
  })
}

test('every problem of a policy set is listed, and a set without policies gets a warning', async () => {
  const bad = await aims('policy', 'validate', BAD)
  const problems = String(bad.results[0]?.problems)
  assert.match(problems, /POTS/)
  assert.match(problems, /`pat`/)
  const empty = await aims('policy', 'validate', EMPTY)
  assert.equal(empty.exit, 0)
  assert.deepEqual(empty.results[0]?.warnings, ['there are no policies here: every decision is a deny'])
})

test('a log is exported, and the folder is verified without the database', async () => {
  const log = AuditLog.open({
    path: join(scratch, 'log.sqlite'),
    origin: 'example.com/log',
    signer: WorkloadKey.generate('Ed25519'),
  })
  const event = {
    resource: { type: 'service', id: 'x' },
    action: 'GET',
    decision: 'deny',
    reasons: ['no-policy'],
  } as const
  for (const id of ['first', 'second']) {
    await log.append({
      ...event,
      type: 'authorization.decided',
      agent: { id: 'spiffe://example.com/a' },
      correlationId: id,
    })
  }
  const { vkey } = log
  log.close()

  const folder = join(scratch, 'exported')
  const exported = await aims('audit', 'export', folder, '--log', scratch)
  assert.deepEqual(exported, { exit: 0, results: [{ ok: true, folder, size: 2, vkey }] })
  const again = await aims('audit', 'export', folder, '--log', scratch)
  assert.equal(again.exit, 2)

  const verified = await aims('audit', 'verify', '--log', folder, '--vkey', vkey)
  assert.equal(verified.exit, 0)
  assert.equal(verified.results[0]?.size, 2)

  const explained = await aims('explain', 'second', '--log', scratch)
  assert.equal(explained.exit, 0)
  assert.match(JSON.stringify(explained.results[0]?.records), /"reason":"no-policy"/)
})

test('the log of the environment is the default', async (t) => {
  process.env.AIMS_DATA_DIRECTORY = join(scratch, 'elsewhere')
  t.after(() => delete process.env.AIMS_DATA_DIRECTORY)
  const { exit, results } = await aims('audit', 'list', '--limit', '1')
  assert.equal(exit, 3)
  assert.match(String(results[0]?.message), /elsewhere/)
})
