import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { joinTokenCollector, x509PopCollector } from 'aims/attestation'
import { type ApiClient, apiClient, encodePem, exportPublicJwk, type JsonObject, WorkloadKey } from 'aims/base'
import { bundleSource, holdX509Svid, parseBundle, serializeBundle, verifyRevocationList } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import {
  type AgentIdentity,
  type AgentProofPurpose,
  agentProofNonce,
  attestAgent,
  type IdentityServer,
  identityServer,
  renewAgent,
  signKeyProof,
} from 'aims/provisioning'
import { federatedDomain } from '../../../../test/support/bundle-endpoint.ts'
import { makeCertificate, makeRoot } from '../../../../test/support/vendor-pki.ts'
import { type AdminClient, adminClient } from '../admin-client.ts'
import { loadConfig } from '../config/config.ts'
import { type RunningServer, startServer } from '../server.ts'

const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-nodes-'))
const machineCa = makeRoot('Machine CA')
const clock = (): number => Date.now() / 1000
const { signal } = new AbortController()
let server: RunningServer
let api: ApiClient
let admin: AdminClient
const opened: IdentityServer[] = []

before(async () => {
  writeFileSync(join(root, 'ca.pem'), machineCa.pem)
  const overrides = {
    trustDomain,
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    attestation: { 'x509-pop': { authorities: join(root, 'ca.pem') } },
    'agents.attestation': { 'join-token': {}, 'x509-pop': {} },
  }
  server = await startServer(await loadConfig({ env: {}, overrides }))
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
})
after(async () => {
  for (const one of opened) one.close()
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

function reach(): IdentityServer {
  const bundle = Buffer.from(server.bundle())
  const one = identityServer({ trustDomain, server: `https://localhost:${server.port}`, bundle, clock })
  opened.push(one)
  return one
}

const makeToken = async (name: string, ttl?: number, use = 'agent'): Promise<string> => {
  const body = { name, for: use, ...(ttl === undefined ? {} : { ttl }) }
  return String(((await api.send({ method: 'POST', path: '/v1/join-tokens', body })) as JsonObject).token)
}

interface Joined extends AgentIdentity {
  readonly at: IdentityServer
  readonly id: string
}

async function attest(collector: Parameters<typeof attestAgent>[1]['collector']): Promise<Joined> {
  const at = reach()
  const identity = await attestAgent(at, { trustDomain, collector, clock, signal })
  at.present(identity.svid)
  return { ...identity, at, id: identity.svid.spiffeId.split('/').at(-1) ?? '' }
}
const joined = async (name = 'edge'): Promise<Joined> => {
  const token = await makeToken(name)
  return attest(joinTokenCollector(() => token))
}
const machine = (subject: string) => {
  const certificate = makeCertificate({ subject, issuer: machineCa })
  const key = encodePem('PRIVATE KEY', certificate.key.privateKey.export({ type: 'pkcs8', format: 'der' }))
  return x509PopCollector(() => ({ certificates: Buffer.from(certificate.pem), key }))
}
const entriesOf = async ({ at }: Joined, query = ''): Promise<JsonObject | undefined> =>
  (await at.send({ method: 'GET', path: `/v1/agent/entries${query}` })) as JsonObject | undefined
const idsOf = (state: JsonObject = {}) => (state.entries as JsonObject[]).map(({ id }) => id)
const ban = (id: string, query = '') => api.send({ method: 'POST', path: `/v1/agents/${id}/ban${query}` })
const revokedNow = async (): Promise<readonly string[]> => {
  const { list } = (await api.send({ method: 'GET', path: '/v1/revocations' })) as JsonObject
  const bundles = bundleSource(parseBundle(server.bundle(), trustDomain).bundle)
  return verifyRevocationList(String(list), { trustDomain, bundles, now: clock() }).revocations.map(
    ({ value }) => value,
  )
}
const evict = (id: string) => api.send({ method: 'DELETE', path: `/v1/agents/${id}` })
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }
let made = 0
const entryFor = async (...agents: readonly (string | readonly string[])[]): Promise<string> => {
  made += 1
  const id = `entry-${made}`
  const entry = { id, spiffeId: `spiffe://example.com/job/${id}`, selectors: posture.selectors }
  await api.send({
    method: 'POST',
    path: '/v1/entries',
    body: { ...entry, ...(agents.length === 0 ? {} : { agents }) },
  })
  return id
}

async function ask(
  { at, svid }: Joined,
  entryId: string,
  change: {
    readonly key?: WorkloadKey
    readonly proofKey?: WorkloadKey
    readonly proof?: Partial<AgentProofPurpose>
  } = {},
  type: 'x509-svid' | 'wit' = 'x509-svid',
): Promise<JsonObject> {
  const { key = WorkloadKey.generate(), proofKey = key, proof = {} } = change
  const purpose = { agent: svid.spiffeId, purpose: type, entryId, ...proof } as AgentProofPurpose
  const nonce = agentProofNonce(purpose)
  const keyProof = await signKeyProof({ nonce, trustDomain, thumbprint: key.kid }, proofKey)
  const body = { entryId, posture, publicKey: exportPublicJwk(key.publicKey), keyProof }
  return (await at.send({ method: 'POST', path: `/v1/agent/${type}s`, body })) as JsonObject
}

// Sends the head of a request, does something, and then sends the body. Returns the code of the refusal.
async function slowly(
  { svid }: Joined,
  path: string,
  entryId: string,
  between: () => Promise<unknown>,
): Promise<string> {
  const key = WorkloadKey.generate()
  const isRenewal = path.endsWith('/renew')
  const about = { agent: svid.spiffeId, entryId, purpose: isRenewal ? 'renew' : 'x509-svid' } as AgentProofPurpose
  const nonce = agentProofNonce(about)
  const keyProof = await signKeyProof({ nonce, trustDomain, thumbprint: key.kid }, key)
  const common = { publicKey: exportPublicJwk(key.publicKey), keyProof }
  const body = JSON.stringify(isRenewal ? common : { ...common, entryId, posture })
  const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
  const cert = svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  const shown = { cert, key: svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }), rejectUnauthorized: false }
  const text = await new Promise<string>((resolve, reject) => {
    const options = { host: 'localhost', port: server.port, path, method: 'POST', headers, agent: false, ...shown }
    const sent = request(options, (response) => {
      response
        .setEncoding('utf8')
        .toArray()
        .then((chunks) => resolve(chunks.join('')), reject)
    })
    sent.on('error', reject)
    sent.once('continue', () => void between().then(() => sent.end(body), reject))
    sent.flushHeaders()
  })
  return String((JSON.parse(text) as JsonObject).code)
}

