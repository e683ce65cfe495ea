// Misconfigurations of callers, services and what lies between them, each made for real. `aims explain ID` must name the
// cause by its id.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import {
  type AuthenticatorOptions,
  createAuthenticator,
  createMemoryReplayStore,
  openSqliteReplayStore,
  type ProofRequest,
  proofHeaders,
  type RouteRequirements,
  signRequest,
} from 'aims/authentication'
import { sha256Base64url, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  emptyBundle,
  holdRevocations,
  issueJwtSvid,
  issueWit,
  signRevocationList,
  type Wit,
} from 'aims/credentials'
import { authenticated } from 'aims/express'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { protect } from 'aims/node'
import express from 'express'
import { signJwsLocally } from '../../packages/aims/src/base/jose.ts'
import { explainingLog } from '../support/explaining.ts'
import { exchange, listening, proxyTo, type Sent } from '../support/http-exchange.ts'
import { AUDIENCE, testDomain } from '../support/identities.ts'

const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now: now - 60 })
const foreign = testDomain('foreign.example', { now: now - 60 })
const wit = await domain.wit()
const stranger = await foreign.wit()
const compat = await domain.wit({ profile: 'wimse-wpt-01' })
const BODY = '{"title":"standup"}'
const TARGET = '/api/events?day=1'
const log = explainingLog()
after(() => log[Symbol.dispose]())

interface Service {
  readonly options?: Partial<AuthenticatorOptions>
  readonly route?: RouteRequirements
}

function authenticatorOf({ options = {} }: Service): ReturnType<typeof createAuthenticator> {
  return createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: log.observer,
    ...options,
  })
}

function service(given: Service = {}): Promise<number> {
  return listening(protect(authenticatorOf(given), (_request, response) => void response.end('in'), given.route ?? {}))
}

interface Caller {
  readonly wit?: Wit
  readonly request?: Partial<ProofRequest>
  /** Seconds that its clock is ahead. */
  readonly clock?: number
  readonly lifetime?: number
  readonly sent?: Partial<Sent>
}

function call({ wit: with_ = wit, request = {}, clock = 0, lifetime = 60, sent = {} }: Caller = {}): Sent {
  const named = { method: 'POST', target: TARGET, audience: AUDIENCE, body: Buffer.from(BODY), ...request }
  const fields = Object.entries(proofHeaders(with_, named, { now: now + clock, lifetime }))
  return { method: 'POST', target: TARGET, fields, body: BODY, ...sent }
}

// A proof of exactly these claims, beside the WIT.
function claiming(claims: { readonly [name: string]: unknown }, key = wit.key): Sent {
  const whole = {
    aud: AUDIENCE,
    exp: now + 60,
    iat: now,
    jti: sha256Base64url(`${Math.random()}`),
    wth: sha256Base64url(wit.token),
  }
  const proof = signJwsLocally({ typ: 'wpt+jwt' }, { ...whole, ...claims }, key)
  return call({
    sent: {
      fields: [
        ['authorization', `WPT ${proof}`],
        ['workload-identity-token', wit.token],
      ],
    },
  })
}

const json = (sent: Sent): Sent => ({ ...sent, fields: [...sent.fields, ['content-type', 'application/json']] })
const without = (sent: Sent, field: string): Sent => ({
  ...sent,
  fields: sent.fields.filter(([name]) => name !== field),
})

async function refused(port: number, sent: Sent): Promise<string> {
  const { status, body } = await exchange(port, sent)
  assert.ok(status >= 400, `refused, not ${status}`)
  const problem = JSON.parse(body)
  assert.deepEqual(Object.keys(problem).sort(), ['code', 'id', 'status', 'title', 'type'])
  return problem.id
}

const behind = async (change: (sent: Sent) => Partial<Sent>, given: Service = {}): Promise<number> =>
  proxyTo(await service(given), change)
const path =
  (change: (target: string) => string) =>
  ({ target }: Sent): Partial<Sent> => ({ target: change(target) })

async function signed(): Promise<Sent> {
  const headers: [string, string][] = [['content-type', 'application/json']]
  const request = { method: 'POST', target: TARGET, audience: AUDIENCE, headers, body: Buffer.from(BODY) }
  const { headers: more } = signRequest(wit, request, { now })
  return { method: 'POST', target: TARGET, body: BODY, fields: [...headers, ...Object.entries(more)] }
}

async function parsedBefore(): Promise<number> {
  const app = express()
  app.use(express.json({ type: '*/*' }), authenticated(authenticatorOf({})))
  app.use((_request, response) => void response.end('in'))
  return listening(app as RequestListener)
}

