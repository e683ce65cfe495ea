// Settings of a gateway that lead to other systems: stores, a server, revocation lists, load balancers. Each with the real one.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { AuditEvent } from 'aims/base'
import { connectWorkload } from 'aims/provisioning'
import { adminClient, loadSettings } from 'aims-server'
import { GATEWAY_SETTINGS } from '../../packages/cli/src/gateway/settings.ts'
import { startGateway } from '../../packages/cli/src/gateway/start.ts'
import { answerOf, eventuallyTrue } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { exchange, proofLines, requestText, startEcho, statusOf } from '../support/gateways.ts'
import { AUDIENCE } from '../support/identities.ts'
import {
  postgresStatement,
  startPostgres,
  startRedis,
  type TestServer,
  withoutPostgres,
  withoutRedis,
} from '../support/servers.ts'
import { startTrustDomain } from '../support/trust-domain.ts'

const ME = 'spiffe://example.com/agent/calendar-bot'
const opened: (() => unknown)[] = []
after(async () => {
  delete process.env.SPIFFE_ENDPOINT_SOCKET
  for (const close of opened.reverse()) await close()
})

const domain = await startTrustDomain()
opened.push(() => domain.close())
process.env.SPIFFE_ENDPOINT_SOCKET = domain.address
await domain.register({
  spiffeId: ME,
  selectors: [`unix:uid:${process.getuid?.()}`, `unix:path:${process.execPath}`],
})
const me = await connectWorkload()
opened.push(() => me.close())
const service = await startEcho()
opened.push(() => service.close())
const secretFile = join(domain.directory, 'replay-secret')
writeFileSync(secretFile, randomBytes(32))

interface Started {
  readonly port: number
  readonly events: readonly AuditEvent[]
  close(): Promise<void>
}

interface Settings {
  readonly [name: string]: string | boolean
}

/** Starts a gateway whose store may need its time here: a gateway gives it a second. */
async function startPatiently(settings: Settings): Promise<Started> {
  const started: Started[] = []
  await eventuallyTrue(async () => started.push(await start(settings)) > 0)
  const [gateway] = started
  assert.ok(gateway)
  return gateway
}

async function start(settings: Settings): Promise<Started> {
  const { config } = await loadSettings(GATEWAY_SETTINGS, {
    env: {},
    overrides: {
      'gateway.audiences': [AUDIENCE],
      'gateway.listen': '127.0.0.1:0',
      'gateway.service': `127.0.0.1:${service.port}`,
      ...settings,
    },
  })
  const events: AuditEvent[] = []
  const gateway = await startGateway(config, { kind: 'sidecar' }, { record: async (event) => void events.push(event) })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= gateway.close())
  opened.push(close)
  return { port: Number(new URL(gateway.address).port), events, close }
}

const request = (wit = me.wit.wit()): string =>
  requestText('GET /api/events HTTP/1.1', proofLines(wit, { method: 'GET', target: '/api/events' }))
const send = async ({ port }: Started, text: string): Promise<number> => statusOf(await exchange(port, text))
const reason = ({ events }: Started): string | undefined =>
  events.findLast(({ decision }) => decision === 'deny')?.reasons?.[0]

/** Sends, and fails when a request that was refused has reached the service. */
async function refused(gateway: Started, text: string): Promise<readonly [status: number, reason: string | undefined]> {
  const before = service.seen.length
  const status = await send(gateway, text)
  assert.equal(service.seen.length, before)
  return [status, reason(gateway)]
}

test('health answers while the gateway takes requests, and nobody when it has ended', async () => {
  const port = await freePort()
  const gateway = await start({ 'gateway.health': `127.0.0.1:${port}` })
  const asked = await exchange(port, requestText('GET /anything HTTP/1.1', []))
  assert.equal(statusOf(asked), 200)
  assert.match(asked, /cache-control: no-store/i)
  assert.equal(service.seen.length, 0)
  await gateway.close()
  assert.equal(statusOf(await exchange(port, requestText('GET / HTTP/1.1', []))), 0)
})

