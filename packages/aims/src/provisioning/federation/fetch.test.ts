import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test } from 'node:test'
import { federatedDomain, network, serving, spiffeEndpoint } from '../../../../../test/support/bundle-endpoint.ts'
import { type TlsHost, tlsHost, webAuthority } from '../../../../../test/support/tls-host.ts'
import { testCa } from '../../../../../test/support/x509-identities.ts'
import { AimsError } from '../../base/errors.ts'
import { WorkloadKey } from '../../base/keys.ts'
import { serializePemBundle } from '../../credentials/bundle/pem.ts'
import { serializeBundle } from '../../credentials/bundle/serialize.ts'
import { bundleSource, emptyBundle } from '../../credentials/bundle/source.ts'
import { issueJwtSvid } from '../../credentials/jwt-svid/issue.ts'
import { verifyJwtSvid } from '../../credentials/jwt-svid/verify.ts'
import { issueWit } from '../../credentials/wit/issue.ts'
import { verifyWit } from '../../credentials/wit/verify.ts'
import { issueX509Svid } from '../../credentials/x509-svid/issue.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { verifyX509Svid } from '../../credentials/x509-svid/verify.ts'
import { parseWorkloadSpiffeId, type SpiffeId } from '../../identifiers/spiffe-id.ts'
import { type BundleFetchOptions, fetchBundle } from './fetch.ts'
import { parseFederationRelationship } from './relationship.ts'

const clock = (): number => Date.now() / 1000
const partner = await federatedDomain('partner.example')
const other = await federatedDomain('other.example')
const own = await federatedDomain('example.com')
const server = await partner.ca.svid('/aims/server')

const URL_OF_PARTNER = 'https://bundles.partner.example:8443/v1/bundle?include=wit-svid'
const spiffe = {
  trustDomain: 'partner.example',
  url: URL_OF_PARTNER,
  profile: 'https_spiffe',
  endpointSpiffeId: 'spiffe://partner.example/aims/server',
  bundle: serializeBundle(partner.bundle),
}
const web = {
  trustDomain: 'partner.example',
  url: 'https://bundles.partner.example/bundle.json',
  profile: 'https_web',
  authorities: webAuthority,
}

interface Change {
  readonly relationship?: object
  readonly options?: Partial<BundleFetchOptions>
  readonly svid?: X509Svid
  readonly listener?: RequestListener
}

async function fetchFrom(host: TlsHost, relationship: object, options: Partial<BundleFetchOptions> = {}) {
  const net = network({ 'bundles.partner.example': host })
  return fetchBundle(parseFederationRelationship({ ...relationship }), {
    clock,
    network: net,
    own: own.bundle,
    ...options,
  })
}

async function fetchSpiffe({ relationship, options, svid = server, listener }: Change = {}) {
  await using host = await spiffeEndpoint(svid, listener ?? serving(partner.bundle))
  return await fetchFrom(host, { ...spiffe, ...relationship }, options)
}

async function fetchWeb({ relationship, options, listener }: Change = {}) {
  await using host = await tlsHost(['bundles.partner.example'], listener ?? serving(partner.bundle))
  return await fetchFrom(host, { ...web, ...relationship }, options)
}

function refused(code: string, cause?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(AimsError.is(error), String(error))
    assert.equal(error.code, code, String(error.cause))
    if (cause !== undefined) assert.equal((error.cause as AimsError).code, cause)
    return true
  }
}

test('https_spiffe: the endpoint is known by its SPIFFE ID under the bundle to begin with, whatever its host name [provisioning.federation.01, provisioning.federation.04]', async () => {
  const { bundle, warnings } = await fetchSpiffe()
  assert.deepEqual(warnings, [])
  assert.equal(bundle.trustDomain, 'partner.example')
  assert.equal(bundle.sequence, 5n)
  assert.deepEqual([...bundle.witAuthorities.keys()], [partner.witKey.kid])
  const pem = await fetchSpiffe({ relationship: { bundle: serializePemBundle(partner.bundle) } })
  assert.equal(pem.bundle.sequence, 5n)
})

test('https_web: the endpoint has a certificate for its name [provisioning.federation.01, provisioning.federation.03]', async () => {
  assert.equal((await fetchWeb()).bundle.sequence, 5n)
})

