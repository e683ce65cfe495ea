import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import {
  apiClient,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  noObserver,
  systemClock,
  WorkloadKey,
} from 'aims/base'
import { bundleSource, holdX509Svid, parseBundle } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { createSpawner, followRevocations, type IdentityServer, identityServer, type SubAgent } from 'aims/provisioning'
import { eventuallyTrue } from '../../../test/support/eventually.ts'
import { loadConfig } from './config/config.ts'
import type { Configuration } from './config/settings.ts'
import { type RunningServer, startServer } from './server.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-sub-agents-'))
const running = new Set<RunningServer>()
after(async () => {
  for (const server of running) await server.close()
  rmSync(root, { recursive: true })
})

let number = 0
async function config(): Promise<Configuration> {
  number += 1
  const dataDirectory = join(root, String(number))
  return loadConfig({ env: {}, overrides: { trustDomain: 'example.com', dataDirectory, 'listen.port': 0 } })
}
async function start(settings: Configuration): Promise<RunningServer> {
  const server = await startServer(settings, { log: () => undefined })
  running.add(server)
  return server
}
async function stop(server: RunningServer): Promise<void> {
  running.delete(server)
  await server.close()
}
async function api(server: RunningServer, path: string, body?: object): Promise<JsonObject> {
  const client = apiClient({ socketPath: server.socketPath })
  try {
    const answer = await client.send({ method: body === undefined ? 'GET' : 'POST', path, ...(body && { body }) })
    return isJsonObject(answer) ? answer : {}
  } finally {
    client.close()
  }
}

const trustDomain = parseTrustDomain('example.com')
const AUDIENCE = 'https://api.example.com'
const CALENDAR = 'spiffe://example.com/service/calendar'
const RIGHTS = [`call ${CALENDAR}#list`]
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }

/** An agent with its X.509-SVID, as its node agent would have brought it. */
async function agent(
  server: RunningServer,
  name: string,
  subAgents: JsonValue = { maxDepth: 2, max: 10, maxTtl: 300 },
) {
  const spiffeId = parseWorkloadSpiffeId(`spiffe://example.com/agent/${name}`)
  const { entries } = await api(server, '/v1/entries')
  if (!(entries as JsonObject[]).some(({ id }) => id === name)) {
    const entry = { id: name, spiffeId, selectors: posture.selectors, owner: 'team', purpose: 'tests', shared: true }
    await api(server, '/v1/entries', { ...entry, ...(subAgents === null ? {} : { subAgents }) })
  }
  const key = WorkloadKey.generate()
  const publicKey = key.publicKey.export({ format: 'jwk' })
  const issued = await api(server, '/v1/agent/x509-svids', { entryId: name, posture, publicKey })
  const certificates = (issued.chain as string[]).map((one) => Buffer.from(one, 'base64'))
  const way: IdentityServer = identityServer({
    trustDomain,
    server: `https://127.0.0.1:${server.port}`,
    bundle: Buffer.from(server.bundle()),
    clock: systemClock,
    keepAlive: true,
  })
  way.present(holdX509Svid({ certificates, key }))
  return { spiffeId, way, me: createSpawner({ spiffeId, server: way }) }
}

function verifier(server: RunningServer) {
  const bundles = bundleSource(parseBundle(server.bundle(), trustDomain).bundle)
  const client = apiClient({ socketPath: server.socketPath })
  const revocations = followRevocations({
    server: client,
    trustDomain,
    bundles,
    maxStaleness: 30,
    onFailure: () => undefined,
  })
  const service = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 10_000 }),
    observer: noObserver,
    revocations,
  })
  const ask = (one: SubAgent) => {
    const request = { method: 'GET', target: '/', audience: AUDIENCE }
    const headers = Object.entries(proofHeaders(one.wit.wit(), request, { now: systemClock() }))
    return service.authenticate({ ...request, headers })
  }
  const close = () => {
    revocations.close()
    client.close()
  }
  return { revocations, ask, close, changed: () => new Promise<void>((done) => void revocations.onChange(done)) }
}

