import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { type JsonValue, parseJson } from '../base/json.ts'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { entryToJson, parseEntry } from './entry.ts'

const trustDomain = parseTrustDomain('example.com')
const rules = { trustDomain, id: 'generated' }
const good = { spiffeId: 'spiffe://example.com/agent/calendar-bot', selectors: ['unix:uid:1000'] }

test('an entry with a SPIFFE ID and a selector gets a default for everything else', () => {
  assert.deepEqual(parseEntry(good, rules), {
    id: 'generated',
    spiffeId: 'spiffe://example.com/agent/calendar-bot',
    selectors: ['unix:uid:1000'],
    credentialTypes: ['x509-svid', 'jwt-svid', 'wit'],
    profile: 'wimse',
    audiences: [],
    x509Ttl: 3600,
    jwtTtl: 300,
    witTtl: 3600,
    dnsNames: [],
    hint: '',
    owner: '',
    purpose: '',
    shared: false,
    admin: false,
    federatesWith: [],
    revision: 1,
  })
})

test('an entry printed as JSON reads back as the same entry', () => {
  const entry = parseEntry(
    {
      ...good,
      id: 'calendar-bot',
      selectors: ['unix:uid:1000', 'unix:path:/usr/bin/node', 'unix:sha256:ab:cd'],
      credentialTypes: ['wit', 'x509-svid'],
      profile: 'aims-00',
      audiences: ['https://api.example.com'],
      dnsNames: ['bot.example.com', 'localhost'],
      x509Ttl: 60,
      hint: 'main',
      owner: 'calendar team',
      purpose: 'keeps calendars',
      shared: true,
      admin: true,
      federatesWith: ['partner.example', 'other.example'],
      revision: 7,
    },
    { trustDomain },
  )
  assert.deepEqual(parseEntry(parseJson(JSON.stringify(entryToJson(entry))), { trustDomain }), entry)
  assert.deepEqual(entry.credentialTypes, ['x509-svid', 'wit'])
})

// One row per way to be refused: what is wrong, the members that differ, and the code.
const refused: readonly (readonly [string, { readonly [member: string]: JsonValue | undefined }, string])[] = [
  ['a member nobody knows', { selector: [] }, 'provisioning.unknown_member'],
  ['no SPIFFE ID', { spiffeId: undefined }, 'provisioning.missing_member'],
  ['no selectors', { selectors: undefined }, 'provisioning.missing_member'],
  ['an empty list of selectors', { selectors: [] }, 'provisioning.no_selectors'],
  ['a selector without a value', { selectors: ['unix:uid'] }, 'provisioning.malformed_selector'],
  ['a selector with an empty value', { selectors: ['unix:uid:'] }, 'provisioning.malformed_selector'],
  ['a selector in upper case', { selectors: ['Unix:uid:1'] }, 'provisioning.malformed_selector'],
  ['a selector with a line break', { selectors: ['unix:uid:1\n'] }, 'provisioning.malformed_entry'],
  ['the same selector twice', { selectors: ['unix:uid:1', 'unix:uid:1'] }, 'provisioning.malformed_entry'],
  ['selectors that are a string', { selectors: 'unix:uid:1' }, 'provisioning.malformed_entry'],
  ['selectors that are numbers', { selectors: [1] }, 'provisioning.malformed_entry'],
  [
    'too many selectors',
    { selectors: Array.from({ length: 65 }, (_, i) => `unix:gid:${i}`) },
    'provisioning.malformed_entry',
  ],
  ['the SPIFFE ID of the trust domain', { spiffeId: 'spiffe://example.com' }, 'provisioning.invalid_subject'],
  ['the SPIFFE ID of another domain', { spiffeId: 'spiffe://other.example/agent' }, 'provisioning.invalid_subject'],
  ['a SPIFFE ID with a dot segment', { spiffeId: 'spiffe://example.com/a/../b' }, 'provisioning.invalid_subject'],
  ['a SPIFFE ID that is a number', { spiffeId: 7 }, 'provisioning.malformed_entry'],
  ['a lifetime of zero', { x509Ttl: 0 }, 'provisioning.ttl_out_of_range'],
  ['a negative lifetime', { witTtl: -1 }, 'provisioning.ttl_out_of_range'],
  ['a certificate lifetime above a day', { x509Ttl: 86_401 }, 'provisioning.ttl_out_of_range'],
  // [credentials.aims.03]
  ['a JWT-SVID lifetime above an hour', { jwtTtl: 3601 }, 'provisioning.ttl_out_of_range'],
  ['a lifetime with a fraction', { x509Ttl: 1.5 }, 'provisioning.malformed_entry'],
  ['a lifetime in words', { x509Ttl: '1h' }, 'provisioning.malformed_entry'],
  ['an unknown credential type', { credentialTypes: ['api-key'] }, 'provisioning.malformed_entry'],
  ['no credential type', { credentialTypes: [] }, 'provisioning.malformed_entry'],
  ['an unknown profile', { profile: 'aims-01' }, 'provisioning.malformed_entry'],
  ['profile aims-00 without audiences', { profile: 'aims-00' }, 'provisioning.missing_audience'],
  ['an empty audience', { audiences: [''] }, 'provisioning.malformed_entry'],
  ['a wildcard host name', { dnsNames: ['*.example.com'] }, 'provisioning.malformed_entry'],
  ['an address as host name', { dnsNames: ['127.0.0.1'] }, 'provisioning.malformed_entry'],
  // [provisioning.workload-api.12]
  ['a hint above 1024 bytes', { hint: 'é'.repeat(513) }, 'provisioning.malformed_entry'],
  ['an owner with an escape character', { owner: 'a\u001b[2Jb' }, 'provisioning.malformed_entry'],
  ['a purpose above 1024 bytes', { purpose: 'x'.repeat(1025) }, 'provisioning.malformed_entry'],
  ['shared as a number', { shared: 1 }, 'provisioning.malformed_entry'],
  ['admin as a word', { admin: 'yes' }, 'provisioning.malformed_entry'],
  ['its own trust domain among the federated ones', { federatesWith: ['example.com'] }, 'provisioning.malformed_entry'],
  ['a SPIFFE ID among them', { federatesWith: ['spiffe://partner.example'] }, 'provisioning.malformed_entry'],
  ['one in upper case', { federatesWith: ['Partner.example'] }, 'provisioning.malformed_entry'],
  ['one of them twice', { federatesWith: ['a.example', 'a.example'] }, 'provisioning.malformed_entry'],
  ['federatesWith as a text', { federatesWith: 'partner.example' }, 'provisioning.malformed_entry'],
  ['an id with a slash', { id: '../x' }, 'provisioning.malformed_entry'],
  ['a revision of zero', { revision: 0 }, 'provisioning.malformed_entry'],
]