test('an endpoint in another trust domain is known by the bundle of that one [provisioning.federation.05]', async () => {
  const svid = await other.ca.svid('/bundles')
  const relationship = { endpointSpiffeId: 'spiffe://other.example/bundles', bundle: undefined }
  const parsed = JSON.parse(JSON.stringify({ ...spiffe, ...relationship }))
  await using host = await spiffeEndpoint(svid, serving(partner.bundle))
  const { bundle } = await fetchFrom(host, parsed, { endpointBundles: bundleSource(other.bundle) })
  assert.equal(bundle.trustDomain, 'partner.example')
  // Nothing stands in for a bundle that is not there, not even that of the domain whose bundle is fetched.
  await assert.rejects(fetchFrom(host, { ...parsed, bundle: spiffe.bundle }), refused('x509.untrusted_domain'))
})

test('the latest bundle recognises the endpoint, and the first one no more [provisioning.federation.05]', async () => {
  const renewed = await federatedDomain('partner.example', 6n)
  const current = { current: { ...renewed.bundle } }
  await assert.rejects(fetchSpiffe({ options: current }), refused('outbound.tls_failed'))
  const svid = await renewed.ca.svid('/aims/server')
  const { bundle } = await fetchSpiffe({ svid, listener: serving(renewed.bundle), options: current })
  assert.equal(bundle.sequence, 6n)
  const revoked = { current: { ...emptyBundle(partner.bundle.trustDomain), sequence: 7n } }
  await assert.rejects(fetchSpiffe({ options: revoked }), refused('x509.untrusted_domain'))
})

// spiffe/spiffe#375: whoever may speak for one trust domain must not get to speak for another.
const FOREIGN: readonly (readonly [what: string, svid: () => Promise<X509Svid>, cause?: string])[] = [
  ['another workload of its trust domain', () => partner.ca.svid('/agent/bot'), 'authentication.peer_unexpected'],
  ['the same path in another trust domain', () => other.ca.svid('/aims/server')],
  [
    'its SPIFFE ID under the authority of another trust domain',
    async () => (await federatedDomain('partner.example')).ca.svid('/aims/server'),
  ],
  ['its SPIFFE ID in a certificate that ended', () => partner.ca.svid('/aims/server', { ttl: -10 })],
]

for (const [what, svid, cause] of FOREIGN) {
  test(`https_spiffe: an endpoint with ${what} is refused [provisioning.federation.04]`, async () => {
    const options = { endpointBundles: bundleSource(other.bundle) }
    await assert.rejects(fetchSpiffe({ svid: await svid(), options }), refused('outbound.tls_failed', cause))
  })
}

test('https_spiffe: an endpoint that is fine for the web is refused [provisioning.federation.06]', async () => {
  await using host = await tlsHost(['bundles.partner.example'], serving(partner.bundle))
  await assert.rejects(fetchFrom(host, spiffe), refused('outbound.tls_failed'))
})

test('https_web: an endpoint with the right SVID is refused [provisioning.federation.06]', async () => {
  await using host = await spiffeEndpoint(server, serving(partner.bundle))
  await assert.rejects(fetchFrom(host, web), refused('outbound.tls_failed'))
  await assert.rejects(
    fetchFrom(host, { ...web, authorities: serializePemBundle(partner.bundle) }),
    refused('outbound.tls_failed'),
  )
})

test('https_web: a certificate for another name is refused [provisioning.federation.03]', async () => {
  await using host = await tlsHost(['other.example'], serving(partner.bundle))
  await assert.rejects(fetchFrom(host, web), refused('outbound.tls_failed'))
})

test('https_web: without authorities of its own only those of the web count', async () => {
  const { authorities: _, ...rest } = web
  await using host = await tlsHost(['bundles.partner.example'], serving(partner.bundle))
  await assert.rejects(fetchFrom(host, rest), refused('outbound.tls_failed'))
})

