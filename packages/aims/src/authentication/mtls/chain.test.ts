import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildCa, buildSvid, NOW } from '../../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { bundleSource, emptyBundle } from '../../credentials/bundle/source.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { verifyChain } from './chain.ts'

const root = buildCa({ subject: 'root' })
const trustDomain = parseTrustDomain('example.com')

test('a chain is verified once, and again when the authorities of the same bundle are others', () => {
  const x509Authorities: Uint8Array[] = [root.der]
  const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities })
  const chain = [buildSvid({ issuer: root }).der]
  const verify = () => verifyChain(chain, { bundles, mode: 'svid', now: NOW })
  const first = verify()
  assert.equal(verify(), first)
  x509Authorities.push(buildCa({ subject: 'next' }).der)
  const second = verify()
  assert.notEqual(second, first)
  assert.equal(verify(), second)
  x509Authorities.shift()
  assertRefused(verify, 'x509.untrusted')
})
