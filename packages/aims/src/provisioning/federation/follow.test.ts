import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { mock, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { federatedDomain, network, serving, spiffeEndpoint } from '../../../../../test/support/bundle-endpoint.ts'
import type { TlsHost } from '../../../../../test/support/tls-host.ts'
import type { AimsError } from '../../base/errors.ts'
import { serializeBundle } from '../../credentials/bundle/serialize.ts'
import { emptyBundle } from '../../credentials/bundle/source.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { followBundle, refreshInterval } from './follow.ts'
import { parseFederationRelationship } from './relationship.ts'

const clock = (): number => Date.now() / 1000
const partner = await federatedDomain('partner.example')
const { bundle: own } = await federatedDomain('example.com')
const { trustDomain } = partner.bundle
const server = await partner.ca.svid('/aims/server')
const relationship = parseFederationRelationship({
  trustDomain,
  url: 'https://bundles.partner.example:8443/v1/bundle',
  profile: 'https_spiffe',
  endpointSpiffeId: 'spiffe://partner.example/aims/server',
  bundle: serializeBundle(partner.bundle),
})

async function endpoint(answer: () => RequestListener): Promise<TlsHost> {
  return spiffeEndpoint(server, (request, response) => answer()(request, response))
}
const down: RequestListener = (_request, response) => void response.writeHead(500).end()
const towards = (host: TlsHost) => ({ clock, network: network({ 'bundles.partner.example': host }) })

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

test('the wait is the hint, from a minute to a day, and five minutes without one [provisioning.federation.08]', () => {
  const waits = [undefined, 1, 60, 120, 86_400, 1e9].map((refreshHint) =>
    refreshInterval({ ...emptyBundle(trustDomain), ...(refreshHint === undefined ? {} : { refreshHint }) }),
  )
  assert.deepEqual(waits, [300, 60, 60, 120, 86_400, 86_400])
  assert.equal(refreshInterval(undefined), 300)
})

test('a bundle with one of our keys is nothing to begin with, whether or not the endpoint answers', async () => {
  await using host = await endpoint(() => down)
  const mixedUp = {
    ...relationship,
    bundle: serializeBundle({ ...partner.bundle, jwtAuthorities: own.jwtAuthorities }),
  }
  await assert.rejects(followBundle(mixedUp, { ...towards(host), own }), { code: 'bundle.wrong_trust_domain' })
  assert.equal(host.requests.length, 0)
})

test('a followed bundle is fetched again when it is time, changes are told, and a failure waits [provisioning.federation.08]', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let answer = serving(partner.bundle)
    await using host = await endpoint(() => answer)
    const failures: AimsError[] = []
    using bundle = await followBundle(relationship, { ...towards(host), onFailure: (error) => failures.push(error) })
    const first = bundle.bundleFor(trustDomain)
    assert.deepEqual([...(first?.witAuthorities.keys() ?? [])], [partner.witKey.kid])
    assert.equal(bundle.bundleFor(parseTrustDomain('other.example')), undefined)
    let updates = 0
    bundle.onUpdate(() => {
      updates += 1
    })

    mock.timers.tick(59_999)
    await turn()
    assert.equal(host.requests.length, 1)
    mock.timers.tick(1)
    await until(() => host.requests.length === 2)
    await bundle.refresh()
    assert.equal(bundle.bundleFor(trustDomain), first)
    assert.equal(updates, 0)

    const before = host.requests.length
    answer = down
    mock.timers.tick(60_000)
    await until(() => failures.length === 1)
    assert.equal(bundle.lastError?.code, 'outbound.refused_by_host')
    assert.equal(bundle.bundleFor(trustDomain), first)
    mock.timers.tick(59_999)
    await turn()
    assert.equal(host.requests.length, before + 1)

    answer = serving({ ...partner.bundle, jwtAuthorities: new Map(), sequence: 6n })
    mock.timers.tick(1)
    await until(() => updates === 1)
    assert.equal(bundle.bundleFor(trustDomain)?.jwtAuthorities.size, 0)
    assert.equal(bundle.lastError, undefined)
    bundle.close()
    assert.equal(bundle.bundleFor(trustDomain), undefined)
    const { length } = host.requests
    mock.timers.tick(600_000)
    await turn()
    assert.equal(host.requests.length, length)
  } finally {
    mock.timers.reset()
  }
})

test('an endpoint that is down at the start leaves the first bundle, or is an error where there is none', async () => {
  await using host = await endpoint(() => down)
  using bundle = await followBundle(relationship, towards(host))
  assert.equal(bundle.bundleFor(trustDomain)?.sequence, 5n)
  assert.equal(bundle.lastError?.code, 'outbound.refused_by_host')
  const web = parseFederationRelationship({ trustDomain, url: relationship.url, profile: 'https_web' })
  await assert.rejects(followBundle(web, towards(host)), { code: 'outbound.tls_failed' })
})