// Endpoints that lie. Each row is authentic TLS.
const LIES: readonly (readonly [what: string, code: string, listener: RequestListener])[] = [
  ['the bundle of another trust domain', 'bundle.wrong_trust_domain', serving(other.bundle)],
  ['our own bundle', 'bundle.wrong_trust_domain', serving(own.bundle)],
  [
    'one of our token keys among its own',
    'bundle.wrong_trust_domain',
    serving({ ...partner.bundle, witAuthorities: own.bundle.witAuthorities }),
  ],
  ['an older bundle', 'bundle.rollback', serving({ ...partner.bundle, sequence: 4n })],
  [
    'a bundle without its number',
    'bundle.rollback',
    serving(serializeBundle({ ...emptyBundle(partner.bundle.trustDomain) })),
  ],
  ['garbage', 'bundle.malformed', serving('<html></html>')],
  ['bytes that are no text', 'bundle.malformed', (_request, response) => void response.end(Buffer.of(0xff, 0xfe))],
  ['nothing', 'bundle.malformed', serving('')],
  ['a private key', 'bundle.private_key', serving('{"keys":[{"kty":"oct","k":"AAAA"}]}')],
  ['more than 1 MiB', 'outbound.too_large', serving(`{"keys":[],"x":"${'x'.repeat(1_048_577)}"}`)],
  ['status 404', 'outbound.refused_by_host', (_request, response) => void response.writeHead(404).end('{"keys":[]}')],
  ['status 500', 'outbound.refused_by_host', (_request, response) => void response.writeHead(500).end('{"keys":[]}')],
  [
    'half an answer',
    'outbound.invalid_response',
    (_request, response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('{', () => response.socket?.destroy())
    },
  ],
]

for (const [what, code, listener] of LIES) {
  test(`an endpoint that answers with ${what} is refused [provisioning.federation.09]`, async () => {
    await assert.rejects(fetchSpiffe({ listener }), refused(code))
    await assert.rejects(fetchWeb({ listener, relationship: { bundle: spiffe.bundle } }), refused(code))
  })
}

test('an endpoint that never ends is given up', async () => {
  const listener: RequestListener = (_request, response) => void response.writeHead(200).write('{')
  const signal = AbortSignal.timeout(200)
  await assert.rejects(fetchSpiffe({ listener, options: { signal } }), refused('outbound.unreachable'))
})

test('one number for two contents is refused, but an operator may take it [provisioning.federation.09]', async () => {
  const options = { current: partner.bundle }
  const changed = serving({ ...partner.bundle, witAuthorities: new Map() })
  await assert.rejects(fetchSpiffe({ options, listener: changed }), refused('bundle.sequence_reused'))
  const older = serving({ ...partner.bundle, sequence: 4n })
  const { bundle } = await fetchSpiffe({ options: { ...options, acceptRollback: true }, listener: older })
  assert.equal(bundle.sequence, 4n)
})

test('a bundle without keys is taken: nobody of the trust domain is trusted then', async () => {
  const { bundle } = await fetchSpiffe({ listener: serving('{"keys":[],"spiffe_sequence":6}') })
  assert.deepEqual(bundle.x509Authorities, [])
})

async function redirected(
  location: string,
  change: { readonly target?: X509Svid; readonly relationship?: object; readonly address?: string } = {},
) {
  const redirect: RequestListener = (request, response) => {
    if (request.url === '/moved') serving(partner.bundle)(request, response)
    else response.writeHead(301, { location: location.replace('{url}', request.url ?? '') }).end()
  }
  await using first = await spiffeEndpoint(server, redirect)
  await using second = await spiffeEndpoint(change.target ?? server, redirect)
  const hosts = { 'bundles.partner.example': first, 'other.partner.example': second }
  const net = network(hosts, change.address === undefined ? {} : { 'other.partner.example': change.address })
  const relationship = parseFederationRelationship({ ...spiffe, ...change.relationship })
  const answer = await fetchBundle(relationship, { clock, network: net })
  return { answer, connected: net.connected, requests: [...first.requests, ...second.requests] }
}

test('a redirect is followed to a host with the same SPIFFE ID, and to another path [provisioning.federation.07]', async () => {
  const { requests } = await redirected('https://other.partner.example/moved')
  assert.equal(requests.length, 2)
  assert.equal((await redirected('/moved')).answer.bundle.sequence, 5n)
})

const REDIRECTS: readonly (readonly [
  what: string,
  code: string,
  location: string,
  change?: Parameters<typeof redirected>[1],
])[] = [
  ['to http', 'outbound.url_refused', 'http://other.partner.example/moved'],
  ['with a user', 'outbound.url_refused', 'https://me@other.partner.example/moved'],
  ['to this machine', 'outbound.address_refused', 'https://127.0.0.1/moved'],
  ['to a metadata service', 'outbound.address_refused', 'https://169.254.169.254/moved'],
  [
    'to a name in a private network',
    'outbound.address_refused',
    'https://other.partner.example/moved',
    { address: '10.0.0.7' },
  ],
  ['without a scheme', 'outbound.url_refused', '//other.partner.example/moved'],
  ['to itself', 'outbound.redirected', '{url}'],
  ['where none is followed', 'outbound.redirected', '/moved', { relationship: { redirects: false } }],
]

