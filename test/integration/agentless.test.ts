import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { AimsError, type ApiClient, apiClient, encodePem, isJsonObject, jwkThumbprint } from 'aims/base'
import {
  bundleSource,
  parseBundle,
  serializeBundle,
  type TrustBundle,
  verifyJwtSvid,
  verifyWit,
  verifyX509Svid,
  type X509Svid,
} from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connectByEvidence, type EvidenceConnectOptions } from 'aims/provisioning'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { type IdentityServer, identityServer } from '../../packages/aims/src/provisioning/evidence/server.ts'
import { EvidenceStreams } from '../../packages/aims/src/provisioning/evidence/streams.ts'
import { followIdentity } from '../../packages/aims/src/provisioning/workload-api/sources/identity.ts'
import { sourceSettings } from '../../packages/aims/src/provisioning/workload-api/sources/subscription.ts'
import { testPlatform } from '../support/platform.ts'
import { testCa } from '../support/x509-identities.ts'

const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-agentless-'))
const platform = testPlatform()
const verifiers = new Map([
  ['gcp', platform.verifier('gcp', 'full')],
  ['tpm', platform.verifier('tpm', 'full')],
  ['aws-iid', platform.verifier('aws-iid', 'none')],
] as const)

let ahead = 0
const clock = (): number => Date.now() / 1000 + ahead
let server: RunningServer
let api: ApiClient

async function start(port = 0): Promise<void> {
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': port }
  server = await startServer(await loadConfig({ env: {}, overrides }), { clock, verifiers })
}