test('a file of used proofs is shared, and outlives its gateways', async () => {
  const settings = { 'gateway.replayStore': join(domain.directory, 'replays.sqlite') }
  const [one, other] = [await start(settings), await start(settings)]
  const text = request()
  assert.equal(await send(one, text), 200)
  assert.deepEqual(await refused(other, text), [401, 'proof.replayed'])
  await Promise.all([one.close(), other.close()])
  assert.deepEqual(await refused(await start(settings), text), [401, 'proof.replayed'])
})

interface Store {
  readonly skip: string | false
  start(): Promise<TestServer>
  url(port: number): Promise<string>
}

const STORES: { readonly [name: string]: Store } = {
  Redis: {
    skip: withoutRedis,
    start: () => startRedis(),
    url: async (port) => `redis://127.0.0.1:${port}`,
  },
  PostgreSQL: {
    skip: withoutPostgres,
    start: () => startPostgres(),
    async url(port) {
      await postgresStatement('CREATE DATABASE replays', { port, database: 'postgres' })
      return `postgres://aims@127.0.0.1:${port}/replays`
    },
  },
}

for (const [name, { skip, start: startStore, url }] of Object.entries(STORES)) {
  test(`gateways share what is used up through ${name}, and refuse without it`, {
    skip,
    timeout: 240_000,
  }, async () => {
    const store = await startStore()
    opened.push(() => store.remove())
    const settings = {
      'gateway.replayStore': await url(store.port),
      'gateway.replaySecret': secretFile,
      'gateway.acceptEmptyReplayStore': true,
    }
    const [one, other] = [await startPatiently(settings), await startPatiently(settings)]
    const text = request()
    assert.equal(await send(one, text), 200)
    assert.deepEqual(await refused(other, text), [401, 'proof.replayed'])
    const foreign = join(domain.directory, `foreign-${name}`)
    writeFileSync(foreign, randomBytes(32))
    assert.equal(
      await answerOf(() => start({ ...settings, 'gateway.replaySecret': foreign })),
      'proof.replay_store_secret_mismatch',
    )
    await store.kill()
    assert.deepEqual(await refused(one, request()), [503, 'proof.replay_store_unavailable'])
    assert.equal(await answerOf(() => start(settings)), 'proof.replay_store_unavailable')
  })
}

test('a Redis without anything in it is not taken for a new one', {
  skip: withoutRedis,
  timeout: 240_000,
}, async () => {
  const store = await startRedis()
  opened.push(() => store.remove())
  const settings = { 'gateway.replayStore': `redis://127.0.0.1:${store.port}`, 'gateway.replaySecret': secretFile }
  assert.deepEqual(await refused(await startPatiently(settings), request()), [503, 'proof.replay_store_unavailable'])
})

// [authentication.gateway.04]
test('a server records what is let through, and nothing is when it is away', async () => {
  const gateway = await start({ 'gateway.reportTo': join(domain.directory, 'data', 'api.sock') })
  const answer = await exchange(gateway.port, request())
  assert.equal(statusOf(answer), 200)
  const id = Object.fromEntries(service.seen.at(-1)?.headers ?? [])['aims-request-id'] ?? 'none'
  const admin = adminClient(domain.api)
  const [record] = await admin.listRecords({ correlationId: id })
  assert.deepEqual([record?.type, record?.decision, record?.agent?.id], ['authentication.succeeded', 'allow', ME])
  assert.equal(await send(gateway, requestText('GET / HTTP/1.1', [])), 401)
  const [refusal] = await admin.listRecords({ type: 'authentication.refused', limit: 1 })
  assert.deepEqual(refusal?.reasons, ['authentication.missing'])
  assert.deepEqual(gateway.events, [])
  const away = await start({ 'gateway.reportTo': join(domain.directory, 'nobody.sock') })
  assert.deepEqual(await refused(away, request()), [503, undefined])
})

test('who is revoked is refused, by the lists that the agent relays', { timeout: 240_000 }, async () => {
  const gateway = await start({ 'gateway.revocationStaleness': '15s' })
  const wit = me.wit.wit()
  // Until the first list is there nobody can be believed.
  await eventuallyTrue(async () => (await send(gateway, request(wit))) === 200)
  await domain.api.send({ method: 'POST', path: '/v1/revocations', body: { type: 'subject', value: ME } })
  await eventuallyTrue(async () => (await send(gateway, request(wit))) !== 200)
  assert.deepEqual(await refused(gateway, request(wit)), [400, 'credential.revoked'])
})