describe('a join token', () => {
  test('makes one agent, and its name is the selector', async () => {
    const agent = await joined('edge-1')
    const { agents } = (await api.send({ method: 'GET', path: '/v1/agents' })) as { agents: JsonObject[] }
    const known = agents.find(({ id }) => id === agent.id)
    assert.deepEqual(known?.selectors, ['join-token:name:edge-1'])
    assert.deepEqual([known?.state, known?.type, known?.mayReattest], ['active', 'join-token', false])
    assert.equal(known?.spiffeId, `spiffe://example.com/aims/agent/join-token/${agent.id}`)
    assert.equal(agent.mayReattest, false)
  })

  test('is good once, and who comes second is recorded', async () => {
    const token = await makeToken('once')
    const collector = joinTokenCollector(() => token)
    await attest(collector)
    await assert.rejects(attest(collector), { code: 'attestation.token_unknown' })
    const [refusal] = await admin.listRecords({ type: 'attestation.refused' })
    assert.deepEqual(refusal?.reasons, ['attestation.token_unknown'])
  })

  test('that was made for a workload makes no agent, and stays for its workload', async () => {
    const token = await makeToken('ci', 600, 'workload')
    const before = (await admin.listRecords({ type: 'attestation.succeeded' })).length
    await assert.rejects(attest(joinTokenCollector(() => token)), { code: 'attestation.token_other_use' })
    const [refusal] = await admin.listRecords({ type: 'attestation.refused' })
    assert.deepEqual(refusal?.reasons, ['attestation.token_other_use'])
    assert.equal((await admin.listRecords({ type: 'attestation.succeeded' })).length, before)
    const { tokens } = (await api.send({ method: 'GET', path: '/v1/join-tokens' })) as { tokens: JsonObject[] }
    assert.equal(tokens.find(({ name }) => name === 'ci')?.use, 'workload')
  })

  test('that is raced over the network lets exactly one in', async () => {
    const token = await makeToken('raced')
    const collector = joinTokenCollector(() => token)
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => attest(collector)))
    assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  test('that has expired lets nobody in', async () => {
    const token = await makeToken('brief', 1)
    await new Promise((resolve) => setTimeout(resolve, 1100))
    await assert.rejects(attest(joinTokenCollector(() => token)), { code: 'attestation.token_unknown' })
  })

  test('that was taken back lets nobody in', async () => {
    const token = await makeToken('back')
    const { tokens } = (await api.send({ method: 'GET', path: '/v1/join-tokens' })) as { tokens: JsonObject[] }
    const waiting = tokens.find(({ name }) => name === 'back')
    assert.ok(!JSON.stringify(tokens).includes(token))
    await api.send({ method: 'DELETE', path: `/v1/join-tokens/${waiting?.id}` })
    await assert.rejects(attest(joinTokenCollector(() => token)), { code: 'attestation.token_unknown' })
  })

  test('is nowhere on disk', async () => {
    const unused = await makeToken('secret')
    const used = await makeToken('secret')
    await attest(joinTokenCollector(() => used))
    for (const file of readdirSync(join(root, 'data')).filter((name) => name !== 'api.sock')) {
      const content = readFileSync(join(root, 'data', file), 'latin1')
      assert.ok(!content.includes(unused) && !content.includes(used), file)
    }
  })
})

