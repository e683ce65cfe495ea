import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { provingFetch } from 'aims/fetch'
import {
  CALLER_FIELDS,
  createGate,
  type ForwardAuthProxy,
  type GatewayRoute,
  startExtAuthz,
  startForwardAuth,
} from 'aims/gateway'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { ATTACKS, type GatewayUnderTest, type Habits, usualStatus, withstands } from '../support/gateway-attacks.ts'
import {
  exchange,
  type Observed,
  observed,
  proofLines,
  requestText,
  signatureLines,
  startEcho,
  statusOf,
} from '../support/gateways.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'
import { documented, type RunningProxy, startCaddy, startEnvoy, startNginx, WITHOUT } from '../support/proxies.ts'

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const wit = await domain.wit()
const directory = mkdtempSync(join(tmpdir(), 'aims-gateways-'))
const opened: (() => unknown)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
  rmSync(directory, { recursive: true, force: true })
})

interface Addresses {
  readonly socket: string
  readonly service: number
}

interface Proxied {
  readonly without: string | false
  /** Whether bodies are seen, and so compared. */
  readonly seesBodies: boolean
  readonly habits: Habits
  ask(socket: string, seen: Observed): Promise<{ close(): Promise<void> }>
  start(addresses: Addresses): Promise<RunningProxy>
}

const SERVICE = parseWorkloadSpiffeId('spiffe://example.com/service/events')
const ROUTES: readonly GatewayRoute[] = [
  { path: '/public', requires: 'public' },
  { path: '/*', requires: {} },
]

const forwardAuth =
  (proxy: ForwardAuthProxy): Proxied['ask'] =>
  (path, seen) =>
    startForwardAuth({
      gate: createGate({ ...seen, service: SERVICE, routes: ROUTES, refuseReservedFields: true }),
      proxy,
      listen: { path, mode: 0o600 },
    })

// What each proxy refuses itself (unasked, with its status), repairs (harmless), or asks about otherwise than it came.
const NGINX: Habits = {
  removesFields: false,
  // It knows no other status of an answer.
  statusOf: (code) => (usualStatus(code) === 401 ? 401 : 403),
  exceptions: {
    'a good request with aims_caller_id': 'harmless',
    'a good request with aims.caller.id': 'harmless',
    'a good request with aims!caller~id': 'harmless',
    'a good request with x-original-uri': 'harmless',
    'a good request with x-original-method': 'harmless',
    'the path /api/events%00': { unasked: 400 },
    'a proof for the plain path, and the path /api/events%00': { unasked: 400 },
    'a target in absolute form': { refused: 'proof.target_mismatch', status: 401 },
    CONNECT: { unasked: 400 },
    'two Authorization fields': { unasked: 400 },
    'a folded field': { unasked: 400 },
    'a blank before the colon': { unasked: 400 },
    'Transfer-Encoding and Content-Length': { unasked: 400 },
    'two Content-Length fields': { unasked: 400 },
    'a transfer coding that is hidden': { unasked: 501 },
    'an upgrade to h2c': 'harmless',
    'a Connection field that takes a field away': 'harmless',
  },
}
const CADDY: Habits = {
  removesFields: false,
  exceptions: {
    'a good request with x-forwarded-uri': 'harmless',
    'a good request with x-forwarded-method': 'harmless',
    'a target in absolute form': { refused: 'proof.target_mismatch', status: 401 },
    CONNECT: { refused: 'proof.target_mismatch', status: 401 },
    'a folded field': 'harmless',
    'a blank before the colon': { unasked: 400 },
    'Transfer-Encoding and Content-Length': 'harmless',
    'two Content-Length fields': { unasked: 400 },
    'a transfer coding that is hidden': { unasked: 501 },
    'a Connection field that takes a field away': { refused: 'authentication.missing_proof', status: 401 },
  },
}
const ENVOY: Habits = {
  removesFields: true,
  exceptions: {
    'a good request with aims_caller_id': { unasked: 400 },
    'a target in absolute form': { refused: 'proof.target_mismatch', status: 401 },
    CONNECT: { unasked: 404 },
    // It has joined these two, whatever it was told about raw headers.
    'two Authorization fields': { refused: 'authentication.malformed_field', status: 400 },
    'a folded field': 'harmless',
    'a blank before the colon': { unasked: 400 },
    'Transfer-Encoding and Content-Length': { unasked: 400 },
    'two Content-Length fields': { unasked: 400 },
    'a transfer coding that is hidden': { unasked: 501 },
    'an upgrade to h2c': 'harmless',
    'a Connection field that takes a field away': { refused: 'authentication.missing_proof', status: 401 },
  },
}