// [provisioning.aims.05]
test('an agent spawns, its sub-agent proves itself and spawns again, and all of one turn are one record', async () => {
  const server = await start(await config())
  const { me, spiffeId } = await agent(server, 'planner')
  const { revocations, ask, close } = verifier(server)
  await revocations.ready()
  const [reader, other] = await Promise.all([
    me.spawn({ name: 'reader', ttl: 60, rights: RIGHTS }),
    me.spawn({ rights: [`call ${CALENDAR}`] }),
  ])
  assert.equal(reader.spiffeId, `${spiffeId}/sub/reader`)
  const principal = await ask(reader)
  assert.equal(principal.id, reader.spiffeId)
  assert.deepEqual(principal.delegation, { parent: spiffeId, rights: RIGHTS })
  assert.notEqual(reader.wit.wit().key.kid, other.wit.wit().key.kid)
  const below = await reader.spawn({ name: 'deeper', rights: RIGHTS })
  assert.equal((await ask(below)).id, `${reader.spiffeId}/sub/deeper`)
  assert.ok(below.expiresAt <= reader.expiresAt)

  await assert.rejects(reader.spawn({ rights: [`call ${CALENDAR}#create`] }), { code: 'provisioning.rights_exceeded' })
  await assert.rejects(below.spawn({ rights: RIGHTS }), { code: 'provisioning.sub_agents_too_deep' })
  await assert.rejects(me.spawn({ name: 'reader', rights: RIGHTS }), { code: 'provisioning.subject_taken' })
  const { records } = await api(server, '/v1/audit/records?type=provisioning.sub-agents-issued')
  assert.deepEqual(
    (records as JsonObject[]).map(({ details }) => (details as JsonObject).count),
    [1, 2],
  )
  const entry = {
    spiffeId: `${spiffeId}/sub/mine`,
    selectors: ['unix:uid:7', 'unix:path:/bin/x'],
    owner: 'x',
    purpose: 'x',
  }
  await assert.rejects(api(server, '/v1/entries', entry), { code: 'provisioning.subject_taken' })
  close()
  await stop(server)
})

test('an agent revokes its own sub-agents alone, for as long as they live, and no name of one is given to others', async () => {
  const server = await start(await config())
  const { entries } = await api(server, '/v1/entries')
  assert.deepEqual(entries, [])
  const below = { selectors: ['unix:uid:7', 'unix:path:/bin/x'], owner: 'x', purpose: 'x' }
  const root = 'spiffe://example.com/agent/planner'
  // Registered before the agent may have sub-agents.
  await api(server, '/v1/entries', { ...below, id: 'own', spiffeId: `${root}/sub/own` })
  await api(server, '/v1/entries', { ...below, id: 'old', spiffeId: `${root}/sub/old` })
  await api(server, '/v1/retirements', { spiffeId: `${root}/sub/old` })
  const { me, way } = await agent(server, 'planner', { maxDepth: 2, max: 10, maxTtl: 3000 })
  const revoke = (spiffeId: string) =>
    way.send({ method: 'POST', path: '/v1/sub-agents/revocations', body: { spiffeId } }) as Promise<JsonObject>
  for (const spiffeId of [`${root}/sub/own`, `${root}/sub/own/sub/child`]) {
    await assert.rejects(revoke(spiffeId), { code: 'provisioning.sub_agents_not_allowed' })
  }
  await assert.rejects(me.spawn({ name: 'old', rights: RIGHTS }), { code: 'provisioning.subject_retired' })
  const reader = await me.spawn({ name: 'reader', rights: RIGHTS })

  // The entry is made narrower, and what was made before lives on.
  const client = apiClient({ socketPath: server.socketPath })
  const {
    id: _,
    revision,
    ...entry
  } = (await client.send({
    method: 'GET',
    path: '/v1/entries/planner',
  })) as JsonObject
  const narrower = { ...entry, subAgents: { maxDepth: 2, max: 10, maxTtl: 10 } }
  await client.send({ method: 'PUT', path: `/v1/entries/planner?revision=${revision}`, body: narrower })
  assert.ok(Number((await revoke(reader.spiffeId)).expiresAt) >= reader.expiresAt)

  await api(server, '/v1/retirements', { spiffeId: root })
  const taken = { ...below, spiffeId: reader.spiffeId }
  await assert.rejects(api(server, '/v1/entries', taken), { code: 'provisioning.subject_retired' })
  const plan = await api(server, '/v1/entry-plans', { entries: [taken] })
  assert.deepEqual(
    (plan.problems as JsonObject[]).map(({ code }) => code),
    ['provisioning.subject_retired'],
  )
  await client.send({ method: 'POST', path: '/v1/entries?reuseRetired=true', body: taken })
  client.close()
  await stop(server)
})

test('who loses its sub-agents leaves their names in use while they live', async () => {
  const server = await start(await config())
  const { me } = await agent(server, 'former', { maxDepth: 2, max: 10, maxTtl: 2 })
  const worker = await me.spawn({ name: 'worker', rights: RIGHTS })
  const { entries } = await api(server, '/v1/entries')
  const [{ subAgents: _, revision, ...rest } = {}] = (entries as JsonObject[]).filter(({ id }) => id === 'former')
  const client = apiClient({ socketPath: server.socketPath })
  await client.send({ method: 'PUT', path: `/v1/entries/former?revision=${revision}`, body: rest })
  client.close()
  const whose = { owner: 'team', purpose: 'tests', shared: true }
  const take = (spiffeId: string) => api(server, '/v1/entries', { spiffeId, selectors: posture.selectors, ...whose })
  await assert.rejects(take(worker.spiffeId), { code: 'provisioning.subject_taken' })
  await take(`${worker.spiffeId}-2`)
  await eventuallyTrue(async () => (await take(worker.spiffeId)).spiffeId === worker.spiffeId)
  await stop(server)
})

