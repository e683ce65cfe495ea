import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { AimsError } from 'aims/base'
import { parseSpiffeId } from 'aims/identifiers'
import { loadSettings } from 'aims-server'
import { aims, file } from '../../../test/support/cli.ts'
import { UsageError } from './exit.ts'
import { withGatewaySettings } from './gateway/documentation.ts'
import { openReplays } from './gateway/replays.ts'
import { GATEWAY_SETTINGS, type GatewayConfiguration } from './gateway/settings.ts'

async function read(gateway: object): Promise<GatewayConfiguration> {
  const { config } = await loadSettings(GATEWAY_SETTINGS, { file: file({ gateway }), env: {} })
  return config
}

const audiences = ['https://api.example.com']

test('docs/gateways.md says what the table of settings says', () => {
  const page = readFileSync(new URL('../../../docs/gateways.md', import.meta.url), 'utf8')
  assert.equal(page, withGatewaySettings(page), 'stale: npm run generate')
  for (const [key, { doc }] of Object.entries(GATEWAY_SETTINGS)) assert.match(doc, /^[A-Z`].{20,}\.$/, key)
})

test('a configuration is read, with routes, callers and addresses', async () => {
  const config = await read({
    audiences,
    callers: ['spiffe://example.com/agent/*', 'spiffe://example.com/operator'],
    listen: 'unix:///run/aims/g.sock',
    service: '[::1]:8080',
    replayStore: 'postgres://aims@db.internal/replays',
    routes: [
      { path: '/health', public: true },
      {
        path: '/api/*',
        methods: ['GET'],
        accept: ['mtls'],
        requireBinding: ['body'],
        peers: ['spiffe://example.com/*'],
      },
    ],
  })
  assert.deepEqual(config['gateway.replayStore'], {
    kind: 'postgres',
    host: 'db.internal',
    port: 5432,
    user: 'aims',
    database: 'replays',
    isLocal: false,
  })
  const callers = config['gateway.callers']
  const ids = ['/agent/a', '/operator', '/agents', '/other'].map((path) => parseSpiffeId(`spiffe://example.com${path}`))
  assert.deepEqual(
    ids.map((id) => callers?.(id)),
    [true, true, false, false],
  )
  assert.deepEqual(config['gateway.listen'], { path: '/run/aims/g.sock', mode: 0o660 })
  assert.deepEqual(config['gateway.service'], { host: '::1', port: 8080 })
  const [health, api] = config['gateway.routes'] ?? []
  assert.equal(health?.requires, 'public')
  assert.deepEqual(api?.methods, ['GET'])
  assert.ok(api !== undefined && api.requires !== 'public')
  assert.deepEqual(api.requires.accept, ['mtls'])
  assert.deepEqual(api.requires.requireBinding, { method: false, target: false, body: true })
})

// One row per mistake. None of them may start a gateway that asks for less than was meant.
const MISTAKES: readonly (readonly [name: string, gateway: object])[] = [
  ['without audiences', {}],
  ['with no audience', { audiences: [] }],
  ['with a key that is not known', { audiences, audience: 'x' }],
  ['with a method that is not known', { audiences, methods: ['basic'] }],
  ['with a caller that is no SPIFFE ID', { audiences, callers: ['*'] }],
  ['with a pattern within a segment', { audiences, callers: ['spiffe://example.com/agent*'] }],
  ['with no callers', { audiences, callers: [] }],
  ['with an address without a port', { audiences, listen: 'localhost' }],
  ['with a relative socket', { audiences, listen: 'unix://gateway.sock' }],
  ['with a switch that is a text', { audiences, tls: 'yes' }],
  ['with a store that is neither file nor server', { audiences, replayStore: 'mysql://db/replays' }],
  ['with a store and its password', { audiences, replayStore: 'redis://:secret@redis.internal' }],
  ['with a store and options that nobody reads', { audiences, replayStore: 'postgres://db/replays?sslmode=disable' }],
  ['with a limit of zero', { audiences, maxBody: 0 }],
  ['with routes that are none', { audiences, routes: [] }],
  ['with a route without a path', { audiences, routes: [{ public: true }] }],
  ['with a route that has another member', { audiences, routes: [{ path: '/', peer: ['spiffe://example.com/a'] }] }],
  ['with a route that is public: false', { audiences, routes: [{ path: '/', public: false }] }],
  [
    'with a public route that asks for something',
    { audiences, routes: [{ path: '/', public: true, accept: ['mtls'] }] },
  ],
  ['with a route that asks for a part that is none', { audiences, routes: [{ path: '/', requireBinding: ['head'] }] }],
]
for (const [name, gateway] of MISTAKES) {
  test(`a configuration ${name} is refused`, async () => {
    await assert.rejects(read(gateway), (error) => AimsError.is(error) && error.code === 'operation.config_invalid')
  })
}

test('a store on a server needs a secret, and files that are there', async () => {
  const store = { audiences, replayStore: 'redis://redis.internal' }
  await assert.rejects(openReplays(await read(store)), UsageError)
  const missing = { ...store, replaySecret: '/nonexistent/secret' }
  await assert.rejects(openReplays(await read(missing)), { code: 'operation.input_unreadable' })
  const short = { ...store, replaySecret: file('short') }
  await assert.rejects(openReplays(await read(short)), TypeError)
})

test('a gateway says what it lacks before it takes requests', async () => {
  const audience = ['--audience', 'https://api.example.com']
  const mistakes = [
    [['gateway', 'forward-auth', '--proxy', 'apache', ...audience], 2, 'operation.usage'],
    [['gateway', 'sidecar', '--config', file({ gateway: { audience } })], 2, 'operation.config_invalid'],
    // Without a Workload API: nobody is asked before the command line is whole.
    [['gateway', 'sidecar', ...audience], 2, 'operation.usage'],
    [['gateway', 'ext-authz', '--tls', ...audience], 2, 'operation.usage'],
    [['gateway', 'sidecar', '--id', 'spiffe://example.com', ...audience], 2, 'operation.config_invalid'],
  ] as const
  for (const [args, exit, code] of mistakes) {
    const { exit: found, results } = await aims(...args)
    assert.deepEqual([found, results[0]?.code], [exit, code])
  }
})
