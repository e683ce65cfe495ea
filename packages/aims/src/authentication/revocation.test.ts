import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer } from 'node:tls'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { mutableSvid, testCa } from '../../../../test/support/x509-identities.ts'
import { type AuditEvent, noObserver, type Observer } from '../base/event.ts'
import { bundleSource } from '../credentials/bundle/source.ts'
import { issueJwtSvid } from '../credentials/jwt-svid/issue.ts'
import { holdRevocations } from '../credentials/revocation/hold.ts'
import { signRevocationList } from '../credentials/revocation/list.ts'
import type { Revocation } from '../credentials/revocation/revocation.ts'
import { isMemberOf } from '../identifiers/matcher.ts'
import { parseWorkloadSpiffeId } from '../identifiers/spiffe-id.ts'
import { createAuthenticator } from './authenticate.ts'
import type { RawHeaders } from './carriage.ts'
import { clientTlsOptions } from './mtls/client.ts'
import { rotatingServer, serverTlsOptions } from './mtls/server.ts'
import { createMemoryReplayStore } from './replay/memory.ts'
import type { IncomingRequest } from './request.ts'
import { proofHeaders } from './wpt/create.ts'

const NOW = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: NOW })
const ca = await testCa('example.com')
const { trustDomain, witAuthorities } = domain.bundle
const bundle = { ...ca.bundle, witAuthorities, jwtAuthorities: witAuthorities }
const bundles = bundleSource(bundle)
const bot = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
const wit = await domain.wit({ path: '/agent/bot', id: 'wit-1' })
const svid = await ca.svid('/agent/bot')
const jwt = await issueJwtSvid({ subject: bot, audiences: [AUDIENCE], now: NOW, ttl: 300, id: 'jwt-1' }, domain.signer)

function revoking() {
  const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
  let sequence = 0
  return {
    held,
    set: async (...revocations: readonly Revocation[]): Promise<void> => {
      sequence += 1
      const list = { trustDomain, sequence, issuedAt: NOW, revocations }
      held.accept(await signRevocationList(list, domain.signer), NOW)
    },
  }
}
const subject: Revocation = { type: 'subject', value: bot, before: NOW + 1, expiresAt: NOW + 3600 }
const other: Revocation = { ...subject, value: parseWorkloadSpiffeId('spiffe://example.com/agent/other') }

const REQUEST = { method: 'GET', target: '/', audience: AUDIENCE }
const peerCertificates = svid.certificates
const bearer: RawHeaders = [['authorization', `Bearer ${jwt.token}`]]
const METHODS: readonly (readonly [string, () => Partial<IncomingRequest>, readonly Revocation[]])[] = [
  [
    'wit+wpt',
    () => ({ headers: Object.entries(proofHeaders(wit, REQUEST, { now: NOW })) }),
    [
      subject,
      { type: 'token', value: 'wit-1', expiresAt: NOW + 3600 },
      { type: 'key', value: wit.key.kid, expiresAt: NOW + 3600 },
    ],
  ],
  ['mtls', () => ({ peerCertificates }), [subject, { type: 'key', value: svid.key.kid, expiresAt: NOW + 3600 }]],
  ['jwt-svid', () => ({ headers: bearer }), [subject, { type: 'token', value: 'jwt-1', expiresAt: NOW + 3600 }]],
]

for (const [method, request, revocations] of METHODS) {
  // [provisioning.aims.07]
  test(`${method}: what was accepted is refused at the next request once it is revoked`, async () => {
    const { held, set } = revoking()
    const events: AuditEvent[] = []
    const observer: Observer = { record: async (event) => void events.push(event) }
    const service = createAuthenticator({
      bundles,
      audiences: [AUDIENCE],
      replays: createMemoryReplayStore({ capacity: 100 }),
      observer,
      clock: () => NOW,
      methods: ['wit+wpt', 'mtls', 'jwt-svid'],
      revocations: held,
    })
    const authenticate = () => service.authenticate({ method: 'GET', target: '/', headers: [], ...request() })
    await assert.rejects(authenticate(), { code: 'credential.revocation_unknown' })
    await set(other)
    assert.equal((await authenticate()).method, method)
    for (const revocation of revocations) {
      await set(other, revocation)
      await assert.rejects(authenticate(), { code: 'credential.revoked' }, revocation.type)
      // What it was refused for is gone.
      await set(other)
      assert.equal((await authenticate()).id, bot)
    }
    assert.deepEqual(
      events.map(({ reasons }) => reasons),
      [['credential.revocation_unknown'], ...revocations.map(() => ['credential.revoked'])],
    )
  })
}

test('an authenticator without revocations checks none', async () => {
  const service = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: noObserver,
  })
  const principal = await service.authenticate({ method: 'GET', target: '/', headers: [], peerCertificates })
  assert.equal(principal.id, bot)
})

// [provisioning.aims.07]
test('an open connection is closed when its client is revoked, and a new one is not admitted', async () => {
  const { held, set } = revoking()
  await set(other)
  const source = mutableSvid(await ca.svid('/service/api'))
  const reasons: (readonly string[])[] = []
  const refused = Promise.withResolvers<void>()
  const observer: Observer = {
    record: async (event) => {
      reasons.push(event.reasons ?? [])
      refused.resolve()
    },
  }
  const server = createServer(serverTlsOptions(source))
  const peer = isMemberOf(trustDomain)
  const control = rotatingServer(server, source, { bundles, peer, observer, revocations: held })
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => socket.write(data))
  })
  server.listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const open = () => {
    const options = clientTlsOptions(mutableSvid(svid), { bundles, peer })
    const socket = connect({ ...options, host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    return socket
  }
  try {
    const first = open()
    first.write('hello')
    assert.equal(String((await once(first, 'data'))[0]), 'hello')
    await set(other, subject)
    control.refresh()
    await once(first, 'close')
    await refused.promise
    const second = open()
    let answered = 0
    second.on('data', () => {
      answered += 1
    })
    second.write('hello')
    await once(second, 'close')
    assert.equal(answered, 0)
    assert.deepEqual(reasons, [['credential.revoked'], ['credential.revoked']])
  } finally {
    server.close()
  }
})
