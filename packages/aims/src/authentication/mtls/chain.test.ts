import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
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
  const verify = (ed25519 = false) => verifyChain(chain, { bundles, mode: 'svid', ed25519, now: NOW })
  const first = verify()
  assert.equal(verify(), first)
  x509Authorities.push(buildCa({ subject: 'next' }).der)
  const second = verify()
  assert.notEqual(second, first)
  assert.equal(verify(), second)
  x509Authorities.shift()
  assertRefused(verify, 'x509.untrusted')
})

test('what was verified under one set of rules says nothing under another', () => {
  const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities: [root.der] })
  const chain = [buildSvid({ issuer: root, key: generateKeyPairSync('ed25519') }).der]
  verifyChain(chain, { bundles, mode: 'svid', ed25519: true, now: NOW })
  assertRefused(() => verifyChain(chain, { bundles, mode: 'svid', ed25519: false, now: NOW }), 'x509.weak_key')
})
