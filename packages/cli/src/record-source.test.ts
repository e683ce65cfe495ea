import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type AuditEvent, apiClient } from 'aims/base'
import type { AuditRecord } from 'aims/monitoring'
import { loadConfig, startServer } from 'aims-server'
import { aims, file } from '../../../test/support/cli.ts'
import type { Explained } from './explained.ts'
import { serverRecords } from './record-source.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-record-source-'))
const dataDirectory = join(root, 'data')
const config = await loadConfig({ env: {}, overrides: { trustDomain: 'example.com', dataDirectory, 'listen.port': 0 } })
const server = await startServer(config, { log: () => undefined })
const api = apiClient({ socketPath: server.socketPath })
after(async () => {
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const ID = '6c1f2f0e-5d0b-4a36-9d0e-0a5b7e0f5f11'
const BOT = 'spiffe://example.com/agent/bot'
const refusal: AuditEvent = {
  type: 'authentication.refused',
  resource: { type: 'http', id: '/api/events' },
  action: 'GET',
  decision: 'deny',
  reasons: ['proof.target_mismatch'],
  checks: [
    { check: 'proof.method', outcome: 'passed' },
    { check: 'proof.target', outcome: 'failed', difference: 'prefix-removed' },
  ],
  correlationId: ID,
}
await api.send({ method: 'POST', path: '/v1/audit/events', body: refusal })
const decided = { ...refusal, type: 'authorization.decided', agent: { id: BOT }, reasons: ['no-policy'], checks: [] }
await api.send({ method: 'POST', path: '/v1/audit/events', body: { ...decided, correlationId: 'other' } })

const SOCKET = ['--socket', server.socketPath]

// [authentication.explain.06]
test('a refusal is explained by what the server has recorded, however the server is named', async (t) => {
  const settings = file({ trustDomain: 'example.com', dataDirectory })
  process.env.AIMS_API_SOCKET = server.socketPath
  t.after(() => delete process.env.AIMS_API_SOCKET)
  for (const where of [SOCKET, ['--config', settings], []]) {
    const { exit, results } = await aims('explain', ID, ...where)
    assert.equal(exit, 0, JSON.stringify(results))
    const told = (results[0]?.records ?? []) as readonly Explained[]
    const [record, ...others] = told
    assert.deepEqual([record?.causes[0]?.id, others], ['proxy-strips-prefix', []])
  }
})

test('an identity is explained, records are listed, and one is proven, from the server', async () => {
  const { results: explained } = await aims('explain', BOT, ...SOCKET)
  const [told] = (explained[0]?.records ?? []) as readonly AuditRecord[]
  assert.equal(told?.agent?.id, BOT)
  const { results: denied } = await aims('audit', 'list', ...SOCKET, '--decision', 'deny')
  assert.deepEqual(
    denied.map(({ correlationId }) => correlationId),
    ['other', ID],
  )
  const { exit, results } = await aims('audit', 'prove', String(told?.index), ...SOCKET)
  assert.equal(exit, 0)
  assert.equal(results[0]?.vkey, server.logKey)
  assert.match(String(results[0]?.record), /"id":"spiffe:\/\/example.com\/agent\/bot"/)
})

// One row per way to get no answer.
for (const [why, args, exit, code] of [
  ['an id that nobody has', ['explain', 'nothing', ...SOCKET], 1, 'audit.unknown_id'],
  ['an identity without records', ['explain', 'spiffe://example.com/none', ...SOCKET], 1, 'audit.unknown_id'],
  ['a record that is not there', ['audit', 'prove', '100000', ...SOCKET], 3, 'audit.unknown_index'],
  ['a server that is away', ['explain', ID, '--socket', join(root, 'no.sock')], 3, 'operation.server_unreachable'],
  ['a log and a server', ['explain', ID, '--log', dataDirectory, ...SOCKET], 2, 'operation.usage'],
  ['a log and a server, to list', ['audit', 'list', '--log', dataDirectory, ...SOCKET], 2, 'operation.usage'],
] as const) {
  test(`${why}: ${code}`, async () => {
    const { exit: ended, results } = await aims(...args)
    assert.deepEqual([ended, results[0]?.code], [exit, code])
  })
}

// [authentication.explain.06]
test('who may not administer the server is told nothing', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async () => {
  for (const directory of [root, dataDirectory]) chmodSync(directory, 0o711)
  chmodSync(server.socketPath, 0o666)
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  for (const command of [
    ['explain', ID],
    ['audit', 'list'],
    ['audit', 'prove', '0'],
  ]) {
    const args = [...flags, main, ...command, ...SOCKET, '--json']
    const child = spawn(process.execPath, args, { uid: 65_534, gid: 65_534, stdio: ['ignore', 'pipe', 'ignore'] })
    const [said, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')])
    const answer = JSON.parse(said)
    assert.deepEqual([answer.ok, answer.code, status], [false, 'operation.not_permitted', 1])
  }
})

test('records that do not fit into one answer are asked for page by page', async () => {
  const all = Array.from({ length: 1700 }, (_, at): AuditRecord => {
    return { ...refusal, version: 1, time: '2026-11-26T07:31:02.114Z', index: 1699 - at }
  })
  const asked: (readonly [before: number | undefined, limit: number | undefined])[] = []
  const records = serverRecords({
    listRecords: async ({ before = all.length, limit = 100 } = {}) => {
      asked.push([before, limit])
      return all.filter(({ index }) => index < before).slice(0, Math.min(limit, 500))
    },
    proveRecord: () => Promise.reject(new Error('not asked')),
  })
  assert.deepEqual(await records.list({ limit: 1200 }), all.slice(0, 1200))
  assert.deepEqual(asked, [
    [1700, 500],
    [1200, 500],
    [700, 200],
  ])
  assert.equal((await records.list({ limit: 10_000 })).length, 1700)
  assert.equal((await records.find(ID)).at(-1)?.index, 1699)
})
