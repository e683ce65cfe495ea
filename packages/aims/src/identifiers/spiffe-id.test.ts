import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import {
  isSpiffeId,
  joinSpiffeId,
  parseSpiffeId,
  parseWorkloadSpiffeId,
  pathOf,
  type SpiffeId,
  trustDomainOf,
} from './spiffe-id.ts'
import { parseTrustDomain, trustDomainId } from './trust-domain.ts'

const ACCEPTED: readonly (readonly [id: string, trustDomain: string, path: string])[] = [
  // The three examples of the overview page. [identifiers.aims.03]
  ['spiffe://example.com/agent/calendar-bot', 'example.com', '/agent/calendar-bot'],
  ['spiffe://prod.example.com/workload/api-server', 'prod.example.com', '/workload/api-server'],
  ['spiffe://example.com/service/auth', 'example.com', '/service/auth'],
  // [identifiers.spiffe-id.01]
  ['spiffe://example.com', 'example.com', ''],
  ['spiffe://a_b-c.d/X.y-z_9', 'a_b-c.d', '/X.y-z_9'],
  // [identifiers.spiffe-id.06]
  ['spiffe://1.2.3.4/x', '1.2.3.4', '/x'],
  ['spiffe://td/...', 'td', '/...'],
  ['spiffe://td/.x/..x', 'td', '/.x/..x'],
  ['spiffe://__proto__/constructor', '__proto__', '/constructor'],
  // [identifiers.spiffe-id.14]
  [`spiffe://${'a'.repeat(255)}/x`, 'a'.repeat(255), '/x'],
]

const REFUSED: readonly (readonly [why: string, id: string, code: string])[] = [
  // [identifiers.spiffe-id.01]
  ['the empty string', '', 'identifier.empty'],
  ['an upper-case scheme', 'SPIFFE://td/a', 'identifier.wrong_scheme'],
  ['another scheme', 'https://td/a', 'identifier.wrong_scheme'],
  ['wimse as scheme', 'wimse://td/a', 'identifier.wrong_scheme'],
  ['one slash after the scheme', 'spiffe:/td/a', 'identifier.wrong_scheme'],
  // [identifiers.spiffe-id.02]
  ['a query', 'spiffe://td/a?b', 'identifier.bad_path_char'],
  ['a query after the trust domain', 'spiffe://td?b', 'identifier.bad_trust_domain_char'],
  ['a fragment', 'spiffe://td/a#b', 'identifier.bad_path_char'],
  // [identifiers.spiffe-id.03]
  ['no trust domain', 'spiffe:///a', 'identifier.missing_trust_domain'],
  ['nothing after the scheme', 'spiffe://', 'identifier.missing_trust_domain'],
  // [identifiers.spiffe-id.04]
  ['upper case in the trust domain', 'spiffe://TD/a', 'identifier.bad_trust_domain_char'],
  ['an IPv6 address', 'spiffe://[::1]/a', 'identifier.bad_trust_domain_char'],
  ['a backslash', 'spiffe://td\\a', 'identifier.bad_trust_domain_char'],
  // [identifiers.spiffe-id.05]
  ['user information', 'spiffe://user@td/a', 'identifier.bad_trust_domain_char'],
  ['a port', 'spiffe://td:443/a', 'identifier.bad_trust_domain_char'],
  ['an escape in the trust domain', 'spiffe://t%64/a', 'identifier.bad_trust_domain_char'],
  // [identifiers.spiffe-id.07]
  ['a tilde', 'spiffe://td/a~b', 'identifier.bad_path_char'],
  ['a colon', 'spiffe://td/a:b', 'identifier.bad_path_char'],
  // [identifiers.spiffe-id.08]
  ['two slashes', 'spiffe://td//b', 'identifier.empty_segment'],
  ['only slashes', 'spiffe://td//', 'identifier.empty_segment'],
  ['a trailing slash', 'spiffe://td/a/', 'identifier.trailing_slash'],
  ['a root path', 'spiffe://td/', 'identifier.trailing_slash'],
  // [identifiers.spiffe-id.09]
  ['dot segments', 'spiffe://td/a/../b', 'identifier.dot_segment'],
  ['a single dot', 'spiffe://td/./b', 'identifier.dot_segment'],
  ['a dot segment at the end', 'spiffe://td/a/..', 'identifier.dot_segment'],
  // [identifiers.spiffe-id.10]
  ['an escaped letter', 'spiffe://td/%61', 'identifier.bad_path_char'],
  ['an escaped slash', 'spiffe://td/a%2fb', 'identifier.bad_path_char'],
  ['a bad escape', 'spiffe://td/%zz', 'identifier.bad_path_char'],
  // [identifiers.spiffe-id.17]
  ['a letter that only looks Latin', 'spiffe://td/\u0430dmin', 'identifier.bad_path_char'],
  ['an ideographic full stop', 'spiffe://td\u3002com/a', 'identifier.bad_trust_domain_char'],
  ['NUL', 'spiffe://td/a\0', 'identifier.bad_path_char'],
  ['a line feed at the end', 'spiffe://td/a\n', 'identifier.bad_path_char'],
  ['a line feed at the end of a trust domain', 'spiffe://td\n', 'identifier.bad_trust_domain_char'],
  ['a blank before', ' spiffe://td/a', 'identifier.wrong_scheme'],
  ['a blank after', 'spiffe://td/a ', 'identifier.bad_path_char'],
  // [identifiers.spiffe-id.13]
  ['2049 bytes', `spiffe://td/${'a'.repeat(2037)}`, 'identifier.too_long'],
  // [identifiers.spiffe-id.14]
  ['a trust domain of 256 bytes', `spiffe://${'a'.repeat(256)}/a`, 'identifier.too_long'],
]