// Its own `:authority` is what the client of HTTP/2 takes for the name of the service.
async function overHttp2(): Promise<string> {
  const server = createHttp2(protect(authenticatorOf({}), (_request, response) => void response.end('in')))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  try {
    const fields = Object.fromEntries(call({ request: { audience: `${AUDIENCE}:${port}`, method: 'GET' } }).fields)
    const stream = session.request({ ':path': TARGET, ':authority': `api.example.com:${port}`, ...fields })
    return JSON.parse(await text(stream)).id
  } finally {
    session.close()
    server.close()
  }
}

async function held(revoked: boolean): Promise<Partial<AuthenticatorOptions>> {
  const { trustDomain } = domain.bundle
  const revocations = holdRevocations({ trustDomain, bundles: domain.bundles, maxStaleness: 3600 })
  const subject = { type: 'subject', value: wit.subject, before: now + 1, expiresAt: now + 4000 } as const
  const list = { trustDomain, sequence: 1, issuedAt: now, revocations: [subject] }
  if (revoked) revocations.accept(await signRevocationList(list, domain.signer), now)
  return { revocations }
}

async function twice(port: number, sent: Sent): Promise<string> {
  assert.equal((await exchange(port, sent)).status, 200)
  return refused(port, sent)
}

// The clock of a service that looks once when the head is there, and once when the body is.
const slowly = (seconds: number): (() => number) => {
  let looks = 0
  return () => {
    looks += 1
    return looks === 1 ? now : now + seconds
  }
}

const oldWit = async (changes: Partial<Parameters<typeof issueWit>[0]>): Promise<Wit> => {
  const request = { subject: wit.subject, publicKey: wit.key.publicKey, now, ttl: 3600, ...changes }
  return { ...wit, ...(await issueWit(request, domain.signer)) }
}
const bearer = async (): Promise<Sent> => {
  const request = { subject: parseSpiffeId('spiffe://example.com/agent/a'), audiences: [AUDIENCE], now, ttl: 60 }
  const { token } = await issueJwtSvid(request, domain.signer)
  return call({ sent: { fields: [['authorization', `Bearer ${token}`]] } })
}
const closedStore = (): Partial<AuthenticatorOptions> => {
  const replays = openSqliteReplayStore(':memory:')
  replays.close()
  return { replays }
}
const compatRule = { profile: 'wimse-wpt-01', trustDomains: [domain.bundle.trustDomain] } as const
const rotatedAway = { ...domain.bundle, witAuthorities: foreign.bundle.witAuthorities }