const PROXIES: { readonly [name: string]: Proxied } = {
  'nginx auth_request': {
    without: WITHOUT.nginx,
    seesBodies: false,
    habits: NGINX,
    ask: forwardAuth('nginx'),
    start: ({ socket, service }) =>
      startNginx((port) =>
        documented('nginx', {
          '127.0.0.1:8000': `127.0.0.1:${port}`,
          '127.0.0.1:8080': `127.0.0.1:${service}`,
          '/run/aims/auth.sock': socket,
        }),
      ),
  },
  'Caddy forward_auth': {
    without: WITHOUT.caddy,
    seesBodies: false,
    habits: CADDY,
    ask: forwardAuth('caddy'),
    start: ({ socket, service }) =>
      startCaddy((port) =>
        documented('Caddy', {
          'http://127.0.0.1:8000': `http://:${port}`,
          '127.0.0.1:8080': `127.0.0.1:${service}`,
          '/run/aims/auth.sock': socket,
        }),
      ),
  },
  'Envoy ext_authz': {
    without: WITHOUT.envoy,
    seesBodies: true,
    habits: ENVOY,
    ask: (path, seen) =>
      startExtAuthz({
        gate: createGate({ ...seen, service: SERVICE, routes: ROUTES }),
        listen: { path, mode: 0o600 },
        seesBodies: true,
      }),
    start: ({ socket, service }) =>
      startEnvoy((port) =>
        documented('Envoy', {
          'port_value: 8000': `port_value: ${port}`,
          'port_value: 8080': `port_value: ${service}`,
          '/run/aims/ext-authz.sock': socket,
        }),
      ),
  },
  'Envoy ext_authz over HTTP': {
    without: WITHOUT.envoy,
    seesBodies: false,
    habits: {
      removesFields: false,
      exceptions: {
        ...ENVOY.exceptions,
        // It takes this one away before it asks, and joins those.
        'a good request with x-forwarded-client-cert': 'harmless',
        'two Workload-Identity-Token fields': { refused: 'authentication.malformed_field', status: 400 },
      },
    },
    ask: forwardAuth('envoy'),
    start: ({ socket, service }) =>
      startEnvoy((port) =>
        overHttp(
          documented('Envoy', {
            'port_value: 8000': `port_value: ${port}`,
            'port_value: 8080': `port_value: ${service}`,
            '/run/aims/ext-authz.sock': socket,
          }),
        ),
      ),
  },
}

/** The configuration for gRPC, with the filter for HTTP in place of its own. */
function overHttp(text: string): string {
  const filter = documented('Envoy over HTTP', {}).trimEnd().replaceAll(/^/gm, '                  ')
  const changed = text
    .replace(
      / +- name: envoy\.filters\.http\.ext_authz\n[\s\S]*?(?= +- name: envoy\.filters\.http\.router)/,
      `${filter}\n`,
    )
    .replace(/ +typed_extension_protocol_options:\n(?: {6,}.*\n)+?(?= +load_assignment)/, '')
  assert.ok(changed.includes('http_service') && !changed.includes('grpc_service') && !changed.includes('http2'))
  return changed
}