for (const [what, change, code] of refused) {
  test(`an entry with ${what} is refused`, () => {
    const input = parseJson(JSON.stringify({ ...good, ...change }))
    assert.throws(() => parseEntry(input, rules), { name: 'AimsError', code })
  })
}

test('an entry without an id is refused where none is generated', () => {
  assert.throws(() => parseEntry(good, { trustDomain }), { code: 'provisioning.missing_member' })
  assert.throws(() => parseEntry([good], rules), { code: 'provisioning.malformed_entry' })
  assert.throws(() => parseEntry(null, rules), { code: 'provisioning.malformed_entry' })
})

test('a server with lower caps refuses what the defaults would allow', () => {
  const ttls = { x509: { default: 60, max: 60 }, jwt: { default: 60, max: 60 }, wit: { default: 60, max: 60 } }
  assert.equal(parseEntry(good, { ...rules, ttls }).x509Ttl, 60)
  assert.throws(() => parseEntry({ ...good, x509Ttl: 61 }, { ...rules, ttls }), {
    code: 'provisioning.ttl_out_of_range',
  })
})

test('any JSON value is an entry that prints back, or is refused with a code of this layer', () => {
  const member = fc.oneof(fc.jsonValue(), fc.constantFrom(...good.selectors, good.spiffeId, 'wit', 'aims-00'))
  const names = fc.constantFrom('id', 'spiffeId', 'selectors', 'profile', 'x509Ttl', 'dnsNames', 'hint', 'admin', 'x')
  fc.assert(
    fc.property(fc.dictionary(names, fc.oneof(member, fc.array(member))), (change) => {
      const input = JSON.stringify({ ...good, ...change })
      try {
        const entry = parseEntry(parseJson(input), rules)
        assert.deepEqual(parseEntry(entryToJson(entry), { trustDomain }), entry)
      } catch (error) {
        if (!AimsError.is(error)) throw error
        assert.match(error.code, /^(provisioning|json)\./)
      }
    }),
  )
})

for (const [what, agents] of [
  ['nobody', []],
  ['an empty group', [[]]],
  ['a group that is no list', [{}]],
  ['something that is no selector', [['x509-pop']]],
  ['something that is no SPIFFE ID', ['web-1']],
  ['a text', 'spiffe://example.com/aims/agent/x509-pop/a'],
  ['a number in a group', [[1]]],
] as const) {
  test(`agents is not ${what}`, () => {
    const input = { id: 'bot', spiffeId: 'spiffe://example.com/bot', selectors: ['unix:uid:1'], agents }
    assert.throws(() => parseEntry(JSON.parse(JSON.stringify(input)), { trustDomain }), {
      code: 'provisioning.malformed_entry',
    })
  })
}
