import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { mutableBundles, testCa } from '../../../../test/support/x509-identities.ts'
import { AimsError } from '../base/errors.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import { issueJwtSvid } from '../credentials/jwt-svid/issue.ts'
import { holdRevocations } from '../credentials/revocation/hold.ts'
import { signRevocationList } from '../credentials/revocation/list.ts'
import type { Revocation, RevocationSource } from '../credentials/revocation/revocation.ts'
import { isExactly } from '../identifiers/matcher.ts'
import { parseWorkloadSpiffeId } from '../identifiers/spiffe-id.ts'
import { type Authenticator, createAuthenticator } from './authenticate.ts'
import { signRequest } from './http-signature/sign.ts'
import { assumePrincipal, type Principal } from './principal.ts'
import { createMemoryReplayStore } from './replay/memory.ts'
import type { AuthenticatorOptions, IncomingRequest } from './request.ts'
import type { Watch } from './watch.ts'
import { proofHeaders } from './wpt/create.ts'

const NOW = Math.floor(Date.now() / 1000)
const LIFE = 3600
const domain = testDomain('example.com', { now: NOW })
const ca = await testCa('example.com')
const { trustDomain, witAuthorities } = domain.bundle
const bundle = { ...ca.bundle, witAuthorities, jwtAuthorities: witAuthorities }
const bot = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
const wit = await domain.wit({ path: '/agent/bot', id: 'wit-1' })
const svid = await ca.svid('/agent/bot')
const proxy = await ca.svid('/service/proxy')
const jwt = await issueJwtSvid({ subject: bot, audiences: [AUDIENCE], now: NOW, ttl: LIFE, id: 'jwt-1' }, domain.signer)

const expiresAt = NOW + LIFE
const subject = { type: 'subject', value: bot, before: NOW + 1, expiresAt } as const
const REVOKED: { readonly [what: string]: Revocation } = {
  identity: subject,
  WIT: { type: 'token', value: 'wit-1', expiresAt },
  JWT: { type: 'token', value: 'jwt-1', expiresAt },
  'key of the WIT': { type: 'key', value: wit.key.kid, expiresAt },
  'key of the certificate': { type: 'key', value: svid.key.kid, expiresAt },
  proxy: { ...subject, value: proxy.spiffeId },
}
const others: Revocation = { ...subject, value: parseWorkloadSpiffeId('spiffe://example.com/agent/other') }

const fields = (headers: object): Partial<IncomingRequest> => ({
  headers: Object.entries(headers).map(([name, value]) => [name, String(value)] as const),
})
const REQUEST = { method: 'GET', target: '/', audience: AUDIENCE }
// How each caller proves itself, and what ends what it has open.
const METHODS: { readonly [method: string]: readonly [() => Partial<IncomingRequest>, ...string[]] } = {
  'wit+wpt': [() => fields(proofHeaders(wit, REQUEST, { now: NOW })), 'identity', 'WIT', 'key of the WIT'],
  'http-signature': [
    () => fields(signRequest(wit, { ...REQUEST, headers: [] }, { now: NOW }).headers),
    'identity',
    'WIT',
    'key of the WIT',
  ],
  mtls: [() => ({ peerCertificates: svid.certificates }), 'identity', 'key of the certificate'],
  forwarded: [
    () => ({ peerCertificates: proxy.certificates, ...fields({ 'x-forwarded-client-cert': `URI=${bot}` }) }),
    'identity',
    'proxy',
  ],
  'jwt-svid': [() => fields({ authorization: `Bearer ${jwt.token}` }), 'identity', 'JWT'],
}

interface Opened {
  readonly watch: Watch
  readonly reasons: string[]
  readonly events: AuditEvent[]
  readonly bundles: ReturnType<typeof mutableBundles>
  revoke(...revocations: readonly Revocation[]): Promise<void>
  at(seconds: number): void
}

function service(given: Partial<AuthenticatorOptions> = {}) {
  let time = NOW
  const events: AuditEvent[] = []
  const bundles = mutableBundles(bundle)
  const held = holdRevocations({ trustDomain, bundles, maxStaleness: 60 })
  const authenticator = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
    clock: () => time,
    methods: ['http-signature', 'wit+wpt', 'mtls', 'forwarded', 'jwt-svid'],
    proxies: [{ proxy: isExactly(proxy.spiffeId), vouchesFor: isExactly(bot) }],
    revocations: held,
    ...given,
  })
  let sequence = 0
  return {
    authenticator,
    events,
    bundles,
    async revoke(...revocations: readonly Revocation[]) {
      sequence += 1
      const list = { trustDomain, sequence, issuedAt: time, revocations }
      held.accept(await signRevocationList(list, domain.signer), time)
    },
    at(seconds: number) {
      time = NOW + seconds
    },
  }
}

const correlationId = 'opened'

function watching(authenticator: Authenticator, principal: Principal): { watch: Watch; reasons: string[] } {
  const reasons: string[] = []
  const watch = authenticator.watch({ principal, correlationId }, ({ code }) => void reasons.push(code))
  return { watch, reasons }
}

