import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ApiClient, apiClient, isJsonObject, type JsonObject } from 'aims/base'
import { serializeBundle, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { type ConnectedIdentity, connectByEvidence, type IdentityServer, identityServer } from 'aims/provisioning'
import { type AdminClient, adminClient, loadConfig, type RunningServer, startServer } from 'aims-server'
import { readTrust } from '../../packages/aims/src/provisioning/evidence/trust.ts'
import { type FederatedDomain, federatedDomain } from '../support/bundle-endpoint.ts'
import { eventually } from '../support/eventually.ts'
import { testPlatform } from '../support/platform.ts'

const trustDomain = parseTrustDomain('example.com')
const partner = parseTrustDomain('partner.example')
const root = mkdtempSync(join(tmpdir(), 'aims-agentless-trust-'))
const platform = testPlatform()
let server: RunningServer
let api: ApiClient
let admin: AdminClient
let other: FederatedDomain

before(async () => {
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0 }
  const verifiers = new Map([['gcp', platform.verifier('gcp', 'full')]] as const)
  server = await startServer(await loadConfig({ env: {}, overrides }), { verifiers, log: () => undefined })
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
  other = await federatedDomain(partner)
  await relate(other)
  const entry = (name: string, more: object = {}) =>
    admin.createEntry({
      id: name,
      spiffeId: `spiffe://example.com/agent/${name}`,
      selectors: [`gcp:image:${name}`],
      owner: 'test',
      purpose: 'test',
      ...more,
    })
  await entry('alone')
  await entry('events', { federatesWith: [partner] })
  await entry('tokens', { federatesWith: [partner], credentialTypes: ['wit'] })
  await entry('changed', { federatesWith: [partner] })
  await entry('stolen')
  await entry('retired')
})
after(async () => {
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

// Nobody answers at the endpoint: what is held comes from the operator.
const relate = ({ bundle }: FederatedDomain): Promise<unknown> =>
  api.send({
    method: 'PUT',
    path: `/v1/federation/${partner}`,
    body: {
      url: 'https://aims.partner.example/v1/bundle',
      profile: 'https_spiffe',
      endpointSpiffeId: 'spiffe://partner.example/aims/server',
      bundle: serializeBundle(bundle, { includeWit: true }),
    },
  })

const connect = (name: string): Promise<ConnectedIdentity> =>
  connectByEvidence({
    trustDomain,
    server: `https://127.0.0.1:${server.port}`,
    bundle: Buffer.from(server.bundle()),
    collectors: [platform.collector('gcp', () => ({ image: name }))],
    backoff: 20,
    maxBackoff: 100,
  })

const isUsable = (read: () => unknown): boolean => {
  try {
    read()
    return true
  } catch {
    return false
  }
}

describe('a workload without an agent [provisioning.federation.14]', () => {
  test('gets the bundles that its entry names with its credentials, of all kinds', async () => {
    using me = await connect('events')
    const bundle = me.bundles.bundleFor(partner)
    assert.equal(bundle?.x509Authorities.length, 1)
    assert.deepEqual([...(bundle?.jwtAuthorities.keys() ?? [])], [other.jwtKey.kid])
    assert.deepEqual([...(bundle?.witAuthorities.keys() ?? [])], [other.witKey.kid])
    const peer = await other.ca.svid('/service/calendar')
    const now = Date.now() / 1000
    assert.equal(verifyX509Svid(peer.certificates, { bundles: me.bundles, now }).subject, peer.spiffeId)
    using alone = await connect('alone')
    assert.equal(alone.bundles.bundleFor(partner), undefined)
    assert.throws(() => verifyX509Svid(peer.certificates, { bundles: alone.bundles, now }), {
      code: 'x509.untrusted_domain',
    })
  })

  test('gets newer ones as they come, and loses them with the relationship, without a new credential [provisioning.federation.12]', async () => {
    using me = await connect('events')
    const svid = me.x509.x509Svid()
    const before = me.bundles.bundleFor(partner)?.jwtAuthorities
    const next = await federatedDomain(partner, 6n)
    const bundle = {
      ...next.bundle,
      x509Authorities: [...other.bundle.x509Authorities, ...next.bundle.x509Authorities],
    }
    const body = { bundle: serializeBundle(bundle, { includeWit: true }) }
    await api.send({ method: 'PUT', path: `/v1/federation/${partner}/bundle`, body })
    await eventually('two authorities', () => me.bundles.bundleFor(partner)?.x509Authorities.length === 2)
    assert.notDeepEqual(me.bundles.bundleFor(partner)?.jwtAuthorities, before)
    await api.send({ method: 'DELETE', path: `/v1/federation/${partner}` })
    await eventually('no bundle', () => me.bundles.bundleFor(partner) === undefined)
    assert.notEqual(me.bundles.bundleFor(trustDomain), undefined)
    assert.equal(me.x509.x509Svid(), svid)
    await relate(other)
    await eventually('the bundle again', () => me.bundles.bundleFor(partner) !== undefined)
  })

  test('without an X.509-SVID gets them with its credentials all the same', async () => {
    using me = await connect('tokens')
    assert.equal(me.bundles.bundleFor(partner)?.witAuthorities.size, 1)
    assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
  })

  test('attests anew when its entry has changed, and has no more than the entry says', async () => {
    using me = await connect('changed')
    const svid = me.x509.x509Svid()
    const { revision } = await admin.showEntry('changed')
    const entry = { spiffeId: 'spiffe://example.com/agent/changed', selectors: ['gcp:image:changed'] }
    await admin.updateEntry('changed', { ...entry, owner: 'test', purpose: 'test', federatesWith: [] }, revision)
    await eventually('a new SVID', () => me.x509.x509Svid() !== svid)
    assert.equal(me.bundles.bundleFor(partner), undefined)
  })
})

// [provisioning.authorities.04]
describe('what is not to be relied on', () => {
  test('a tainted authority: what it signed is replaced at once, and goes on verifying meanwhile', async () => {
    using me = await connect('alone')
    using tokens = await connect('tokens')
    const [svid, wit, token] = [me.x509.x509Svid(), me.wit.wit(), tokens.wit.wit()]
    for (const purpose of ['x509-ca', 'wit'] as const) {
      await admin.stepAuthority({ step: 'prepare', purpose })
      await admin.stepAuthority({ step: 'activate', purpose, force: true })
    }
    await eventually('the successors', () => me.bundles.bundleFor(trustDomain)?.x509Authorities.length === 2)
    assert.equal(me.x509.x509Svid(), svid, 'an activation alone renews nothing')
    for (const purpose of ['x509-ca', 'wit'] as const) {
      const id = (await admin.listKeys()).find((key) => key.purpose === purpose && key.state === 'retired')?.id ?? ''
      await admin.stepAuthority({ step: 'taint', purpose, id })
    }
    await eventually('a new SVID', () => me.x509.x509Svid() !== svid)
    await eventually('a new WIT', () => me.wit.wit() !== wit)
    await eventually('a new WIT where there is nothing else', () => tokens.wit.wit() !== token)
    verifyX509Svid(svid.certificates, { bundles: me.bundles, now: Date.now() / 1000 })
  })

  test('a revoked identity that keeps its entry has new credentials at once', async () => {
    using me = await connect('stolen')
    const svid = me.x509.x509Svid()
    const body = { type: 'subject', value: me.spiffeId }
    await api.send({ method: 'POST', path: '/v1/revocations', body })
    await eventually('a new SVID', () => me.x509.x509Svid() !== svid)
  })

  test('a retired agent has nothing any more, at once', async () => {
    using me = await connect('retired')
    await api.send({ method: 'POST', path: '/v1/retirements', body: { spiffeId: me.spiffeId } })
    await eventually('no SVID', () => !isUsable(() => me.x509.x509Svid()))
    assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
    await eventually('no WIT', () => !isUsable(() => me.wit.wit()))
    await assert.rejects(me.jwt.jwtSvid('https://api.example.com'), { code: 'provisioning.not_ready' })
  })
})

describe('whoever has not said who it is', () => {
  const anybody = (): IdentityServer =>
    identityServer({
      trustDomain,
      server: `https://127.0.0.1:${server.port}`,
      bundle: Buffer.from(server.bundle()),
      clock: () => Date.now() / 1000,
    })

  test('hears of no other trust domain', async () => {
    const contact = anybody()
    const answer = await contact.send({ method: 'GET', path: '/v1/trust' })
    contact.close()
    assert.ok(isJsonObject(answer))
    assert.deepEqual(Object.keys(answer).sort(), ['bundle', 'standing', 'trust'])
  })

  test('answers of another form change nothing', async () => {
    const contact = anybody()
    const good = (await contact.send({ method: 'GET', path: '/v1/trust' })) as JsonObject
    const own = { trustDomain, bundle: serializeBundle(other.bundle) }
    const foreign = { trustDomain: partner, bundle: serializeBundle(other.bundle) }
    assert.equal(readTrust(contact, { ...good, federated: [foreign], entryRevision: 3 }).federated?.size, 1)
    const rows: readonly (readonly [string, JsonObject, string])[] = [
      ['no name of the state', { ...good, trust: '' }, 'operation.invalid_response'],
      ['a name that is no part of a path', { ...good, trust: 'a&b' }, 'operation.invalid_response'],
      ['no bundle', { ...good, bundle: null }, 'operation.invalid_response'],
      ['a bundle that is none', { ...good, bundle: 'x' }, 'bundle.malformed'],
      ['no signers', { ...good, standing: null }, 'operation.invalid_response'],
      ['a signer without a name', { ...good, standing: { wit: [''] } }, 'operation.invalid_response'],
      ['federated bundles that are no list', { ...good, federated: {} }, 'operation.invalid_response'],
      ['somebody else for the own trust domain', { ...good, federated: [own] }, 'operation.invalid_response'],
      ['two bundles for one', { ...good, federated: [foreign, foreign] }, 'operation.invalid_response'],
      [
        'no trust domain',
        { ...good, federated: [{ ...foreign, trustDomain: 'x y' }] },
        'identifier.bad_trust_domain_char',
      ],
      ['a federated bundle that is none', { ...good, federated: [{ ...foreign, bundle: 'x' }] }, 'bundle.malformed'],
      ['a revision that is none', { ...good, entryRevision: 'x' }, 'operation.invalid_response'],
    ]
    for (const [what, answer, code] of rows) assert.throws(() => readTrust(contact, answer), { code }, what)
    contact.close()
  })
})