/** Cause, and how it comes about. */
const ROWS: readonly (readonly [cause: string, title: string, make: () => Promise<string>])[] = [
  [
    'wrong-audience',
    'a proof for another service',
    async () => refused(await service(), call({ request: { audience: 'https://other.example.com' } })),
  ],
  [
    'audience-spelling',
    'a slash behind the audience',
    async () => refused(await service(), call({ request: { audience: `${AUDIENCE}/` } })),
  ],
  [
    'audience-scheme',
    'a service behind a proxy that ends TLS calls itself http',
    async () => refused(await behind(() => ({}), { options: { audiences: ['http://api.example.com'] } }), call()),
  ],
  ['audience-port', 'over HTTP/2, the authority with its port is taken for the audience', overHttp2],
  [
    'audience-is-target',
    'the target URI as audience, and the service names no origins',
    async () => refused(await service(), call({ request: { audience: `${AUDIENCE}/api/events` } })),
  ],
  [
    'caller-clock-behind',
    'the clock of the caller is five minutes behind',
    async () => refused(await service(), call({ clock: -300 })),
  ],
  [
    'caller-clock-ahead',
    'the clock of the caller is five minutes ahead, and its proofs live long',
    async () => refused(await service(), call({ clock: 300 })),
  ],
  [
    'caller-clock-ahead',
    'the clock of the caller is two minutes ahead',
    async () => refused(await service(), call({ clock: 120 })),
  ],
  [
    'proof-late',
    'a proof was kept for five minutes',
    async () => {
      const early = await oldWit({ now: now - 1000 })
      return refused(await service(), call({ wit: early, clock: -300 }))
    },
  ],
  [
    'body-too-slow',
    'a body that took longer than its proof lives',
    async () => refused(await service({ options: { clock: slowly(61) } }), call()),
  ],
  [
    'body-too-slow',
    'a body that took longer than its WIT lives',
    async () => {
      const short = await oldWit({ ttl: 100 })
      return refused(await service({ options: { clock: slowly(101) } }), call({ wit: short, lifetime: 200 }))
    },
  ],
  [
    'body-too-slow',
    'a body that took longer than its signature lives',
    async () => refused(await service({ options: { clock: slowly(301) } }), await signed()),
  ],
  [
    'proof-lives-too-long',
    'proofs that live longer than the service allows',
    async () => refused(await service({ options: { maxLifetime: 30 } }), call({ lifetime: 200 })),
  ],
  [
    'credential-not-renewed',
    'an expired WIT',
    async () => refused(await service(), call({ wit: await oldWit({ now: now - 4000 }) })),
  ],
  [
    'credential-lives-too-long',
    'a WIT for a week',
    async () => refused(await service(), call({ wit: await oldWit({ ttl: 604_800 }) })),
  ],
  [
    'service-clock-behind',
    'the clock of the service is ten minutes behind',
    async () => refused(await service({ options: { clock: () => now - 660 } }), call()),
  ],
  [
    'trust-domain-unknown',
    'a caller of a trust domain that is not federated',
    async () => refused(await service(), call({ wit: stranger })),
  ],
  [
    'trust-domain-other-scheme',
    'a bundle for the other scheme',
    async () =>
      refused(await service({ options: { bundles: bundleSource({ ...domain.bundle, scheme: 'wimse' }) } }), call()),
  ],
  [
    'bundle-without-keys',
    'a bundle that has X.509 authorities only',
    async () => {
      const bundles = bundleSource(emptyBundle(domain.bundle.trustDomain))
      return refused(await service({ options: { bundles } }), call())
    },
  ],
  [
    'signing-key-unknown',
    'a bundle from before, or after, a rotation',
    async () => refused(await service({ options: { bundles: bundleSource(rotatedAway) } }), call()),
  ],
  ['profile-off', 'an older profile that is off', async () => refused(await service(), call({ wit: compat }))],
  [
    'profile-off',
    'an older profile that is on for others',
    async () => {
      const profiles = [{ ...compatRule, trustDomains: [foreign.bundle.trustDomain] }]
      return refused(await service({ options: { profiles } }), call({ wit: compat }))
    },
  ],
  [
    'profile-ended',
    'an older profile after its end',
    async () =>
      refused(await service({ options: { profiles: [{ ...compatRule, until: now - 1 }] } }), call({ wit: compat })),
  ],
  [
    'profile-downgrade',
    'back to an older profile',
    async () => {
      const port = await service({ options: { profiles: [{ profile: 'wimse' }, compatRule] } })
      assert.equal((await exchange(port, call())).status, 200)
      return refused(port, call({ wit: compat }))
    },
  ],
  ['proof-used-twice', 'a request that is repeated with its proof', async () => twice(await service(), call())],
  ['proof-used-twice', 'a signed request that is repeated', async () => twice(await service(), await signed())],
  [
    'proof-for-another-path',
    'a proof that is kept for another path',
    async () => refused(await service(), call({ sent: { target: '/api/other?day=1' } })),
  ],
  [
    'proxy-strips-prefix',
    'a proxy takes the prefix away',
    async () => refused(await behind(path((target) => target.replace('/api', ''))), call()),
  ],
  [
    'proxy-adds-prefix',
    'a proxy adds a prefix',
    async () => refused(await behind(path((target) => `/v1${target}`)), call()),
  ],
  [
    'path-respelled',
    'a proxy decodes the path',
    async () => {
      const target = '/api/events%7E1//x'
      const sent = call({ request: { target }, sent: { target } })
      return refused(await behind(path((one) => one.replace('%7E', '~').replace('//', '/'))), sent)
    },
  ],
  [
    'query-left-out',
    'htu without the query, as DPoP has it',
    async () => refused(await service(), claiming({ htm: 'POST', htu: '/api/events' })),
  ],
  [
    'query-changed',
    'a proxy adds a parameter',
    async () => refused(await behind(path((target) => `${target}&trace=1`)), call()),
  ],
  [
    'origin-unknown',
    'htu is absolute, and TLS ends in front of the service',
    async () =>
      refused(
        await service({ options: { origins: ['http://api.example.com'] } }),
        claiming({ htm: 'POST', htu: `${AUDIENCE}${TARGET}` }),
      ),
  ],
  [
    'proof-for-another-method',
    'a proof for a GET in a DELETE',
    async () => refused(await service(), call({ request: { method: 'GET' }, sent: { method: 'DELETE' } })),
  ],
  ['method-in-another-case', 'htm in lower case', async () => refused(await service(), claiming({ htm: 'post' }))],
  [
    'body-changed',
    'middleware in between writes the body anew',
    async () => refused(await behind(({ body = '' }) => ({ body: JSON.stringify(JSON.parse(body), null, 2) })), call()),
  ],
  [
    'body-read-before',
    'a body parser in front of authentication',
    async () => refused(await parsedBefore(), json(call())),
  ],
  ['body-read-before', 'a proxy that loses the body', async () => refused(await behind(() => ({ body: '' })), call())],
  [
    'body-changed',
    'middleware that changes a signed body',
    async () => refused(await behind(() => ({ body: '{}' })), await signed()),
  ],
  [
    'field-sent-twice',
    'client and proxy both set Authorization',
    async () =>
      refused(await behind(({ fields }) => ({ fields: [...fields, ['authorization', 'Basic eDp5']] })), call()),
  ],
  [
    'wit-as-bearer',
    'the WIT in Authorization: Bearer',
    async () => refused(await service(), call({ sent: { fields: [['authorization', `Bearer ${wit.token}`]] } })),
  ],
  [
    'proof-missing',
    'a proxy removes Authorization',
    async () => refused(await behind((sent) => without(sent, 'authorization')), call()),
  ],
  [
    'wit-missing',
    'a proxy removes the WIT',
    async () => refused(await behind((sent) => without(sent, 'workload-identity-token')), call()),
  ],
  [
    'nothing-carried',
    'a client that proves nothing',
    async () => refused(await service(), call({ sent: { fields: [] } })),
  ],
  [
    'method-not-accepted',
    'a JWT-SVID where proofs are asked for',
    async () => refused(await service(), await bearer()),
  ],
  [
    'method-not-accepted',
    'a proof where only signatures are accepted',
    async () => refused(await service({ route: { accept: ['http-signature'] } }), call()),
  ],
  [
    'two-proofs',
    'a client around a client',
    async () => {
      const { fields } = await signed()
      const own = call().fields.filter(([name]) => name === 'authorization')
      return refused(await service(), call({ sent: { fields: [...fields, ...own] } }))
    },
  ],
  [
    'key-mismatch',
    'the key of another rotation than the WIT',
    async () => refused(await service(), call({ wit: { ...wit, key: WorkloadKey.generate() } })),
  ],
  [
    'algorithm-mismatch',
    'another algorithm than the WIT says',
    async () => refused(await service(), claiming({}, WorkloadKey.generate('Ed25519'))),
  ],
  [
    'proof-for-another-wit',
    'a WIT that was rotated between proof and request',
    async () => {
      const next = await oldWit({})
      const fields = call().fields.map(([name, value]): [string, string] => [
        name,
        name === 'workload-identity-token' ? next.token : value,
      ])
      return refused(await service(), call({ sent: { fields } }))
    },
  ],
  [
    'credential-revoked',
    'an agent that was retired',
    async () => refused(await service({ options: await held(true) }), call()),
  ],
  [
    'revocations-unknown',
    'no revocation list yet',
    async () => refused(await service({ options: await held(false) }), call()),
  ],
  [
    'replay-store-away',
    'a replay store that is closed',
    async () => refused(await service({ options: closedStore() }), call()),
  ],
  [
    'replay-store-full',
    'a replay store that is full',
    async () => {
      const replays = createMemoryReplayStore({ capacity: 64 })
      assert.throws(() => {
        for (let kept = 0; kept < 100_000; kept += 1) replays.consume(`${kept}`, now + 300, now)
      })
      return refused(await service({ options: { replays } }), call())
    },
  ],
  [
    'caller-not-expected',
    'a caller that this route is not for',
    async () =>
      refused(await service({ route: { peer: isExactly(parseSpiffeId('spiffe://example.com/agent/other')) } }), call()),
  ],
  [
    'proof-names-too-little',
    'a client that names no body',
    async () => refused(await service({ route: { requireBinding: { body: true } } }), claiming({})),
  ],
  [
    'token-too-large',
    'a token that has grown too large',
    async () => {
      const token = signJwsLocally(
        { typ: 'wit+jwt', kid: domain.signer.kid },
        { sub: wit.subject, x: 'x'.repeat(7000) },
        wit.key,
      )
      const fields = call().fields.map(([name, value]): [string, string] => [
        name,
        name === 'workload-identity-token' ? token : value,
      ])
      return refused(await service(), call({ sent: { fields } }))
    },
  ],
  [
    'signature-changed',
    'a proxy changes the path of a signed request',
    async () => refused(await behind(path((target) => target.replace('/api', ''))), await signed()),
  ],
]

// [authentication.explain.04]
for (const [cause, title, make] of ROWS) {
  test(`${title}: ${cause}`, async () => {
    const { causes, checks } = await log.explain(await make())
    assert.equal(causes[0]?.id, cause, JSON.stringify(checks, null, 1))
    assert.notEqual(causes[0]?.fix, '')
    const last = checks.at(-1)
    assert.equal(last?.outcome, 'failed')
    assert.notEqual(last?.check, 'other')
    assert.ok(checks.slice(0, -1).every(({ outcome }) => outcome === 'passed'))
    // No token, no key and no body is in what an operator reads.
    const told = JSON.stringify({ causes, checks })
    for (const secret of [wit.token.split('.')[2] ?? '', stranger.token.split('.')[2] ?? '', 'standup']) {
      assert.ok(!told.includes(secret))
    }
  })
}

test('what is explained covers at least forty misconfigurations', () => {
  assert.ok(new Set(ROWS.map(([cause]) => cause)).size >= 40)
})
