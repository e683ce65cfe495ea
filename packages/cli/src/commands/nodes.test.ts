import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { joinTokenCollector } from 'aims/attestation'
import { parseTrustDomain } from 'aims/identifiers'
import { attestAgent, identityServer } from 'aims/provisioning'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { aims } from '../../../../test/support/cli.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-nodes-cli-'))
const trustDomain = parseTrustDomain('example.com')
let server: RunningServer
let socket: string

before(async () => {
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0 }
  server = await startServer(await loadConfig({ env: {}, overrides }))
  socket = `--socket=${server.socketPath}`
})
after(async () => {
  await server.close()
  rmSync(root, { recursive: true })
})

test('a token is made, an agent joins with it, is listed, banned and evicted', async () => {
  const [made] = (await aims('token', 'create', '--json', '--name', 'edge', '--for', 'agent', '--ttl', '60', socket))
    .results
  assert.deepEqual([made?.name, made?.use], ['edge', 'agent'])
  const bundle = Buffer.from(server.bundle())
  const clock = (): number => Date.now() / 1000
  const at = identityServer({ trustDomain, server: `https://127.0.0.1:${server.port}`, bundle, clock })
  after(() => at.close())
  const collector = joinTokenCollector(() => String(made?.token))
  await attestAgent(at, { trustDomain, collector, clock, signal: new AbortController().signal })

  const list = async () => {
    const [line] = (await aims('agent', 'list', '--json', socket)).results
    return line?.agents as readonly { readonly id: string; readonly state: string }[]
  }
  const [agent] = await list()
  const id = agent?.id ?? ''
  assert.equal(agent?.state, 'active')
  const [banned] = (await aims('agent', 'ban', id, '--revoke', '--json', socket)).results
  assert.deepEqual([banned?.banned, banned?.revoked], [id, [banned?.spiffeId]])
  assert.equal((await list())[0]?.state, 'banned')
  assert.equal((await aims('agent', 'evict', id, '--json', socket)).exit, 0)
  assert.deepEqual(await list(), [])
  const again = await aims('agent', 'evict', id, '--json', socket)
  assert.deepEqual([again.exit, again.results[0]?.code], [1, 'provisioning.agent_not_found'])
})

test('a token that is not used is listed by its hash and taken back', async () => {
  const [made] = (await aims('token', 'create', '--json', '--name', 'back', socket)).results
  const [line] = (await aims('token', 'list', '--json', socket)).results
  const [waiting] = (line?.tokens ?? []) as readonly { readonly id: string; readonly name: string }[]
  assert.equal(waiting?.name, 'back')
  assert.ok(!JSON.stringify(line).includes(String(made?.token)))
  assert.equal((await aims('token', 'revoke', String(waiting?.id), '--json', socket)).exit, 0)
  const again = await aims('token', 'revoke', String(waiting?.id), '--json', socket)
  assert.deepEqual([again.exit, again.results[0]?.code], [1, 'attestation.token_unknown'])
})

for (const [why, args] of [
  ['no name', ['token', 'create', '--json']],
  ['a time in words', ['token', 'create', '--json', '--name', 'x', '--ttl', 'soon']],
  ['another use', ['token', 'create', '--json', '--name', 'x', '--for', 'server']],
  ['a name that is no selector', ['token', 'create', '--json', '--name', 'a b']],
] as const) {
  test(`${why} is wrong use`, async () => {
    assert.equal((await aims(...args, socket)).exit, 2)
  })
}

test('an entry names agents by id or by all selectors of a group', async () => {
  const agents = [
    '--agent',
    'spiffe://example.com/aims/agent/x509-pop/a',
    '--agent',
    'join-token:name:a x509-pop:serial:1',
  ]
  const entry = ['--spiffe-id', 'spiffe://example.com/job/bot', '--selector', 'unix:uid:1']
  const [made] = (await aims('entry', 'create', '--json', ...entry, ...agents, socket)).results
  assert.deepEqual(made?.agents, [
    'spiffe://example.com/aims/agent/x509-pop/a',
    ['join-token:name:a', 'x509-pop:serial:1'],
  ])
  const bad = await aims('entry', 'create', '--json', ...entry, '--agent', 'nobody', socket)
  assert.deepEqual([bad.exit, bad.results[0]?.code], [2, 'provisioning.malformed_entry'])
})