async function open(request: () => Partial<IncomingRequest>): Promise<Opened> {
  const { authenticator, ...rest } = service()
  await rest.revoke(others)
  const principal = await authenticator.authenticate({ method: 'GET', target: '/', headers: [], ...request() })
  return { ...watching(authenticator, principal), ...rest }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function assertEnded({ watch, reasons, events }: Omit<Opened, 'revoke' | 'at' | 'bundles'>, code: string) {
  assert.equal(watch.look(), false)
  await settled()
  assert.deepEqual(reasons, [code])
  const ended = events.filter(({ type }) => type === 'authentication.ended')
  assert.deepEqual(
    ended.map(({ decision, reasons, correlationId: id }) => ({ decision, reasons, id })),
    [{ decision: 'deny', reasons: [code], id: correlationId }],
  )
  // Once is enough.
  assert.equal(watch.look(), false)
  await settled()
  assert.equal(reasons.length, 1)
}

for (const [method, [request, ...revoked]] of Object.entries(METHODS)) {
  test(`${method}: what is open goes on while others are revoked, and is over for good once it was stopped`, async () => {
    const opened = await open(request)
    await opened.revoke(others, { ...others, before: NOW + 2 })
    assert.equal(opened.watch.look(), true)
    opened.watch.stop()
    await opened.revoke(subject)
    assert.equal(opened.watch.look(), false)
    await settled()
    assert.deepEqual(opened.reasons, [])
  })

  for (const what of revoked) {
    // [authentication.aims.06]
    test(`${method}: what is open ends when the ${what} is revoked`, async () => {
      const opened = await open(request)
      await opened.revoke(REVOKED[what] as Revocation)
      await assertEnded(opened, 'credential.revoked')
    })
  }

  test(`${method}: what is open ends when no current list says anything`, async () => {
    const opened = await open(request)
    opened.at(61)
    await assertEnded(opened, 'credential.revocation_unknown')
  })

  test(`${method}: what is open ends with the credential`, async () => {
    const opened = await open(request)
    opened.at(2 * LIFE)
    await opened.revoke(others)
    await assertEnded(opened, method === 'mtls' || method === 'forwarded' ? 'x509.expired' : 'credential.expired')
  })

  test(`${method}: what is open ends when the authority is taken out of the bundle`, async () => {
    const opened = await open(request)
    opened.bundles.set({ ...bundle, x509Authorities: [], witAuthorities: new Map(), jwtAuthorities: new Map() })
    assert.equal(opened.watch.look(), false)
    await settled()
    assert.match(opened.reasons.join(), /^(?:credential|x509)\./)
  })
}

// [authentication.aims.06]
test('what a sub-agent has open ends when its parent is revoked', async () => {
  const child = await domain.wit({ path: '/agent/bot/sub/reader', rights: [] })
  const opened = await open(() => fields(proofHeaders(child, REQUEST, { now: NOW })))
  await opened.revoke(subject)
  await assertEnded(opened, 'credential.revoked')
})

const facts = {
  id: bot,
  method: 'wit+wpt',
  credential: { type: 'wit', id: 'x' },
  covers: { method: true, target: true, body: true },
  expiresAt,
} as const

test('a principal of which nothing but its end is known is held to that', async () => {
  const { authenticator, events, at } = service()
  const opened = watching(authenticator, assumePrincipal(facts))
  at(LIFE - 1)
  assert.equal(opened.watch.look(), true)
  at(LIFE)
  await assertEnded({ ...opened, events }, 'credential.expired')
})

test('a source that fails has not said that the credential is good', async () => {
  let fails = false
  const revocations: RevocationSource = {
    statusOf() {
      if (fails) throw new Error('closed')
      return 'good'
    },
  }
  const { authenticator, events } = service({ revocations })
  const request = { method: 'GET', target: '/', headers: [], ...METHODS['wit+wpt']?.[0]() }
  const opened = watching(authenticator, await authenticator.authenticate(request))
  assert.equal(opened.watch.look(), true)
  fails = true
  await assertEnded({ ...opened, events }, 'credential.revocation_unknown')
})

test('one timer looks by itself, and a log that is away keeps nothing open', { timeout: 60_000 }, async () => {
  const observer: Observer = { record: () => Promise.reject(new AimsError('audit.unavailable', 'away')) }
  const { authenticator, at } = service({ observer })
  const warned = once(process, 'warning')
  const first = Promise.withResolvers<string>()
  const principal = assumePrincipal(facts)
  authenticator.watch({ principal, correlationId }, ({ code }) => first.resolve(code))
  const longer = watching(authenticator, assumePrincipal({ ...facts, expiresAt: expiresAt + LIFE }))
  at(LIFE)
  assert.equal(await first.promise, 'credential.expired')
  const [warning] = (await warned) as [Error]
  assert.match(warning.message, /not recorded \[audit\.unavailable\]$/)
  assert.equal(longer.watch.look(), true)
  // And again after there was nothing to look at.
  longer.watch.stop()
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const second = Promise.withResolvers<string>()
  authenticator.watch({ principal, correlationId }, ({ code }) => second.resolve(code))
  assert.equal(await second.promise, 'credential.expired')
})