describe('attestation of agents', () => {
  test('by a certificate may be repeated, and the SVID before it is worth nothing then', async () => {
    const collector = machine('web-1')
    const first = await attest(collector)
    const second = await attest(collector)
    assert.equal(second.svid.spiffeId, first.svid.spiffeId)
    assert.equal(second.mayReattest, true)
    await entriesOf(second)
    await assert.rejects(entriesOf(first), { code: 'provisioning.agent_unknown' })
  })

  test('does not take a challenge that was given to a workload, nor the other way round', async () => {
    const at = reach()
    const swapping: IdentityServer = {
      ...at,
      send: (request) => {
        const body = { ...(request.body as JsonObject) }
        if (request.path === '/v1/attestation/challenges') delete body.use
        return at.send({ ...request, body })
      },
    }
    const token = await makeToken('swapped')
    const collector = joinTokenCollector(() => token)
    const made = attestAgent(swapping, { trustDomain, collector, clock, signal })
    await assert.rejects(made, { code: 'attestation.challenge_unknown' })
    const other: IdentityServer = {
      ...at,
      send: (request) =>
        at.send({ ...request, path: request.path === '/v1/agents/attest' ? '/v1/credentials' : request.path }),
    }
    await assert.rejects(attestAgent(other, { trustDomain, collector, clock, signal }), {
      code: 'attestation.challenge_unknown',
    })
    // Neither has used the token up.
    await attest(collector)
  })

  test('over a certificate that leads elsewhere is refused', async () => {
    const foreign = makeRoot('Machine CA')
    const certificate = makeCertificate({ subject: 'web-1', issuer: foreign })
    const key = encodePem('PRIVATE KEY', certificate.key.privateKey.export({ type: 'pkcs8', format: 'der' }))
    const collector = x509PopCollector(() => ({ certificates: Buffer.from(certificate.pem), key }))
    await assert.rejects(attest(collector), { code: 'attestation.invalid_signature' })
  })
})

