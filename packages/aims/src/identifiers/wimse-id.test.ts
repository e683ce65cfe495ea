import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { pathOf, trustDomainOf } from './spiffe-id.ts'
import { parseWimseId } from './wimse-id.ts'

const REFUSED: readonly (readonly [why: string, id: string, code: string])[] = [
  // [identifiers.wimse-id.01]
  ['the empty string', '', 'identifier.empty'],
  ['another scheme', 'https://td/a', 'identifier.wrong_scheme'],
  ['a relative reference', '//td/a', 'identifier.wrong_scheme'],
  ['no authority', 'wimse:/a', 'identifier.wrong_scheme'],
  ['an empty authority', 'wimse:///a', 'identifier.missing_trust_domain'],
  // [identifiers.wimse-id.02]
  ['user information', 'wimse://user@td/a', 'identifier.bad_trust_domain'],
  ['a port', 'wimse://td:443/a', 'identifier.bad_trust_domain'],
  ['an empty port', 'wimse://td:/a', 'identifier.bad_trust_domain'],
  ['a query', 'wimse://td/a?b', 'identifier.bad_path_char'],
  ['a query after the trust domain', 'wimse://td?b', 'identifier.bad_trust_domain_char'],
  ['a fragment', 'wimse://td/a#b', 'identifier.bad_path_char'],
  // [identifiers.wimse-id.05]
  ['no path', 'wimse://td', 'identifier.missing_path'],
  ['no path, scheme spiffe', 'spiffe://td', 'identifier.missing_path'],
  // [identifiers.wimse-id.06]
  ['an IPv4 address', 'wimse://10.0.0.1/a', 'identifier.bad_trust_domain'],
  ['an IPv6 address', 'wimse://[::1]/a', 'identifier.bad_trust_domain'],
  // [identifiers.wimse-id.04]
  ['2049 bytes', `wimse://td/${'a'.repeat(2038)}`, 'identifier.too_long'],
  ['a trust domain of 256 bytes', `wimse://${'a'.repeat(256)}/a`, 'identifier.too_long'],
  // [identifiers.wimse-id.20]
  ['an upper-case scheme', 'WIMSE://td/a', 'identifier.wrong_scheme'],
  ['upper case in the trust domain', 'wimse://TD/a', 'identifier.bad_trust_domain_char'],
  ['an escape in the trust domain', 'wimse://t%64/a', 'identifier.bad_trust_domain_char'],
  ['a root path', 'wimse://td/', 'identifier.trailing_slash'],
  ['a trailing slash', 'wimse://td/a/', 'identifier.trailing_slash'],
  ['an empty segment', 'wimse://td//a', 'identifier.empty_segment'],
  ['a dot segment', 'wimse://td/a/../b', 'identifier.dot_segment'],
  ['an escaped dot segment', 'wimse://td/%2e%2e/x', 'identifier.bad_path_char'],
  // [identifiers.wimse-id.21]
  ['an escaped slash', 'wimse://td/a%2Fb', 'identifier.bad_path_char'],
  // [identifiers.wimse-id.08]
  ['what a SPIFFE ID may not have', 'spiffe://td/a:b', 'identifier.bad_path_char'],
  // What RFC 3986 does not allow in a path.
  ['a blank', 'wimse://td/a b', 'identifier.bad_path_char'],
  ['a line feed at the end', 'wimse://td/a\n', 'identifier.bad_path_char'],
  ['a letter outside ASCII', 'wimse://td/\u00e4', 'identifier.bad_path_char'],
  ['a backslash', 'wimse://td/a\\b', 'identifier.bad_path_char'],
]