describe('parseSpiffeId', () => {
  for (const [id, trustDomain, path] of ACCEPTED) {
    test(`accepts ${id.slice(0, 60)} and prints it back`, () => {
      const parsed = parseSpiffeId(id)
      assert.equal(parsed, id)
      assert.equal(trustDomainOf(parsed), trustDomain)
      assert.equal(pathOf(parsed), path)
      assert.equal(isSpiffeId(id), true)
    })
  }

  for (const [why, id, code] of REFUSED) {
    test(`refuses ${why}`, () => {
      assert.throws(() => parseSpiffeId(id), { name: 'AimsError', code })
      assert.equal(isSpiffeId(id), false)
    })
  }

  test('accepts 2048 bytes [identifiers.spiffe-id.12]', () => {
    const longest = `spiffe://td/${'a'.repeat(2036)}`
    assert.equal(longest.length, 2048)
    assert.equal(parseSpiffeId(longest), longest)
  })

  test('either prints any string back byte for byte or refuses it with a code of this layer [identifiers.spiffe-id.16]', () => {
    fc.assert(
      fc.property(nearlyAnId(), (text) =>
        assert.equal(
          parseOrCode(() => parseSpiffeId(text), text),
          'as it was',
        ),
      ),
      { numRuns: 2000 },
    )
  })

  test('never repeats the input in its message', () => {
    assert.throws(
      () => parseSpiffeId('spiffe://td/secret secret'),
      (error) => AimsError.is(error) && !error.message.includes('secret'),
    )
  })
})

describe('parseWorkloadSpiffeId', () => {
  test('refuses the trust domain alone, which names no workload [identifiers.spiffe-id.15]', () => {
    assert.equal(parseWorkloadSpiffeId('spiffe://td/a'), 'spiffe://td/a')
    assert.throws(() => parseWorkloadSpiffeId('spiffe://td'), { code: 'identifier.missing_path' })
    assert.throws(() => parseWorkloadSpiffeId('spiffe://td/'), { code: 'identifier.trailing_slash' })
  })
})

