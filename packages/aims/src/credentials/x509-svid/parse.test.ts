import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import {
  buildCa,
  buildSvid,
  dns,
  NOT_AFTER,
  NOT_BEFORE,
  subjectAltName,
  uri,
} from '../../../../../test/support/certificates.ts'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import { AimsError } from '../../base/errors.ts'
import { WorkloadKey } from '../../base/keys.ts'
import { encodePem } from '../../base/pem.ts'
import { decodeUnverifiedX509Svid, parsePemChain, splitDerChain } from './parse.ts'
import { holdX509Svid } from './source.ts'

const ca = buildCa({ subject: 'ca' })
const leaf = buildSvid({ issuer: ca })
const key = new WorkloadKey(leaf.key.privateKey)

test('a chain is read as a list, as concatenated DER and as PEM', () => {
  const concatenated = Buffer.concat([leaf.der, ca.der])
  for (const chain of [[leaf.der, ca.der], concatenated, splitDerChain(concatenated)]) {
    const { leaf: first, intermediates } = decodeUnverifiedX509Svid(chain)
    assert.deepEqual(Buffer.from(first.raw), leaf.der)
    assert.deepEqual(
      intermediates.map(({ raw }) => Buffer.from(raw)),
      [ca.der],
    )
  }
  const pem =
    encodePem('PRIVATE KEY', Uint8Array.of(1)) + encodePem('CERTIFICATE', leaf.der) + encodePem('CERTIFICATE', ca.der)
  assert.deepEqual(
    parsePemChain(pem).map((der) => Buffer.from(der)),
    [leaf.der, ca.der],
  )
})

test('chains that are empty, too long, too large or torn are refused', () => {
  assertRefused(() => decodeUnverifiedX509Svid([]), 'x509.no_certificate')
  assertRefused(() => decodeUnverifiedX509Svid(new Uint8Array()), 'x509.no_certificate')
  assertRefused(() => decodeUnverifiedX509Svid(Array.from({ length: 9 }, () => leaf.der)), 'x509.chain_too_long')
  assertRefused(() => decodeUnverifiedX509Svid([leaf.der, ca.der], { maxCertificates: 1 }), 'x509.chain_too_long')
  assertRefused(() => decodeUnverifiedX509Svid([leaf.der, Buffer.alloc(65_536)]), 'credential.too_large')
  assertRefused(() => decodeUnverifiedX509Svid(leaf.der.subarray(0, -1)), 'x509.malformed')
  assertRefused(() => splitDerChain(Buffer.concat([leaf.der, Buffer.of(0x30)])), 'x509.malformed')
  assertRefused(() => splitDerChain(Buffer.from(encodePem('CERTIFICATE', leaf.der))), 'x509.malformed')
  assertRefused(() => splitDerChain(Buffer.alloc(1_048_577)), 'credential.too_large')
  assertRefused(() => parsePemChain(encodePem('PRIVATE KEY', Uint8Array.of(1))), 'x509.no_certificate')
  assertRefused(() => parsePemChain('no PEM'), 'pem.malformed')
})

test('any bytes split into certificates that join to the same bytes, or are refused', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 4 }), (parts) => {
      const bytes = Buffer.concat(parts.flatMap((part) => [Buffer.of(0x30, part.length), part]))
      assert.deepEqual(Buffer.concat(splitDerChain(bytes)), bytes)
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        assert.deepEqual(Buffer.concat(splitDerChain(bytes)), Buffer.from(bytes))
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'x509.malformed', String(error))
      }
    }),
  )
})

test('a held X.509-SVID knows its identity and times, and does not show its key', () => {
  const shorter = buildCa({ subject: 'shorter', notAfter: NOT_AFTER - 5 })
  const svid = holdX509Svid({ certificates: Buffer.concat([leaf.der, shorter.der]), key, hint: 'internal' })
  assert.equal(svid.spiffeId, 'spiffe://example.com/agent/calendar-bot')
  assert.deepEqual([svid.notBefore, svid.expiresAt, svid.hint], [NOT_BEFORE, NOT_AFTER - 5, 'internal'])
  assert.equal(svid.key, key)
  assert.equal(holdX509Svid({ certificates: [leaf.der], key }).hint, '')
  const { certificates } = JSON.parse(JSON.stringify(svid))
  assert.deepEqual(
    certificates,
    [leaf.der, shorter.der].map((der) => Buffer.from(der).toString('base64')),
  )
  assert.ok(!Object.keys(svid).includes('key'))
  for (const text of [JSON.stringify(svid), inspect(svid, { showHidden: true })]) {
    assert.ok(!text.includes('WorkloadKey') && !text.includes(key.kid), text)
  }
})

test('a chain whose leaf has another key, or no one identity, is not held', () => {
  const hold = (names: readonly Uint8Array[]): void => {
    const other = buildSvid({ issuer: ca, key: leaf.key, extensions: { subjectAltName: subjectAltName(names) } })
    holdX509Svid({ certificates: [other.der], key })
  }
  assertRefused(() => holdX509Svid({ certificates: [leaf.der], key: WorkloadKey.generate() }), 'x509.key_mismatch')
  assertRefused(() => holdX509Svid({ certificates: [], key }), 'x509.no_certificate')
  assertRefused(() => holdX509Svid({ certificates: [leaf.der, leaf.der], key }), 'x509.not_a_ca')
  assertRefused(() => hold([dns('example.com')]), 'x509.uri_san_count')
  assertRefused(() => hold([uri('spiffe://example.com/a'), uri('spiffe://example.com/b')]), 'x509.uri_san_count')
  assertRefused(() => hold([uri('spiffe://example.com')]), 'x509.invalid_identifier')
})