// [identifiers.wimse-id.20] [identifiers.wimse-id.21]
const REFUSED_ESCAPES: readonly (readonly [why: string, id: string, code: string])[] = [
  ['lower-case digits', 'wimse://td/a%2fb', 'identifier.bad_escape'],
  ['digits that are none', 'wimse://td/%zz', 'identifier.bad_escape'],
  ['a percent sign at the end', 'wimse://td/a%', 'identifier.bad_escape'],
  ['an escape cut short', 'wimse://td/a%2', 'identifier.bad_escape'],
  ['an escape across a slash', 'wimse://td/a%2/F', 'identifier.bad_escape'],
  ['two percent signs', 'wimse://td/%%2F', 'identifier.bad_escape'],
  ['an escaped letter', 'wimse://td/%61', 'identifier.bad_escape'],
  ['escaped dots', 'wimse://td/%2E%2E/x', 'identifier.bad_escape'],
  ['an escaped tilde', 'wimse://td/%7E', 'identifier.bad_escape'],
  ['an escape in the trust domain', 'wimse://t%2F/a', 'identifier.bad_trust_domain_char'],
  ['an escape in a SPIFFE ID', 'spiffe://td/a%2Fb', 'identifier.bad_path_char'],
]

describe('parseWimseId', () => {
  for (const id of [
    'wimse://example.com/agent/calendar-bot',
    // [identifiers.wimse-id.08]
    'spiffe://example.com/agent/calendar-bot',
    "wimse://example.com/a~b!$&'()*+,;=:@c",
    'spiffe://10.0.0.1/a',
    'wimse://1.2.3.example/a',
  ]) {
    test(`accepts ${id} and prints it back`, () => {
      assert.equal(parseWimseId(id), id)
    })
  }

  for (const [why, id, code] of REFUSED) {
    test(`refuses ${why}`, () => {
      assert.throws(() => parseWimseId(id), { name: 'AimsError', code })
    })
  }

  test('takes trust domain and path apart', () => {
    const id = parseWimseId('wimse://example.com/a/b')
    assert.equal(trustDomainOf(id), 'example.com')
    assert.equal(pathOf(id), '/a/b')
  })

  test('accepts an identifier of 2048 bytes [identifiers.wimse-id.03]', () => {
    const longest = `wimse://td/${'a'.repeat(2037)}`
    assert.equal(longest.length, 2048)
    assert.equal(parseWimseId(longest), longest)
  })

  test('accepts an origin only when asked to [identifiers.wimse-id.05]', () => {
    assert.equal(parseWimseId('wimse://td', { allowOrigin: true }), 'wimse://td')
    assert.equal(parseWimseId('spiffe://td', { allowOrigin: true }), 'spiffe://td')
    assert.throws(() => parseWimseId('wimse://td', { allowOrigin: false }), { code: 'identifier.missing_path' })
    assert.throws(() => parseWimseId('wimse://td/', { allowOrigin: true }), { code: 'identifier.trailing_slash' })
  })
})

describe('parseWimseId with allowReservedEscapes', () => {
  test('keeps an escape that is the only spelling of its character [identifiers.wimse-id.21]', () => {
    for (const id of ['wimse://td/a%2Fb', 'wimse://td/%20', 'wimse://td/%C3%A4']) {
      assert.equal(parseWimseId(id, { allowReservedEscapes: true }), id)
    }
  })

  for (const [why, id, code] of REFUSED_ESCAPES) {
    test(`refuses ${why}`, () => {
      assert.throws(() => parseWimseId(id, { allowReservedEscapes: true }), { name: 'AimsError', code })
    })
  }
})

test('parseWimseId either prints any string back byte for byte or refuses it with a code of this layer', () => {
  const near = fc.string({ unit: fc.constantFrom(...'aZ0._-/:@%2Ff?#\n é'), maxLength: 24 })
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    near.map((rest) => `wimse://${rest}`),
    near.map((rest) => `wimse://td/${rest}`),
    near.map((rest) => `spiffe://td/${rest}`),
  )
  fc.assert(
    fc.property(text, fc.boolean(), fc.boolean(), (id, allowReservedEscapes, allowOrigin) => {
      let parsed: string
      try {
        parsed = parseWimseId(id, { allowReservedEscapes, allowOrigin })
      } catch (error) {
        assert.match(AimsError.is(error) ? error.code : String(error), /^identifier\./)
        return
      }
      assert.equal(parsed, id)
    }),
    { numRuns: 2000 },
  )
})
