import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { federatedDomain } from '../../../../../test/support/bundle-endpoint.ts'
import { webAuthority } from '../../../../../test/support/tls-host.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonValue } from '../../base/json.ts'
import { serializePemBundle } from '../../credentials/bundle/pem.ts'
import { serializeBundle } from '../../credentials/bundle/serialize.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { bootstrapOf, parseFederationRelationship } from './relationship.ts'

const partner = await federatedDomain('partner.example')
const spiffe = {
  trustDomain: 'partner.example',
  url: 'https://aims.partner.example:8443/v1/bundle',
  profile: 'https_spiffe',
  endpointSpiffeId: 'spiffe://partner.example/aims/server',
  bundle: serializeBundle(partner.bundle),
}
const web = { trustDomain: 'partner.example', url: 'https://partner.example/bundle', profile: 'https_web' }
const own = parseTrustDomain('example.com')

test('a relationship is read with its defaults, and read again from what it prints', () => {
  const one = parseFederationRelationship(spiffe, { own })
  assert.deepEqual(one, { ...spiffe, networks: [], redirects: true })
  assert.deepEqual(parseFederationRelationship(JSON.parse(JSON.stringify(one))), one)
  assert.equal(bootstrapOf(one)?.sequence, 5n)
  assert.equal(bootstrapOf(parseFederationRelationship(web)), undefined)
  const pem = parseFederationRelationship({ ...spiffe, bundle: serializePemBundle(partner.bundle) })
  assert.deepEqual(bootstrapOf(pem)?.x509Authorities.length, 1)
})

test('an endpoint in another trust domain needs no bundle to begin with', () => {
  const { bundle: _, ...rest } = spiffe
  const one = parseFederationRelationship({ ...rest, endpointSpiffeId: 'spiffe://example.com/bundles' })
  assert.equal(one.bundle, undefined)
})

// Each row breaks one thing: nothing is inferred from the rest.
const REFUSED: readonly (readonly [what: string, input: JsonValue])[] = [
  ['that is no object', 'partner.example'],
  ['without trust domain', { ...web, trustDomain: '' }],
  ['with a trust domain in upper case', { ...web, trustDomain: 'Partner.example' }],
  ['with the own trust domain', { ...web, trustDomain: 'example.com' }],
  ['without profile', { ...web, profile: null }],
  ['with a profile of another name', { ...web, profile: 'https' }],
  ['with both profiles', { ...web, profile: ['https_web', 'https_spiffe'] }],
  ['without URL', { ...web, url: null }],
  ['over http [provisioning.federation.11]', { ...web, url: 'http://partner.example/bundle' }],
  ['with a user in the URL [provisioning.federation.11]', { ...web, url: 'https://me:pw@partner.example/bundle' }],
  ['with a fragment in the URL', { ...web, url: 'https://partner.example/bundle#x' }],
  ['for the web with a SPIFFE ID', { ...web, endpointSpiffeId: spiffe.endpointSpiffeId }],
  ['with SPIFFE and authorities of the web', { ...spiffe, authorities: webAuthority }],
  ['with SPIFFE and no ID', { ...spiffe, endpointSpiffeId: '' }],
  ['with the ID of a trust domain', { ...spiffe, endpointSpiffeId: 'spiffe://partner.example' }],
  ['with no bundle to begin with', { ...spiffe, bundle: '' }],
  ['with a bundle without X.509 authority', { ...spiffe, bundle: '{"keys":[]}' }],
  ['with a bundle that is none', { ...spiffe, bundle: 'bundle.json' }],
  [
    'with a certificate that is no CA',
    { ...spiffe, bundle: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
  ],
  ['with authorities that are none', { ...web, authorities: 'ca.pem' }],
  [
    'with a private key as authority',
    { ...web, authorities: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' },
  ],
  ['with a network that is none', { ...web, networks: ['10.0.0.0'] }],
  ['with networks as a text', { ...web, networks: '10.0.0.0/8' }],
  ['with redirects as a number', { ...web, redirects: 3 }],
  ['with a misspelt member', { ...web, network: [] }],
]

for (const [what, input] of REFUSED) {
  test(`a relationship ${what} is refused [provisioning.federation.02]`, () => {
    assertRefused(() => parseFederationRelationship(input, { own }), 'provisioning.federation_malformed')
  })
}

test('any object is a relationship or refused', () => {
  const part = fc.constantFrom(
    'trustDomain',
    'url',
    'profile',
    'endpointSpiffeId',
    'bundle',
    'authorities',
    'networks',
    'x',
  )
  fc.assert(
    fc.property(
      fc.constantFrom<object>(spiffe, web),
      fc.dictionary(part, fc.jsonValue({ maxDepth: 2 })),
      (base, change) => {
        const input: JsonValue = JSON.parse(JSON.stringify({ ...base, ...change }))
        try {
          const one = parseFederationRelationship(input)
          assert.deepEqual(parseFederationRelationship(JSON.parse(JSON.stringify(one))), one)
        } catch (error) {
          assert.ok(AimsError.is(error), String(error))
          assert.equal(error.code, 'provisioning.federation_malformed')
        }
      },
    ),
  )
})