test('whoever may have no sub-agents gets none, and nobody asks for another', async () => {
  const server = await start(await config())
  const childless = await agent(server, 'childless', null)
  await assert.rejects(childless.me.spawn({ rights: RIGHTS }), { code: 'provisioning.sub_agents_not_allowed' })
  const { me, way } = await agent(server, 'planner')
  const reader = await me.spawn({ name: 'reader', rights: RIGHTS })
  const rival = await agent(server, 'rival')
  const send = (body: object, through = rival.way) => through.send({ method: 'POST', path: '/v1/sub-agents', body })
  const publicKey = WorkloadKey.generate().publicKey.export({ format: 'jwk' })
  const subAgents = [{ publicKey, rights: RIGHTS }]
  // The WIT of a sub-agent is no secret; below it only its own root spawns.
  await assert.rejects(send({ subAgents, parent: reader.wit.wit().token }), {
    code: 'provisioning.sub_agents_not_allowed',
  })
  await assert.rejects(send({ subAgents, parent: 'a.b.c' }), { code: 'credential.malformed' })
  await assert.rejects(send({ subAgents: [] }), { code: 'operation.request_malformed' })
  await assert.rejects(send({ subAgents: [{ publicKey }] }), { code: 'operation.request_malformed' })
  const revoke = (spiffeId: string, through: IdentityServer) =>
    through.send({ method: 'POST', path: '/v1/sub-agents/revocations', body: { spiffeId } })
  await assert.rejects(revoke(reader.spiffeId, rival.way), { code: 'provisioning.sub_agents_not_allowed' })
  await assert.rejects(revoke(rival.spiffeId, rival.way), { code: 'provisioning.sub_agents_not_allowed' })
  // A key that is somebody's already.
  const taken = reader.wit.wit().key.publicKey.export({ format: 'jwk' })
  await assert.rejects(send({ subAgents: [{ publicKey: taken, rights: RIGHTS }] }), { code: 'credential.key_reuse' })
  const offCurve = { ...publicKey, y: publicKey.x }
  await assert.rejects(send({ subAgents: [{ publicKey: offCurve, rights: RIGHTS }] }), { code: 'key.malformed' })
  way.present(undefined)
  await assert.rejects(send({ subAgents }, way), { code: 'operation.unauthenticated' })
  await stop(server)
})

test('the number of sub-agents has a limit that a restart does not lift, and a refused batch counts nothing', async () => {
  const settings = await config()
  let server = await start(settings)
  const limits = { maxDepth: 1, max: 3, maxTtl: 300 }
  const first = await agent(server, 'planner', limits)
  const two = [first.me.spawn({ rights: RIGHTS }), first.me.spawn({ rights: RIGHTS })]
  await Promise.all(two)
  const tooMany = [first.me.spawn({ rights: RIGHTS }), first.me.spawn({ rights: RIGHTS })]
  for (const one of await Promise.allSettled(tooMany)) {
    assert.equal(one.status === 'rejected' && one.reason.code, 'provisioning.too_many_sub_agents')
  }
  first.way.close()
  await stop(server)
  server = await start(settings)
  const again = await agent(server, 'planner', limits)
  await again.me.spawn({ rights: RIGHTS })
  await assert.rejects(again.me.spawn({ rights: RIGHTS }), { code: 'provisioning.too_many_sub_agents' })
  await stop(server)
})

// [provisioning.aims.07]
test('revoking a sub-agent ends it and those below; revoking the agent ends exactly its own', async () => {
  const server = await start(await config())
  const { me, spiffeId } = await agent(server, 'planner')
  const rival = await agent(server, 'planner2')
  const { revocations, ask, close, changed } = verifier(server)
  await revocations.ready()
  const [a, b] = await Promise.all([me.spawn({ name: 'a', rights: RIGHTS }), me.spawn({ name: 'b', rights: RIGHTS })])
  const below = await a.spawn({ name: 'c', rights: RIGHTS })
  const other = await rival.me.spawn({ name: 'a', rights: RIGHTS })
  const witOfA = a.wit.wit()
  let heard = changed()
  await a.revoke()
  await heard
  assert.throws(() => a.wit.wit(), { code: 'provisioning.not_ready' })
  await assert.rejects(a.spawn({ rights: RIGHTS }), { code: 'provisioning.closed' })
  await assert.rejects(ask({ ...a, wit: { wit: () => witOfA } }), { code: 'credential.revoked' })
  await assert.rejects(ask(below), { code: 'credential.revoked' })
  await assert.rejects(below.spawn({ rights: RIGHTS }), {
    code: /^(credential\.revoked|provisioning\.sub_agents_too_deep)$/,
  })
  for (const one of [b, other]) await ask(one)

  heard = changed()
  await api(server, '/v1/revocations', { type: 'subject', value: spiffeId })
  await heard
  await assert.rejects(ask(b), { code: 'credential.revoked' })
  await ask(other)
  // With the old certificate nothing is made any more.
  await assert.rejects(me.spawn({ rights: RIGHTS }), { code: 'operation.unauthenticated' })
  close()
  await stop(server)
})