for (const [name, proxied] of Object.entries(PROXIES)) {
  const skip = proxied.without
  const started = skip === false ? start(name, proxied) : undefined

  test(`${name}: a proven request reaches the service with its caller`, { skip, timeout: 120_000 }, async () => {
    const { port, service } = await required(started)
    const target = '/api/events?x=%41&y'
    const answer = await exchange(
      port,
      requestText(`GET ${target} HTTP/1.1`, proofLines(wit, { method: 'GET', target })),
    )
    assert.equal(statusOf(answer), 200, answer)
    const seen = service.seen.at(-1)
    assert.equal(seen?.target, target)
    const fields = Object.fromEntries(seen?.headers ?? [])
    assert.equal(fields['aims-caller-id'], wit.subject)
    assert.equal(fields['aims-caller-covers'], 'method target')
    assert.match(fields['aims-request-id'] ?? '', /^[0-9a-f-]{36}$/)
    for (const proof of ['authorization', 'workload-identity-token']) assert.equal(fields[proof], undefined)
  })

  test(`${name}: the service learns whose sub-agent a caller is`, { skip, timeout: 120_000 }, async () => {
    const { port, service } = await required(started)
    const sub = await domain.wit({
      path: '/agent/calendar-bot/sub/reader',
      rights: ['GET spiffe://example.com/service/events /'],
    })
    const text = requestText('GET / HTTP/1.1', proofLines(sub, { method: 'GET', target: '/' }))
    const answer = await exchange(port, text)
    assert.equal(statusOf(answer), 200, answer)
    const fields = Object.fromEntries(service.seen.at(-1)?.headers ?? [])
    assert.deepEqual([fields['aims-caller-id'], fields['aims-caller-parent']], [sub.subject, wit.subject])
  })

  test(`${name}: on a public route nobody is named, whatever the client says`, { skip, timeout: 120_000 }, async () => {
    const { port, service, events } = await required(started)
    const recorded = events.length
    assert.equal(
      statusOf(await exchange(port, requestText('GET /public HTTP/1.1', ['Authorization: Basic eDp5']))),
      200,
    )
    const fields = Object.fromEntries(service.seen.at(-1)?.headers ?? [])
    for (const field of CALLER_FIELDS) {
      if (field !== 'aims-request-id') assert.equal(fields[field] ?? '', '', field)
    }
    assert.equal(fields.authorization, 'Basic eDp5')
    assert.equal(events.length, recorded)
    const forged = await exchange(port, requestText('GET /public HTTP/1.1', ['aims-caller-id: spiffe://example.com/x']))
    assert.equal(Object.fromEntries(service.seen.at(-1)?.headers ?? [])['aims-caller-id'] ?? '', '')
    const { removesFields, statusOf: statusFor = usualStatus } = proxied.habits
    assert.equal(statusOf(forged), removesFields ? 200 : statusFor('authentication.reserved_field'))
  })

  test(`${name}: a proof is used once`, { skip, timeout: 120_000 }, async () => {
    const { port, reason } = await required(started)
    const text = requestText('GET / HTTP/1.1', proofLines(wit, { method: 'GET', target: '/' }))
    assert.equal(statusOf(await exchange(port, text)), 200)
    const again = await exchange(port, text)
    assert.equal(statusOf(again), 401)
    assert.match(again, /www-authenticate: WPT/i)
    assert.equal(reason(), 'proof.replayed')
  })

  test(`${name}: a signed request reaches the service with its caller, once, and another token with it`, {
    skip,
    timeout: 120_000,
  }, async () => {
    const { port, service, reason } = await required(started)
    const target = '/api/events?x=%41&y'
    const token = 'Bearer opaque-to-the-gateway'
    const lines = signatureLines(wit, { method: 'GET', target, headers: [['authorization', token]] })
    const text = requestText(`GET ${target} HTTP/1.1`, [...lines, `Authorization: ${token}`])
    const answer = await exchange(port, text)
    assert.equal(statusOf(answer), 200, answer)
    const fields = Object.fromEntries(service.seen.at(-1)?.headers ?? [])
    assert.equal(fields['aims-caller-id'], wit.subject)
    assert.equal(fields['aims-caller-method'], 'http-signature')
    assert.equal(fields['workload-identity-token'], undefined)
    assert.equal(fields.authorization, token)
    const count = service.seen.length
    for (const [changed, status, code] of [
      [text, 400, 'signature.replayed'],
      [text.replace(target, '/api/other'), 400, 'signature.invalid_signature'],
      [text.replace('opaque', 'another'), 400, 'signature.invalid_signature'],
      [requestText(`GET ${target} HTTP/1.1`, [`Authorization: ${token}`]), 401, 'authentication.missing'],
    ] as const) {
      const refused = await exchange(port, changed)
      assert.deepEqual([statusOf(refused), reason()], [proxied.habits.statusOf?.(code) ?? status, code])
    }
    assert.equal(service.seen.length, count)
  })

  test(`${name}: a body that a proof names is compared, or refused as unseen`, { skip, timeout: 120_000 }, async () => {
    const { port, service, reason } = await required(started)
    const fetching = provingFetch({ wit: () => wit }, { audience: AUDIENCE })
    const before = service.seen.length
    const response = await fetching(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{"a":1}' })
    await response.text()
    assert.equal(response.status, proxied.seesBodies ? 200 : 401)
    assert.equal(service.seen.length - before, proxied.seesBodies ? 1 : 0)
    if (!proxied.seesBodies) return assert.equal(reason(), 'authentication.body_unseen')
    assert.equal(service.seen.at(-1)?.body, '{"a":1}')
    const lines = proofLines(wit, { method: 'POST', target: '/', body: Buffer.from('{"a":1}') })
    const swapped = requestText('POST / HTTP/1.1', [...lines, 'Content-Length: 7'], '{"a":2}')
    assert.equal(statusOf(await exchange(port, swapped)), 401)
    assert.equal(reason(), 'proof.body_mismatch')
  })

  for (const attack of ATTACKS) {
    test(`${name}: attack: ${attack.name}`, { skip, timeout: 120_000 }, async () => {
      await withstands(await required(started), attack, proxied.habits)
    })
  }
}

async function start(name: string, { ask, start: startProxy }: Proxied): Promise<GatewayUnderTest & Observed> {
  const service = await startEcho()
  opened.push(() => service.close())
  const seen = observed(domain)
  const socket = join(directory, `${name.replaceAll(' ', '-')}.sock`)
  const asked = await ask(socket, seen)
  opened.push(() => asked.close())
  const proxy = await startProxy({ socket, service: service.port })
  opened.push(() => proxy.close())
  return { port: proxy.port, service, wit, ...seen }
}

function required<T>(started: Promise<T> | undefined): Promise<T> {
  return started ?? Promise.reject(new Error('it was not started'))
}