describe('a renewal', () => {
  const options = { trustDomain, signal }

  test('gives a new key, and ends the SVID before it when the new one is shown', async () => {
    const agent = await joined()
    const next = await renewAgent(agent.at, agent, options)
    assert.notEqual(next.svid.key.kid, agent.svid.key.kid)
    // The agent may die before it has the answer: what it holds is still good.
    await entriesOf(agent)
    const at = reach()
    at.present(next.svid)
    await entriesOf({ ...agent, at })
    await assert.rejects(entriesOf(agent), { code: 'provisioning.agent_unknown' })
  })

  test('that was lost may be repeated', async () => {
    const agent = await joined()
    const lost = await renewAgent(agent.at, agent, options)
    const next = await renewAgent(agent.at, agent, options)
    const [at, late] = [reach(), reach()]
    at.present(next.svid)
    late.present(lost.svid)
    await entriesOf({ ...agent, at })
    await assert.rejects(entriesOf({ ...agent, at: late }), { code: 'provisioning.agent_unknown' })
  })

  test('that was under way when the machine was attested anew is none', async () => {
    const collector = machine('slow-1')
    const before = await attest(collector)
    const again = () => attest(collector)
    assert.equal(await slowly(before, '/v1/agents/renew', '', again), 'provisioning.agent_unknown')
  })

  test('that waited behind an attestation of the same machine is of no use', async () => {
    const collector = machine('raced-1')
    for (let round = 0; round < 10; round += 1) {
      const before = await attest(collector)
      const [fresh, renewed] = await Promise.allSettled([attest(collector), renewAgent(before.at, before, options)])
      assert.equal(fresh.status, 'fulfilled')
      if (renewed.status === 'fulfilled') {
        const at = reach()
        at.present(renewed.value.svid)
        await assert.rejects(entriesOf({ ...before, at }), { code: 'provisioning.agent_unknown' })
      }
      await entriesOf(fresh.value)
    }
  })

  for (const [what, code, make] of [
    ['for the key that it has', 'credential.key_reuse', ({ svid }: Joined) => [svid.key, svid.key]],
    [
      'without holding the key',
      'provisioning.key_proof_invalid',
      () => [WorkloadKey.generate(), WorkloadKey.generate()],
    ],
  ] as const) {
    test(`${what} is refused`, async () => {
      const agent = await joined()
      const [key, signer] = make(agent) as [WorkloadKey, WorkloadKey]
      const nonce = agentProofNonce({ agent: agent.svid.spiffeId, purpose: 'renew' })
      const keyProof = await signKeyProof({ nonce, trustDomain, thumbprint: key.kid }, signer)
      const body = { publicKey: exportPublicJwk(key.publicKey), keyProof }
      await assert.rejects(agent.at.send({ method: 'POST', path: '/v1/agents/renew', body }), { code })
    })
  }

  test('is for agents alone', async () => {
    const body = { publicKey: exportPublicJwk(WorkloadKey.generate().publicKey), keyProof: 'none' }
    await assert.rejects(reach().send({ method: 'POST', path: '/v1/agents/renew', body }), {
      code: 'operation.unauthenticated',
    })
  })
})

