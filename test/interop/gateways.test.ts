import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { provingFetch } from 'aims/fetch'
import { createGate, type ForwardAuthProxy, startExtAuthz, startForwardAuth } from 'aims/gateway'
import { ATTACKS, type GatewayUnderTest, withstands } from '../support/gateway-attacks.ts'
import { exchange, type Observed, observed, proofLines, requestText, startEcho, statusOf } from '../support/gateways.ts'
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
  ask(socket: string, seen: Observed): Promise<{ close(): Promise<void> }>
  start(addresses: Addresses): Promise<RunningProxy>
}

const forwardAuth =
  (proxy: ForwardAuthProxy): Proxied['ask'] =>
  (path, seen) =>
    startForwardAuth({
      gate: createGate({ ...seen, refuseReservedFields: true }),
      proxy,
      listen: { path, mode: 0o600 },
    })

const PROXIES: { readonly [name: string]: Proxied } = {
  'nginx auth_request': {
    without: WITHOUT.nginx,
    seesBodies: false,
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
    ask: (path, seen) => startExtAuthz({ gate: createGate(seen), listen: { path, mode: 0o600 }, seesBodies: true }),
    start: ({ socket, service }) =>
      startEnvoy((port) =>
        documented('Envoy', {
          'port_value: 8000': `port_value: ${port}`,
          'port_value: 8080': `port_value: ${service}`,
          '/run/aims/ext-authz.sock': socket,
        }),
      ),
  },
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
    assert.equal(fields['workload-identity-token'], undefined)
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
      await withstands(await required(started), attack)
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
