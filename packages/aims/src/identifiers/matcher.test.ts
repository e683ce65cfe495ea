import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { anyOf, type IdMatcher, isBelow, isExactly, isMemberOf, isOneOf, requireMatch } from './matcher.ts'
import { joinSpiffeId, parseSpiffeId } from './spiffe-id.ts'
import { parseTrustDomain } from './trust-domain.ts'
import { parseWimseId } from './wimse-id.ts'

const td = parseTrustDomain('td')
const pay = parseSpiffeId('spiffe://td/pay')
const payEu = parseSpiffeId('spiffe://td/pay/eu')
const other = parseSpiffeId('spiffe://other/pay')
const wimsePay = parseWimseId('wimse://td/pay')
const root = parseSpiffeId('spiffe://td')

describe('matchers', () => {
  const rows: readonly (readonly [name: string, matcher: IdMatcher, yes: readonly string[], no: readonly string[]])[] =
    [
      // [identifiers.wimse-id.09] [identifiers.spiffe-id.11] [identifiers.spiffe-id.19]
      ['isExactly', isExactly(pay), [pay], [payEu, other, wimsePay, root, 'spiffe://td/Pay', 'spiffe://td/payroll']],
      ['isOneOf', isOneOf([pay, other]), [pay, other], [payEu, wimsePay, root]],
      ['isOneOf nothing', isOneOf([]), [], [pay, root]],
      // [identifiers.wimse-id.10]
      ['isMemberOf', isMemberOf(td), [pay, payEu], [other, wimsePay, root, 'spiffe://td.evil/pay', 'spiffe://tdx/pay']],
      ['isMemberOf in wimse', isMemberOf(td, { scheme: 'wimse' }), [wimsePay], [pay, 'wimse://td', 'wimse://td2/pay']],
      [
        'isBelow',
        isBelow(pay),
        [payEu, 'spiffe://td/pay/eu/1'],
        [pay, 'spiffe://td/payroll-attacker', 'spiffe://other/pay/eu', 'wimse://td/pay/eu', root],
      ],
      [
        'isBelow a whole trust domain',
        isBelow(root, { allowEntireTrustDomain: true }),
        [pay, payEu],
        [root, other, wimsePay, 'spiffe://td2/pay'],
      ],
      ['anyOf', anyOf(isExactly(pay), isBelow(pay)), [pay, payEu], [other, 'spiffe://td/payroll']],
      ['anyOf nothing', anyOf(), [], [pay, root]],
    ]
  for (const [name, matcher, yes, no] of rows) {
    for (const id of yes) {
      test(`${name} matches ${id}`, () => {
        assert.equal(matcher(parseWimseId(id, { allowOrigin: true })), true)
      })
    }
    for (const id of no) {
      test(`${name} does not match ${id}`, () => {
        assert.equal(matcher(parseWimseId(id, { allowOrigin: true })), false)
      })
    }
  }

  test('a whole trust domain as prefix must be asked for [identifiers.wimse-id.14]', () => {
    assert.throws(() => isBelow(root), TypeError)
    assert.throws(() => isBelow(parseWimseId('wimse://td', { allowOrigin: true })), TypeError)
    // @ts-expect-error the flag is true or absent
    assert.throws(() => isBelow(root, { allowEntireTrustDomain: 'yes' }), TypeError)
  })

  test('below means the same trust domain and the same leading segments [identifiers.wimse-id.13]', () => {
    const segments = fc.array(fc.constantFrom('a', 'b', 'ab', 'a-b'), { minLength: 1, maxLength: 4 })
    const domain = fc.constantFrom('a', 'ab').map(parseTrustDomain)
    fc.assert(
      fc.property(domain, segments, domain, segments, (prefixDomain, prefix, idDomain, path) => {
        const expected =
          prefixDomain === idDomain &&
          path.length > prefix.length &&
          prefix.every((segment, at) => path[at] === segment)
        const matcher = isBelow(joinSpiffeId(prefixDomain, ...prefix))
        assert.equal(matcher(joinSpiffeId(idDomain, ...path)), expected)
      }),
    )
  })
})

describe('requireMatch', () => {
  test('lets a matching identifier pass and refuses every other', () => {
    requireMatch(pay, isExactly(pay))
    assert.throws(() => requireMatch(payEu, isExactly(pay)), { name: 'AimsError', code: 'identifier.unexpected' })
    assert.throws(() => requireMatch(pay, anyOf()), { code: 'identifier.unexpected' })
  })

  test('does not take a promise for a yes', () => {
    // @ts-expect-error a matcher answers at once
    assert.throws(() => requireMatch(pay, async () => true), { code: 'identifier.unexpected' })
  })
})
