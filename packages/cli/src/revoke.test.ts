import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadConfig, startServer } from 'aims-server'
import { aims } from '../../../test/support/cli.ts'

const dataDirectory = mkdtempSync(join(tmpdir(), 'aims-revoke-'))
const config = await loadConfig({
  env: {},
  overrides: { trustDomain: 'example.com', dataDirectory, 'listen.port': 0 },
})
const server = await startServer(config, { log: () => undefined })
after(async () => {
  await server.close()
  rmSync(dataDirectory, { recursive: true })
})
const at = [`--socket=${server.socketPath}`]
const BOT = 'spiffe://example.com/service/bot'

for (const [why, args, exit, code] of [
  ['nothing to revoke', ['revoke', ...at], 2, 'operation.usage'],
  ['two things at once', ['revoke', BOT, '--token', 'a', ...at], 2, 'operation.usage'],
  ['no identity', ['revoke', 'bot', ...at], 1, 'identifier.wrong_scheme'],
  ['an agent that nobody knows', ['agent', 'retire', BOT, ...at], 1, 'provisioning.entry_not_found'],
  ['an identity without an entry, to be shown', ['entry', 'show', BOT, ...at], 1, 'provisioning.entry_not_found'],
  ['an identity without an entry, to be deleted', ['entry', 'delete', BOT, ...at], 1, 'provisioning.entry_not_found'],
  ['an entry that nobody knows', ['entry', 'show', '--retired', BOT, ...at], 1, 'provisioning.entry_not_found'],
  ['a log without the identity', ['explain', BOT, '--log', dataDirectory], 1, 'audit.unknown_id'],
] as const) {
  test(`${why}: the answer says so`, async () => {
    const { exit: ended, results } = await aims(...args, '--json')
    assert.equal(results[0]?.code, code)
    assert.equal(ended, exit)
  })
}

// [provisioning.aims.07]
test('an agent is revoked, retired, and found again', async () => {
  const created = await aims('entry', 'create', '--spiffe-id', BOT, '--selector', 'unix:uid:1000', ...at)
  assert.equal(created.exit, 0)
  const entry = await aims('entry', 'show', BOT, ...at)
  assert.deepEqual([entry.exit, entry.results[0]?.spiffeId], [0, BOT])
  const revoked = await aims('revoke', BOT, '--reason', 'test', ...at)
  assert.equal(revoked.exit, 0)
  assert.equal(revoked.results[0]?.value, BOT)
  const token = await aims('revoke', '--token=jti-1', ...at)
  assert.equal(token.results[0]?.type, 'token')
  const retired = await aims('agent', 'retire', BOT, '--reason', 'test', ...at, '--json')
  assert.equal(retired.exit, 0)
  assert.ok(Number(retired.results[0]?.sequence) > Number(token.results[0]?.sequence))
  const shown = await aims('entry', 'show', '--retired', BOT, ...at)
  assert.equal(shown.exit, 0)
  assert.equal(shown.results[0]?.spiffeId, BOT)
})

test('an entry is deleted by its SPIFFE ID', async () => {
  const other = 'spiffe://example.com/service/other'
  const created = await aims('entry', 'create', '--spiffe-id', other, '--selector', 'unix:uid:7', '--owner', 'o', ...at)
  assert.equal(created.exit, 0)
  assert.equal((await aims('entry', 'delete', other, ...at)).exit, 0)
  const gone = await aims('entry', 'show', other, ...at)
  assert.deepEqual([gone.exit, gone.results[0]?.code], [1, 'provisioning.entry_not_found'])
})
