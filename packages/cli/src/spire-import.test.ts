// From SPIRE to entries: documents in the shape that spire-server prints (protobuf JSON with names as in the .proto), written
// for this test, and the files that come out, planned and applied on a server.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { JsonObject } from 'aims/base'
import { parseBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { loadConfig, startServer } from 'aims-server'
import { aims, file, type Line } from '../../../test/support/cli.ts'
import { mapSpireEntries } from './spire/map-entries.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-spire-'))
after(() => rmSync(scratch, { recursive: true }))

const id = (path: string) => ({ trust_domain: 'example.com', path })
const selector = (text: string) => {
  const colon = text.indexOf(':')
  return { type: text.slice(0, colon), value: text.slice(colon + 1) }
}

/** An entry with every member that is printed, most at its default. */
function entry(path: string, selectors: readonly string[], change: JsonObject = {}): JsonObject {
  return {
    id: `spire${path.replaceAll('/', '-')}`,
    spiffe_id: id(path),
    parent_id: id('/node/k8s'),
    selectors: selectors.map(selector),
    x509_svid_ttl: 0,
    federates_with: [],
    admin: false,
    downstream: false,
    expires_at: '0',
    dns_names: [],
    revision_number: '3',
    store_svid: false,
    jwt_svid_ttl: 0,
    hint: '',
    created_at: '1712345678',
    ...change,
  }
}

const NODE = entry('/node/k8s', ['k8s_psat:cluster:prod', 'k8s_psat:agent_ns:spire'], {
  parent_id: id('/spire/server'),
})
const AGENT = '/spire/agent/k8s_psat/prod/0f1e'
const AGENTS = {
  agents: [
    {
      id: id(AGENT),
      attestation_type: 'k8s_psat',
      x509svid_serial_number: '1234',
      x509svid_expires_at: '1712345678',
      selectors: ['k8s_psat:cluster:prod', 'k8s_psat:agent_node_name:n1'].map(selector),
      banned: false,
      can_reattest: true,
    },
  ],
  next_page_token: '',
}
const BOT = entry('/agent/bot', ['k8s:ns:bots', 'k8s:sa:bot', 'k8s:pod-label:app:bot'], {
  x509_svid_ttl: 600,
  jwt_svid_ttl: 120,
  federates_with: ['spiffe://other.example'],
  dns_names: ['Bot.example.com'],
  hint: 'main',
})

async function importing(...args: readonly string[]): Promise<{ readonly exit: number; readonly result: Line }> {
  const { exit, results } = await aims('entry', 'import', '--from', 'spire', ...args)
  return { exit, result: results[0] ?? {} }
}

test('entries of SPIRE become files that are planned and applied, with their machines and bundles', async () => {
  const overrides = { trustDomain: 'example.com', dataDirectory: join(scratch, 'data'), 'listen.port': 0 }
  const server = await startServer(await loadConfig({ env: {}, overrides }))
  try {
    const direct = entry('/service/db', ['unix:uid:70', 'docker:label:app:db'], { parent_id: id(AGENT), admin: true })
    const show = file({ entries: [NODE, BOT, direct], next_page_token: '' })
    const stars = '****************************************'
    const listed = file(`${stars}\n* spiffe://other.example\n${stars}\n${server.bundle()}\n`)
    const out = join(scratch, 'out')
    const more = ['--owner', 'platform', '--purpose', 'came from SPIRE']
    const { exit, result } = await importing('--out', out, ...more, show, file(AGENTS), listed, file(server.bundle()))
    assert.equal(exit, 0, JSON.stringify(result))
    assert.deepEqual([result.entries, result.leftOut, result.aliases], [2, [], ['spiffe://example.com/node/k8s']])
    assert.deepEqual(
      (result.notes as Line[]).map(({ spiffeId }) => spiffeId),
      ['spiffe://example.com/service/db'],
    )
    const socket = ['--socket', server.socketPath]
    const applied = await aims('entry', 'apply', ...socket, join(out, 'entries.yaml'))
    assert.equal(applied.exit, 0, JSON.stringify(applied.results))
    const shown = (await aims('entry', 'list', ...socket)).results[0]?.entries as Line[]
    const bot = shown.find(({ spiffeId }) => spiffeId === 'spiffe://example.com/agent/bot')
    assert.deepEqual(
      [bot?.id, bot?.selectors, bot?.x509Ttl, bot?.jwtTtl, bot?.federatesWith, bot?.dnsNames, bot?.hint, bot?.agents],
      [
        'spire-agent-bot',
        ['k8s:ns:bots', 'k8s:sa:bot', 'k8s:pod-label:app:bot'],
        600,
        120,
        ['other.example'],
        ['bot.example.com'],
        'main',
        [['k8s_psat:cluster:prod', 'k8s_psat:agent_ns:spire']],
      ],
    )
    const db = shown.find(({ spiffeId }) => spiffeId === 'spiffe://example.com/service/db')
    assert.deepEqual([db?.admin, db?.agents], [true, [['k8s_psat:cluster:prod', 'k8s_psat:agent_node_name:n1']]])
    const again = await aims('entry', 'plan', ...socket, join(out, 'entries.yaml'))
    assert.deepEqual(again.results[0]?.changes, [])
    for (const name of ['other.example', 'example.com']) {
      parseBundle(readFileSync(join(out, 'bundles', `${name}.json`)), parseTrustDomain(name))
    }
  } finally {
    await server.close()
  }
})