describe('a banned agent', () => {
  test('is refused everywhere at once, also where it waits, and may not be attested again', async () => {
    const collector = machine('banned-1')
    const agent = await attest(collector)
    const { revision } = (await entriesOf(agent)) as JsonObject
    const waiting = entriesOf(agent, `?after=${revision}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await Promise.all([assert.rejects(waiting, { code: 'provisioning.agent_banned' }), ban(agent.id)])
    const code = 'provisioning.agent_banned'
    await assert.rejects(entriesOf(agent), { code })
    await assert.rejects(agent.at.send({ method: 'GET', path: '/v1/bundle' }), { code })
    await assert.rejects(renewAgent(agent.at, agent, { trustDomain, signal }), { code })
    await assert.rejects(attest(collector), { code })
    const [record] = await admin.listRecords({ type: 'provisioning.agent-banned' })
    assert.equal(record?.details?.spiffeId, agent.svid.spiffeId)
    await evict(agent.id)
    await assert.rejects(entriesOf(agent), { code: 'provisioning.agent_unknown' })
    await entriesOf(await attest(collector))
  })

  for (const [what, code, end] of [
    ['is banned', 'provisioning.agent_banned', (id: string) => ban(id)],
    ['is evicted', 'provisioning.agent_unknown', (id: string) => evict(id)],
  ] as const) {
    test(`gets nothing for a request that was under way when it ${what}`, async () => {
      const agent = await joined('slow')
      const own = await entryFor(['join-token:name:slow'])
      for (const path of ['/v1/agent/x509-svids', '/v1/agents/renew']) {
        const now = await joined('slow')
        assert.equal(await slowly(now, path, own, () => end(now.id)), code)
      }
      await entriesOf(agent)
    })
  }

  test('leaves what its workloads hold, or takes exactly that too', async () => {
    const [agent, other] = [await joined('taken'), await joined('not-taken')]
    const own = await entryFor(['join-token:name:taken'])
    const shared = await entryFor(['join-token:name:taken'], ['join-token:name:not-taken'])
    const foreign = await entryFor(['join-token:name:not-taken'])
    // What it could serve until a moment ago: the keys may still be in its memory.
    const [moved, gone] = [await entryFor(['join-token:name:taken']), await entryFor(['join-token:name:taken'])]
    const { id: _, revision: first, ...rest } = await admin.showEntry(moved)
    await admin.updateEntry(moved, { ...rest, agents: [['join-token:name:not-taken']] }, first)
    await admin.deleteEntry(gone)
    const before = await revokedNow()
    assert.deepEqual(((await ban(agent.id)) as JsonObject).revoked, [])
    assert.deepEqual(await revokedNow(), before)

    const subjects = [agent.svid.spiffeId, ...[own, shared, moved, gone].map((id) => `spiffe://example.com/job/${id}`)]
    assert.deepEqual(((await ban(agent.id, '?revoke=true')) as JsonObject).revoked, subjects)
    const added = (await revokedNow()).filter((value) => !before.includes(value))
    assert.deepEqual(added.toSorted(), subjects.toSorted())
    // What the other agent shares with it is issued anew, and counts.
    const { revision } = await admin.showEntry(shared)
    assert.deepEqual([revision, (await admin.showEntry(foreign)).revision], [2, 1])
    assert.ok((await ask(other, shared)).chain)
    await assert.rejects(ask(agent, own), { code: 'provisioning.agent_banned' })
    await assert.rejects(ban(agent.id, '?revoke=true&all=true'), { code: 'operation.request_malformed' })
  })

  test('must be one', async () => {
    const none = '0'.repeat(32)
    await assert.rejects(ban(none, '?revoke=true'), { code: 'provisioning.agent_not_found' })
    await assert.rejects(ban(none), { code: 'provisioning.agent_not_found' })
    await assert.rejects(evict(none), { code: 'provisioning.agent_not_found' })
  })
})

describe('an agent on another host', () => {
  test('sees the entries that name it, by its SPIFFE ID or by all selectors of a group', async () => {
    const agent = await joined('scoped')
    const byId = await entryFor(agent.svid.spiffeId)
    const byName = await entryFor(['join-token:name:scoped'])
    const byBoth = await entryFor(['join-token:name:scoped', 'x509-pop:subject-cn:web-1'], ['join-token:name:other'])
    const local = await entryFor()
    const seen = idsOf(await entriesOf(agent))
    assert.deepEqual(
      [byId, byName, byBoth, local].map((id) => seen.includes(id)),
      [true, true, false, false],
    )
    const beside = idsOf((await api.send({ method: 'GET', path: '/v1/agent/entries' })) as JsonObject)
    assert.deepEqual(
      [byId, byName, byBoth, local].map((id) => beside.includes(id)),
      [false, false, false, true],
    )
  })

  test('has credentials issued for those entries and no others', async () => {
    const agent = await joined('issuing')
    const own = await entryFor(['join-token:name:issuing'])
    const key = WorkloadKey.generate()
    assert.ok((await ask(agent, own, { key })).serialNumber)
    assert.ok((await ask(agent, own, {}, 'wit')).token)
    const [issued] = await admin.listRecords({
      type: 'provisioning.issued',
      agent: `spiffe://example.com/job/${own}`,
    })
    assert.equal(issued?.details?.via, agent.svid.spiffeId)
    for (const other of [await entryFor(['join-token:name:else']), await entryFor(), 'no-such-entry']) {
      await assert.rejects(ask(agent, other), { code: 'provisioning.entry_not_found' })
      const body = { entryId: other, posture, audiences: ['a'] }
      await assert.rejects(agent.at.send({ method: 'POST', path: '/v1/agent/jwt-svids', body }), {
        code: 'provisioning.entry_not_found',
      })
    }
    const [refusal] = await admin.listRecords({ type: 'provisioning.refused' })
    assert.equal(refusal?.details?.via, agent.svid.spiffeId)
  })

  test('has its own identity issued by nobody else, the agent beside the server included', async () => {
    const agent = await joined()
    const body = { entryId: agent.id, posture, publicKey: exportPublicJwk(WorkloadKey.generate().publicKey) }
    await assert.rejects(api.send({ method: 'POST', path: '/v1/agent/x509-svids', body }), {
      code: 'provisioning.entry_not_found',
    })
  })

  test('the agent beside the server gets nothing for entries of others', async () => {
    const other = await entryFor(['join-token:name:else'])
    const body = { entryId: other, posture, publicKey: exportPublicJwk(WorkloadKey.generate().publicKey) }
    await assert.rejects(api.send({ method: 'POST', path: '/v1/agent/x509-svids', body }), {
      code: 'provisioning.not_entitled',
    })
  })

  for (const [what, change] of [
    ['by another key', { proofKey: WorkloadKey.generate() }],
    ['for another entry', { proof: { entryId: 'entry-1' } }],
    ['for another agent', { proof: { agent: 'spiffe://example.com/aims/agent/join-token/other' } }],
    ['for another credential', { proof: { purpose: 'wit' } }],
  ] as const) {
    test(`shows no proof of the workload's key that was made ${what}`, async () => {
      const agent = await joined('proving')
      const own = await entryFor(['join-token:name:proving'])
      await assert.rejects(ask(agent, own, change as Parameters<typeof ask>[2]), {
        code: 'provisioning.key_proof_invalid',
      })
    })
  }

  test('hears what changed for it, what it may not serve any more, and nothing of others', async () => {
    const agent = await joined('delta')
    const mine = ['join-token:name:delta']
    const [kept, moved, gone] = [await entryFor(mine), await entryFor(mine), await entryFor(mine)]
    const state = await entriesOf(agent)
    const revision = Number(state?.revision)
    await entryFor(['join-token:name:else'])
    await admin.deleteEntry(gone)
    const { id: _, revision: before, ...rest } = await admin.showEntry(moved)
    await admin.updateEntry(moved, { ...rest, agents: [['join-token:name:else']] }, before)
    const fresh = await entryFor(mine)
    const delta = (await entriesOf(agent, `?after=${revision}&changes=true`)) as JsonObject
    assert.deepEqual(idsOf(delta), [fresh])
    assert.deepEqual((delta.removed as string[]).toSorted(), [moved, gone].sort())
    const whole = await entriesOf(agent, `?after=${revision}`)
    assert.deepEqual(idsOf(whole).toSorted(), [kept, fresh].sort())
    assert.equal(whole?.removed, undefined)
    const ancient = await entriesOf(agent, '?after=0&changes=true')
    assert.equal(ancient?.removed, undefined)
  })

  test('is not woken by what is none of its business', async () => {
    const agent = await joined('asleep')
    const { revision } = (await entriesOf(agent)) as JsonObject
    let isAwake = false
    const waiting = entriesOf(agent, `?after=${revision}&changes=true`).finally(() => {
      isAwake = true
    })
    await entryFor(['join-token:name:else'])
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(isAwake, false)
    const own = await entryFor(['join-token:name:asleep'])
    assert.deepEqual(idsOf(await waiting), [own])
  })
})

describe('an agent that waits', () => {
  const waitingAs = async (name: string) => {
    const collector = machine(name)
    const agent = await attest(collector)
    const { revision } = (await entriesOf(agent)) as JsonObject
    const waiting = entriesOf(agent, `?after=${revision}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    return { agent, collector, waiting }
  }
  test('hears at once that its SVID was revoked', async () => {
    const { agent, waiting } = await waitingAs('waiting-1')
    const body = { type: 'subject', value: agent.svid.spiffeId }
    const revoked = api.send({ method: 'POST', path: '/v1/revocations', body })
    await Promise.all([assert.rejects(waiting, { code: 'operation.unauthenticated' }), revoked])
  })

  test('hears at once that its machine was attested anew somewhere else', async () => {
    const { collector, waiting } = await waitingAs('waiting-2')
    await Promise.all([assert.rejects(waiting, { code: 'provisioning.agent_unknown' }), attest(collector)])
  })
})

test('an agent gets the bundles of other trust domains that its entries name, and no others', async () => {
  for (const name of ['partner.example', 'other.example'].map(parseTrustDomain)) {
    const { bundle } = await federatedDomain(name)
    const relationship = {
      url: `https://${name}:8443/v1/bundle`,
      profile: 'https_spiffe',
      endpointSpiffeId: `spiffe://${name}/aims/server`,
      bundle: serializeBundle(bundle),
    }
    await api.send({ method: 'PUT', path: `/v1/federation/${name}`, body: relationship })
  }
  const names = (state: JsonObject = {}) => (state.federated as JsonObject[]).map((one) => one.trustDomain)
  const agent = await joined('federated')
  const before = (await entriesOf(agent)) as JsonObject
  assert.deepEqual(names(before), [])
  const id = await entryFor(['join-token:name:federated'])
  const { id: _, revision, ...entry } = await admin.showEntry(id)
  await admin.updateEntry(id, { ...entry, federatesWith: [parseTrustDomain('partner.example')] }, revision)
  assert.deepEqual(names(await entriesOf(agent, `?after=${before.revision}&changes=true`)), ['partner.example'])
  assert.deepEqual(names(await entriesOf(agent)), ['partner.example'])
  assert.deepEqual(names(await entriesOf(await joined('alone'))), [])
})

test('administering over HTTPS is no way to act as an agent', async () => {
  await admin.createEntry({
    id: 'root',
    spiffeId: 'spiffe://example.com/op/root',
    selectors: posture.selectors,
    admin: true,
  })
  const key = WorkloadKey.generate()
  const body = { entryId: 'root', posture, publicKey: exportPublicJwk(key.publicKey) }
  const answer = (await api.send({ method: 'POST', path: '/v1/agent/x509-svids', body })) as { chain: string[] }
  const at = reach()
  at.present(holdX509Svid({ certificates: answer.chain.map((one) => Buffer.from(one, 'base64')), key }))
  await at.send({ method: 'GET', path: '/v1/agents' })
  await assert.rejects(at.send({ method: 'GET', path: '/v1/agent/entries' }), { code: 'operation.not_permitted' })
})