describe('parseTrustDomain', () => {
  test('accepts the name and the SPIFFE ID of a trust domain [identifiers.spiffe-id.18]', () => {
    assert.equal(parseTrustDomain('example.com'), 'example.com')
    assert.equal(parseTrustDomain('spiffe://example.com'), 'example.com')
    assert.equal(trustDomainId(parseTrustDomain('example.com')), 'spiffe://example.com')
  })

  const refused: readonly (readonly [text: string, code: string])[] = [
    ['', 'identifier.empty'],
    ['Example.com', 'identifier.bad_trust_domain_char'],
    ['example.com:443', 'identifier.bad_trust_domain_char'],
    ['user@example.com', 'identifier.bad_trust_domain_char'],
    ['example.com/agent', 'identifier.bad_trust_domain_char'],
    ['example.com\n', 'identifier.bad_trust_domain_char'],
    ['spiffe:/example.com', 'identifier.bad_trust_domain_char'],
    ['*.example.com', 'identifier.bad_trust_domain_char'],
    ['spiffe://example.com/agent', 'identifier.bad_trust_domain'],
    ['spiffe://example.com/', 'identifier.trailing_slash'],
    ['spiffe://', 'identifier.missing_trust_domain'],
    ['://example.com', 'identifier.wrong_scheme'],
    ['wimse://example.com', 'identifier.wrong_scheme'],
    ['https://example.com', 'identifier.wrong_scheme'],
    ['a'.repeat(256), 'identifier.too_long'],
  ]
  for (const [text, code] of refused) {
    test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      assert.throws(() => parseTrustDomain(text), { name: 'AimsError', code })
    })
  }

  test('agrees with parseSpiffeId on which names are trust domains', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aZ0._-:/@%é') }), (name) => {
        assert.equal(isTrustDomain(name), isSpiffeId(`spiffe://${name}`) && !name.includes('/'))
      }),
    )
  })
})

describe('joinSpiffeId', () => {
  const td = parseTrustDomain('example.com')

  test('joins whole segments', () => {
    assert.equal(joinSpiffeId(td, 'agent', 'calendar-bot'), 'spiffe://example.com/agent/calendar-bot')
    assert.equal(joinSpiffeId(td), 'spiffe://example.com')
  })

  const refused: readonly (readonly [segment: string, code: string])[] = [
    ['', 'identifier.empty_segment'],
    ['a/b', 'identifier.bad_path_char'],
    ['/', 'identifier.bad_path_char'],
    ['..', 'identifier.dot_segment'],
    ['.', 'identifier.dot_segment'],
    ['%2e', 'identifier.bad_path_char'],
    ['a b', 'identifier.bad_path_char'],
    // [identifiers.spiffe-id.13]
    ['a'.repeat(2048), 'identifier.too_long'],
  ]
  for (const [segment, code] of refused) {
    test(`refuses the segment ${JSON.stringify(segment.slice(0, 20))}`, () => {
      assert.throws(() => joinSpiffeId(td, 'agent', segment), { name: 'AimsError', code })
    })
  }

  test('makes only what the parser accepts, or refuses [identifiers.spiffe-id.20]', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom(...'aB9._-/%@ é') }), { maxLength: 4 }), (segments) => {
        let id: SpiffeId
        try {
          id = joinSpiffeId(td, ...segments)
        } catch (error) {
          assert.match(codeOf(error), /^identifier\./)
          return
        }
        assert.equal(parseSpiffeId(id), id)
        assert.equal(pathOf(id), segments.map((segment) => `/${segment}`).join(''))
      }),
    )
  })
})

function nearlyAnId(): fc.Arbitrary<string> {
  const near = fc.string({ unit: fc.constantFrom(...'aZ0._-/:@%?#\n é'), maxLength: 24 })
  return fc.oneof(
    fc.string({ unit: 'binary' }),
    near,
    near.map((rest) => `spiffe://${rest}`),
    near.map((rest) => `spiffe://td/${rest}`),
  )
}

function parseOrCode(parse: () => string, text: string): string {
  try {
    return parse() === text ? 'as it was' : 'changed'
  } catch (error) {
    return codeOf(error).startsWith('identifier.') ? 'as it was' : codeOf(error)
  }
}

function codeOf(error: unknown): string {
  return AimsError.is(error) ? error.code : String(error)
}

function isTrustDomain(name: string): boolean {
  try {
    return parseTrustDomain(name) === name
  } catch (error) {
    assert.match(codeOf(error), /^identifier\./)
    return false
  }
}
