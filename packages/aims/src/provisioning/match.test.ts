import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { parseEntry } from './entry.ts'
import { isMatch, matchEntries } from './match.ts'

const trustDomain = parseTrustDomain('example.com')
const entry = (id: string, ...selectors: string[]) =>
  parseEntry({ id, spiffeId: `spiffe://example.com/${id}`, selectors }, { trustDomain })
const user = entry('user', 'unix:uid:1000')
const bot = entry('bot', 'unix:uid:1000', 'unix:path:/usr/bin/bot')
const ids = (selectors: readonly string[]) => matchEntries([user, bot], selectors).map(({ id }) => id)

test('a workload gets every entry of which it shows all selectors', () => {
  assert.deepEqual(ids(['unix:gid:5', 'unix:path:/usr/bin/bot', 'unix:uid:1000']), ['user', 'bot'])
  assert.deepEqual(ids(['unix:uid:1000']), ['user'])
})

for (const [what, selectors] of [
  ['nothing', []],
  ['one of two selectors', ['unix:path:/usr/bin/bot']],
  ['a longer value with the same beginning', ['unix:uid:10000', 'unix:path:/usr/bin/bot']],
  ['the value under another key', ['unix:gid:1000']],
  ['the value in another case', ['UNIX:UID:1000']],
] as const) {
  test(`a workload that shows ${what} matches no entry`, () => {
    assert.deepEqual(ids(selectors), [])
  })
}

test('an entry without selectors, which no parser makes, matches nobody', () => {
  assert.equal(isMatch({ ...user, selectors: [] }, new Set(['unix:uid:1000'])), false)
})

test('showing more never loses an entry, and a match shows every selector of the entry', () => {
  const selector = fc.integer({ min: 0, max: 6 }).map((n) => `unix:gid:${n}`)
  fc.assert(
    fc.property(
      fc.uniqueArray(selector, { minLength: 1 }),
      fc.uniqueArray(selector),
      selector,
      (wanted, shown, more) => {
        const one = entry('x', ...wanted)
        const matches = isMatch(one, new Set(shown))
        assert.equal(
          matches,
          wanted.every((selector) => shown.includes(selector)),
        )
        assert.ok(!matches || isMatch(one, new Set([...shown, more])))
      },
    ),
  )
})