before(async () => {
  await start()
  api = apiClient({ socketPath: server.socketPath })
  const entry = (name: string, selector: string, more: object = {}) =>
    api.send({
      method: 'POST',
      path: '/v1/entries',
      body: {
        id: name,
        spiffeId: `spiffe://example.com/agent/${name}`,
        selectors: [selector],
        owner: 'test',
        purpose: 'test',
        ...more,
      },
    })
  await entry('bot', 'gcp:image:bot', { x509Ttl: 600, witTtl: 600 })
  await entry('short', 'gcp:image:short', { x509Ttl: 6, witTtl: 6 })
  await entry('hard', 'tpm:image:hard')
  await entry('bearer', 'aws-iid:image:bearer')
  await entry('gone', 'gcp:image:gone')
  await entry('tokens', 'gcp:image:tokens', { credentialTypes: ['wit'] })
})
after(async () => {
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const bundle = (): Buffer => Buffer.from(server.bundle())
const bot = (): object => ({ image: 'bot' })

function options(change: Partial<EvidenceConnectOptions> = {}): EvidenceConnectOptions {
  return {
    trustDomain,
    server: `https://127.0.0.1:${server.port}`,
    bundle: bundle(),
    collectors: [platform.collector('gcp', bot)],
    clock,
    readyTimeout: 30_000,
    ...change,
  }
}

// The same as connectByEvidence, and whoever has it says when to renew.
async function follow(
  change: Partial<EvidenceConnectOptions> = {},
  wrap: (contact: IdentityServer) => IdentityServer = (contact) => contact,
) {
  const given = options(change)
  const contact = wrap(identityServer({ ...given, clock }))
  const streams = new EvidenceStreams(contact, { ...given, clock }, sourceSettings(given))
  await streams.start(given.readyTimeout ?? 0, () => undefined)
  return await followIdentity(streams, given, { streams })
}

const refused = (made: Promise<unknown>, code: string): Promise<void> => assert.rejects(made, { code })

describe('a server that is not the one of the trust domain', () => {
  test('is refused when the bundle is of another authority', async () => {
    const other = Buffer.from(serializeBundle((await testCa()).bundle))
    await refused(connectByEvidence(options({ bundle: other })), 'provisioning.server_untrusted')
  })

  test('is refused when another identity of the trust domain answers', async () => {
    using me = await connectByEvidence(options())
    await impostor(me.x509.x509Svid(), async (address, asked) => {
      await refused(connectByEvidence(options({ server: address })), 'provisioning.server_untrusted')
      assert.equal(asked(), 0)
    })
  })

  test('is refused when it has the name of the server under an authority of its own', async () => {
    const ca = await testCa()
    await impostor(await ca.svid('/aims/server'), async (address, asked) => {
      await refused(connectByEvidence(options({ server: address })), 'provisioning.server_untrusted')
      assert.equal(asked(), 0)
    })
  })

  test('is refused when it is that of another trust domain', async () => {
    const ca = await testCa('other.example')
    const own = Buffer.from(serializeBundle(ca.bundle))
    await impostor(await ca.svid('/aims/server'), async (address) => {
      // The authorities of one trust domain do not vouch for identities of another.
      await refused(connectByEvidence(options({ server: address, bundle: own })), 'provisioning.server_untrusted')
    })
  })

  test('cannot be named without TLS, with a path, or without an authority to know it by', async () => {
    for (const address of ['http://127.0.0.1:1', 'https://127.0.0.1/x', 'https://u:p@h', 'server', 'https://h?q']) {
      await refused(connectByEvidence(options({ server: address })), 'provisioning.invalid_endpoint')
    }
    const none = Buffer.from(JSON.stringify({ keys: [] }))
    await refused(connectByEvidence(options({ bundle: none })), 'x509.untrusted_domain')
    await refused(connectByEvidence(options({ bundle: Buffer.from('x') })), 'bundle.malformed')
    await assert.rejects(connectByEvidence(options({ bundle: join(root, 'absent') })), /ENOENT/)
    await assert.rejects(connectByEvidence(options({ collectors: [] })), TypeError)
    const collector = platform.collector('gcp', bot)
    await assert.rejects(connectByEvidence(options({ collectors: [collector, collector] })), TypeError)
  })
})

describe('evidence that is refused at first', () => {
  const rows: readonly (readonly [string, string, () => Partial<EvidenceConnectOptions>])[] = [
    [
      'that nobody has',
      'provisioning.no_evidence',
      () => ({ collectors: [platform.collector('gcp', () => undefined)] }),
    ],
    [
      'of no entry',
      'provisioning.no_identity',
      () => ({ collectors: [platform.collector('gcp', () => ({ image: 'x' }))] }),
    ],
    [
      'for another identity',
      'provisioning.no_identity',
      () => ({ spiffeId: parseSpiffeId('spiffe://example.com/agent/hard') }),
    ],
    [
      'of another platform',
      'attestation.invalid_signature',
      () => ({ collectors: [testPlatform().collector('gcp', bot)] }),
    ],
    [
      'bound to another challenge',
      'attestation.binding_mismatch',
      () => ({ collectors: [platform.collector('gcp', () => ({ image: 'bot', data: 'AAAA' }))] }),
    ],
    ['of a type that is off', 'attestation.unknown_type', () => ({ collectors: [platform.collector('sgx', bot)] })],
    [
      'whose collector fails',
      'attestation.collection_failed',
      () => ({ collectors: [{ type: 'gcp', collect: () => Promise.reject(new Error('no such device')) }] }),
    ],
    [
      'with a manifest that nobody signed',
      'provisioning.no_identity',
      () => ({ manifest: 'x', collectors: [platform.collector('gcp', () => ({ image: 'x' }))] }),
    ],
  ]
  for (const [what, code, change] of rows) {
    test(`${what} is told at once`, async () => {
      await refused(connectByEvidence(options({ ...change(), readyTimeout: 60_000 })), code)
    })
  }

  test('a server that is away is waited for until the timeout, and no longer', async () => {
    const { port } = server
    await server.close()
    try {
      const away = options({ readyTimeout: 300, backoff: 50, server: `https://127.0.0.1:${port}` })
      await refused(connectByEvidence(away), 'operation.server_unreachable')
      const early = connectByEvidence({ ...away, readyTimeout: 30_000 })
      await start(port)
      using me = await early
      assert.equal(me.spiffeId, 'spiffe://example.com/agent/bot')
    } finally {
      if (server.port !== port) await start(port)
    }
  })
})

describe('credentials for evidence', () => {
  test('verify with the bundles that came with them', async () => {
    using me = await connectByEvidence(options())
    const now = clock()
    assert.equal(me.spiffeId, 'spiffe://example.com/agent/bot')
    const svid = verifyX509Svid(me.x509.x509Svid().certificates, { bundles: me.bundles, now })
    const wit = verifyWit(me.wit.wit().token, { bundles: me.bundles, profile: 'wimse', now, svid: true })
    assert.equal(svid.subject, wit.subject)
    assert.equal(wit.confirmation.thumbprint, jwkThumbprint(me.wit.wit().key.publicKey))
    assert.equal(wit.confirmation.thumbprint, jwkThumbprint(me.x509.x509Svid().key.publicKey))
  })

  test('are JWT-SVIDs too, one per audience, fetched once for those who ask at the same time', async () => {
    using me = await connectByEvidence(options())
    const audience = 'https://api.example.com'
    const [one, two, other] = await Promise.all([
      me.jwt.jwtSvid(audience),
      me.jwt.jwtSvid(audience),
      me.jwt.jwtSvid('https://other.example'),
    ])
    assert.equal(one.token, two.token)
    assert.notEqual(one.token, other.token)
    const verified = verifyJwtSvid(one.token, { bundles: me.bundles, audience, now: clock() })
    assert.equal(verified.subject, me.spiffeId)
    await assert.rejects(me.jwt.jwtSvid(''), TypeError)
  })

  test('are those that the entry permits: a kind it does not is not ready', async () => {
    using me = await connectByEvidence(
      options({ collectors: [platform.collector('gcp', () => ({ image: 'tokens' }))] }),
    )
    assert.equal(me.spiffeId, 'spiffe://example.com/agent/tokens')
    assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
    await refused(me.jwt.jwtSvid('https://api.example.com'), 'provisioning.not_entitled')
  })

  test('come with several pieces of evidence, with a hello where a type wants one', async () => {
    const collectors = [
      platform.collector('tpm', () => ({ image: 'hard' })),
      platform.collector('aws-iid', () => undefined),
    ]
    using me = await connectByEvidence(options({ collectors }))
    assert.equal(me.spiffeId, 'spiffe://example.com/agent/hard')
    const { attested } = verifyWit(me.wit.wit().token, {
      bundles: me.bundles,
      profile: 'wimse',
      now: clock(),
      svid: true,
    })
    assert.deepEqual(attested?.types, ['tpm'])
  })

  test('are renewed by themselves at half of their life, with a new key', async () => {
    using me = await connectByEvidence(options({ collectors: [platform.collector('gcp', () => ({ image: 'short' }))] }))
    const before = me.x509.x509Svid()
    await new Promise<void>((resolve) => me.onUpdate(resolve))
    await new Promise<void>((resolve) => setImmediate(resolve))
    assert.notEqual(jwkThumbprint(me.x509.x509Svid().key.publicKey), jwkThumbprint(before.key.publicKey))
    // Times have whole seconds: a short life may be renewed within one.
    assert.ok(me.x509.x509Svid().expiresAt >= before.expiresAt)
  })

  test('are gone after close, for good', async () => {
    const me = await follow()
    const { streams } = me
    me.close()
    assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
    assert.throws(() => me.spiffeId, { code: 'provisioning.not_ready' })
    assert.equal(me.bundles.bundleFor(trustDomain), undefined)
    await refused(streams.renew(), 'provisioning.closed')
    await refused(me.jwt.jwtSvid('https://api.example.com'), 'provisioning.not_ready')
  })
})

describe('a renewal', () => {
  test('is shared by those who ask at the same time', async () => {
    using me = await follow()
    const before = await issued()
    await Promise.all([me.streams.renew(), me.streams.renew(), me.streams.renew()])
    assert.equal((await issued()) - before, 2)
  })

  test('that is refused leaves what is there, until it expires', async () => {
    let claims: object = { image: 'bot' }
    using me = await follow({ collectors: [platform.collector('gcp', () => claims)] })
    const before = me.x509.x509Svid()
    claims = { image: 'bot', data: 'AAAA' }
    await refused(me.streams.renew(), 'attestation.binding_mismatch')
    assert.equal(me.x509.x509Svid(), before)
    assert.equal(me.x509.subscription.lastError?.code, 'attestation.binding_mismatch')
    ahead += 601
    try {
      assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
      assert.throws(() => me.wit.wit(), { code: 'provisioning.not_ready' })
      assert.throws(() => me.spiffeId, { code: 'provisioning.not_ready' })
    } finally {
      ahead = 0
    }
    claims = { image: 'bot' }
    await me.streams.renew()
    assert.notEqual(me.x509.x509Svid(), before)
    assert.equal(me.x509.subscription.lastError, undefined)
  })

  test('with the evidence of an earlier challenge is refused', async () => {
    const collector = platform.collector('gcp', bot)
    let first: Uint8Array | undefined
    using me = await follow({
      collectors: [
        {
          type: 'gcp',
          async collect(challenge) {
            first ??= await collector.collect(challenge)
            return first
          },
        },
      ],
    })
    await refused(me.streams.renew(), 'attestation.binding_mismatch')
  })

  test('takes everything away when no entry fits any more, and goes on asking', async () => {
    using me = await follow({ backoff: 20, collectors: [platform.collector('gcp', () => ({ image: 'gone' }))] })
    await api.send({ method: 'DELETE', path: '/v1/entries/gone' })
    const ended = new Promise<void>((resolve) => me.onUpdate(resolve))
    await refused(me.streams.renew(), 'provisioning.no_identity')
    await ended
    assert.throws(() => me.x509.x509Svid(), { code: 'provisioning.not_ready' })
    assert.throws(() => me.wit.wit(), { code: 'provisioning.not_ready' })
    await refused(me.jwt.jwtSvid('https://api.example.com'), 'provisioning.not_ready')
    const body = {
      id: 'again',
      spiffeId: 'spiffe://example.com/agent/again',
      selectors: ['gcp:image:gone'],
      owner: 'test',
      purpose: 'test',
    }
    const back = new Promise<void>((resolve) => me.onUpdate(resolve))
    await api.send({ method: 'POST', path: '/v1/entries', body })
    await me.streams.renew()
    await back
    assert.equal(me.wit.wit().subject, 'spiffe://example.com/agent/again')
  })

  test('of a bearer document is vouched for by the key before it', async () => {
    const collectors = [platform.collector('aws-iid', () => ({ image: 'bearer', instance: 'i-7' }))]
    using me = await follow({ collectors })
    await me.streams.renew()
    await refused(connectByEvidence(options({ collectors })), 'attestation.taken')
  })

  test('whose answer was lost is asked for again with the same key, which the server knows already', async () => {
    const collectors = [platform.collector('aws-iid', () => ({ image: 'bearer', instance: 'i-8' }))]
    let isLost = false
    const losing = (contact: IdentityServer): IdentityServer => ({
      get bundle() {
        return contact.bundle
      },
      learn: contact.learn,
      present: contact.present,
      close: contact.close,
      async send(request) {
        const answer = await contact.send(request)
        if (isLost && request.path === '/v1/credentials') throw new AimsError('operation.server_timeout', 'lost')
        return answer
      },
    })
    using me = await follow({ collectors }, losing)
    isLost = true
    await refused(me.streams.renew(), 'operation.server_timeout')
    isLost = false
    await me.streams.renew()
    await me.streams.renew()
  })

  test('waits for a server that is away: what is valid goes on, and the next one succeeds', async () => {
    using me = await follow()
    const { port } = server
    const before = me.x509.x509Svid()
    await server.close()
    try {
      await refused(me.streams.renew(), 'operation.server_unreachable')
      assert.equal(me.x509.x509Svid(), before)
      assert.equal(me.x509.subscription.lastError?.code, 'operation.server_unreachable')
      await assert.rejects(me.jwt.jwtSvid('https://api.example.com'), { code: 'operation.server_unreachable' })
    } finally {
      await start(port)
    }
    await me.streams.renew()
    assert.notEqual(me.x509.x509Svid(), before)
  })

  test('goes on after the authorities were rotated', async () => {
    using me = await follow()
    const rotate = { method: 'POST', path: '/v1/keys/rotate', body: { purpose: 'x509-ca', immediately: true } } as const
    const authorities = () => me.bundles.bundleFor(trustDomain)?.x509Authorities.length
    const before = authorities() ?? 0
    await api.send(rotate)
    await me.streams.refreshTrust()
    assert.equal(authorities(), before + 1)
    await me.streams.renew()
    verifyX509Svid(me.x509.x509Svid().certificates, { bundles: me.bundles, now: clock() })
  })

  test('reads the file of the bundle again when the server is not recognised', async () => {
    const file = join(root, 'bundle.json')
    const { bundle: own } = parseBundle(server.bundle(), trustDomain)
    const other = (await testCa()).bundle
    writeFileSync(file, serializeBundle({ ...other, sequence: 0n }))
    const contact = identityServer({ ...options({ bundle: file }), clock })
    const ask = () => contact.send({ method: 'GET', path: '/v1/bundle' })
    try {
      await refused(ask(), 'provisioning.server_untrusted')
      writeFileSync(file, server.bundle())
      await refused(ask(), 'provisioning.server_untrusted')
      assert.ok(isJsonObject(await ask()))
      // An older file changes nothing.
      writeFileSync(file, serializeBundle({ ...other, sequence: 0n }))
      assert.equal(contact.bundle.sequence, own.sequence)
      assert.equal(bundleSource(contact.bundle).bundleFor(trustDomain), contact.learn(server.bundle()))
    } finally {
      contact.close()
    }
  })

  test('is recognised by a source of bundles as it is at each request, and by nothing else', async () => {
    let held: TrustBundle | undefined
    const source = { bundleFor: () => held }
    const own = parseBundle(server.bundle(), trustDomain).bundle
    const other = (await testCa()).bundle
    assert.throws(() => identityServer({ ...options({}), bundle: source, clock }), { code: 'x509.untrusted_domain' })
    held = own
    const contact = identityServer({ ...options({}), bundle: source, clock, keepAlive: true })
    const ask = () => contact.send({ method: 'GET', path: '/v1/bundle' })
    try {
      assert.ok(isJsonObject(await ask()))
      // The connection that is open was made under another bundle.
      held = other
      await refused(ask(), 'provisioning.server_untrusted')
      assert.equal(contact.learn(server.bundle()), other)
      await refused(ask(), 'provisioning.server_untrusted')
      held = own
      assert.ok(isJsonObject(await ask()))
      held = undefined
      assert.ok(isJsonObject(await ask()))
    } finally {
      contact.close()
    }
  })
})

async function issued(): Promise<number> {
  const answer = await api.send({ method: 'GET', path: '/v1/audit/records?type=provisioning.issued&limit=1000' })
  return isJsonObject(answer) && Array.isArray(answer.records) ? answer.records.length : 0
}

async function impostor(svid: X509Svid, run: (address: string, asked: () => number) => Promise<void>): Promise<void> {
  let asked = 0
  const cert = svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  const key = svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' })
  const fake = createServer({ cert, key }, (_, response) => {
    asked += 1
    response.end()
  })
  fake.listen(0, '127.0.0.1')
  await once(fake, 'listening')
  try {
    await run(`https://127.0.0.1:${(fake.address() as AddressInfo).port}`, () => asked)
  } finally {
    fake.closeAllConnections()
    fake.close()
  }
}