// One row per entry that has no equal: it is left out, and never written without its condition.
for (const [what, spire, reason] of [
  ['a selector that nobody shows', [entry('/x', ['unix:uid:1', 'k8s:container-image:a'])], /k8s:container-image/],
  ['a selector of an unknown type', [entry('/x', ['aws_iid:tag:Name:a'])], /aws_iid:tag/],
  ['a malformed selector', [entry('/x', ['unix:uid'])], /type:key:value/],
  ['a value that our attestor never shows', [entry('/x', ['unix:uid:root'])], /unix:uid takes/],
  ['no selectors', [entry('/x', [])], /selectors is empty/],
  ['an end', [entry('/x', ['unix:uid:1'], { expires_at: '1912345678' })], /expires/],
  ['an end that cannot be read', [entry('/x', ['unix:uid:1'], { expires_at: 'soon' })], /expires/],
  ['a downstream server', [entry('/x', ['unix:uid:1'], { downstream: true })], /downstream/],
  ['a store', [entry('/x', ['unix:uid:1'], { store_svid: true })], /stored/],
  ['a wildcard name', [entry('/x', ['unix:uid:1'], { dns_names: ['*.example.com'] })], /dnsNames/],
  ['its SPIFFE ID twice', [entry('/x', ['unix:uid:1']), entry('/x', ['unix:uid:2'])], /one entry per SPIFFE ID/],
] as const) {
  test(`an entry with ${what} is left out, with the reason`, () => {
    const { entries, leftOut } = mapSpireEntries(spire, [])
    assert.equal(entries.length, spire.length - 1)
    assert.equal(leftOut.length, 1)
    assert.match(leftOut[0]?.reason ?? '', reason)
  })
}

test('a parent that is a join token or unknown is no machine here, and a note says so', () => {
  const alias = entry('/node/token', [`spiffe_id:spiffe://example.com/spire/agent/join_token/1`])
  for (const parent of ['/node/token', '/node/none']) {
    const { entries, aliases } = mapSpireEntries([alias, entry('/x', ['unix:uid:1'], { parent_id: id(parent) })], [])
    assert.deepEqual(aliases, ['spiffe://example.com/node/token'])
    assert.equal(entries[0]?.entry.agents, undefined)
    assert.match(entries[0]?.notes[0] ?? '', /no equal/)
  }
})

test('several node entries with one SPIFFE ID are several groups of machines, and what has no equal is said', () => {
  const child = entry('/x', ['unix:uid:1'], { parent_id: id('/node/k8s') })
  const second = { ...NODE, id: 'second', selectors: ['k8s_psat:cluster:test'].map(selector) }
  const both = mapSpireEntries([NODE, second, child], [])
  assert.deepEqual(both.entries[0]?.entry.agents, [
    ['k8s_psat:cluster:prod', 'k8s_psat:agent_ns:spire'],
    ['k8s_psat:cluster:test'],
  ])
  assert.deepEqual(both.entries[0]?.notes, [])
  const unequal = { ...second, selectors: ['nobody:knows:this'].map(selector) }
  const one = mapSpireEntries([NODE, unequal, child], [])
  assert.deepEqual(one.entries[0]?.entry.agents, [['k8s_psat:cluster:prod', 'k8s_psat:agent_ns:spire']])
  assert.match(one.entries[0]?.notes[0] ?? '', /2 groups of machines, of which 1 have an equal/)
})

test('the registry of a fleet is read whole', async () => {
  const fleet = Array.from({ length: 1000 }, (_, i) => entry(`/many/${i}`, [`unix:user:many-${i}`]))
  const { exit, result } = await importing('--out', join(scratch, 'many'), file({ entries: fleet }))
  assert.deepEqual([exit, result.entries], [0, 1000])
})

test('what is left out makes the exit code 1, and a file that is none of these 2', async () => {
  const out = join(scratch, 'partly')
  const { exit, result } = await importing('--out', out, file({ entries: [entry('/x', ['foo:bar'])] }))
  assert.equal(exit, 1)
  assert.deepEqual((result.leftOut as Line[])[0]?.spiffeId, 'spiffe://example.com/x')
  for (const [content, says] of [
    [{ other: 1 }, /none of entry show/],
    [{ entries: 'x' }, /none of entry show/],
    [{ bundles: [] }, /-format spiffe/],
    [`****\n* spiffe://x.example\n****\n-----BEGIN CERTIFICATE-----\n`, /-format spiffe/],
    ['Found 1 entry\nEntry ID : x\n', /JSON|json/],
  ] as const) {
    const refused = await importing('--out', out, file(content))
    assert.ok(refused.exit === 2 || refused.exit === 3, JSON.stringify(refused))
    assert.match(JSON.stringify(refused.result), says)
  }
  const empty = await importing('--out', join(scratch, 'empty'), file('{"keys":7}'))
  assert.equal(empty.exit, 1)
})

test('entries that were written before are not written over', async () => {
  const out = join(scratch, 'twice')
  const source = file({ entries: [entry('/x', ['unix:uid:1'])] })
  assert.equal((await importing('--out', out, source)).exit, 0)
  writeFileSync(join(out, 'entries.yaml'), '# changed by hand')
  const again = await importing('--out', out, source)
  assert.deepEqual([again.exit, again.result.code], [2, 'operation.usage'])
  assert.match(String(again.result.message), /exists: name another directory with --out/)
  assert.equal(readFileSync(join(out, 'entries.yaml'), 'utf8'), '# changed by hand')
})