for (const [what, code, location, change] of REDIRECTS) {
  test(`a redirect ${what} is refused [provisioning.federation.07]`, async () => {
    await assert.rejects(redirected(location, change), refused(code))
  })
}

test('a redirect to another SPIFFE ID of the same trust domain is refused [provisioning.federation.07]', async () => {
  const target = await partner.ca.svid('/agent/bot')
  await assert.rejects(redirected('https://other.partner.example/moved', { target }), refused('outbound.tls_failed'))
})

test('three redirects are followed, and four are not [provisioning.federation.07]', async () => {
  for (const [count, ends] of [
    [3, true],
    [4, false],
  ] as const) {
    const listener: RequestListener = (request, response) => {
      const step = Number(new URL(request.url ?? '', 'https://x').searchParams.get('n') ?? 0)
      if (step === count) serving(partner.bundle)(request, response)
      else response.writeHead(302, { location: `/v1/bundle?n=${step + 1}` }).end()
    }
    if (ends) assert.equal((await fetchSpiffe({ listener })).bundle.sequence, 5n)
    else await assert.rejects(fetchSpiffe({ listener }), refused('outbound.redirected'))
  }
})

test('a private address is reached where its network is named, and a metadata service never', async () => {
  await using host = await spiffeEndpoint(server, serving(partner.bundle))
  const net = network({ 'bundles.partner.example': host }, { 'bundles.partner.example': '10.1.2.3' })
  const fetchWith = (networks: readonly string[]) =>
    fetchBundle(parseFederationRelationship({ ...spiffe, networks }), { clock, network: net })
  await assert.rejects(fetchWith([]), refused('outbound.address_refused'))
  assert.equal((await fetchWith(['10.0.0.0/8'])).bundle.sequence, 5n)
})

test('a fetched bundle validates identifiers of its own trust domain and of no other [provisioning.federation.13]', async () => {
  const { bundle } = await fetchSpiffe()
  const bundles = bundleSource(bundle, own.bundle)
  const friend = await partner.ca.svid('/agent/friend')
  assert.equal(verifyX509Svid(friend.certificates, { bundles, now: clock() }).subject, friend.spiffeId)
  // The partner signs for an identifier of ours, as if the two bundles were one.
  const now = clock()
  const { authority } = await testCa('example.com', { signer: partner.ca.signer })
  const subject = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
  const key = WorkloadKey.generate()
  const times = { notBefore: Math.floor(now) - 30, notAfter: Math.floor(now) + 60 }
  const stolen = await issueX509Svid({ spiffeId: subject, publicKey: key.publicKey, ...times }, authority)
  assert.throws(() => verifyX509Svid(stolen.certificates, { bundles, now }), refused('x509.untrusted'))

  const jwt = { audiences: ['us'], now, ttl: 60 }
  const genuine = await issueJwtSvid({ ...jwt, subject: friend.spiffeId as SpiffeId }, partner.jwtKey)
  assert.equal(verifyJwtSvid(genuine.token, { bundles, now, audience: 'us' }).subject, friend.spiffeId)
  const forged = await issueJwtSvid({ ...jwt, subject }, partner.jwtKey)
  assert.throws(() => verifyJwtSvid(forged.token, { bundles, now, audience: 'us' }), refused('credential.unknown_key'))

  const wit = { publicKey: key.publicKey, now, ttl: 60, profile: 'wimse' } as const
  const theirs = await issueWit({ ...wit, subject: friend.spiffeId as SpiffeId }, partner.witKey)
  assert.equal(verifyWit(theirs.token, { bundles, now, profile: 'wimse' }).subject, friend.spiffeId)
  const fake = await issueWit({ ...wit, subject }, partner.witKey)
  assert.throws(() => verifyWit(fake.token, { bundles, now, profile: 'wimse' }), refused('credential.unknown_key'))
  // Nor do the keys of the partner stand in for each other.
  const wrongUse = await issueWit({ ...wit, subject: friend.spiffeId as SpiffeId }, partner.jwtKey)
  assert.throws(() => verifyWit(wrongUse.token, { bundles, now, profile: 'wimse' }), refused('credential.unknown_key'))
})
