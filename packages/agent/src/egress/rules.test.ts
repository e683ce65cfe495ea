import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError, type JsonObject } from 'aims/base'
import fc from 'fast-check'
import { parsePathPattern } from './path-pattern.ts'
import { parseBrokerRules } from './rules.ts'

const good: JsonObject = {
  to: 'https://api.example.com',
  methods: ['GET', 'POST'],
  paths: ['/v1/events', '/v1/events/*'],
  agents: ['spiffe://example.com/agent/bot', 'spiffe://example.com/team/*'],
  selectors: ['unix:uid:1000'],
  credential: { kind: 'secret', secret: 'weather-key', header: 'X-API-Key', prefix: 'Bearer ' },
  rate: '100/60s',
  networks: ['10.0.0.0/8'],
  ownCredentials: 'refuse',
  maxRequest: 1000,
  maxResponse: 1000,
  timeout: 5,
}

test('a rule is read with everything it may have', () => {
  const [rule] = parseBrokerRules({ weather: good })
  assert.ok(rule)
  assert.deepEqual([rule.name, rule.host, rule.port], ['weather', 'api.example.com', 443])
  assert.deepEqual(rule.credential, {
    kind: 'secret',
    secret: 'weather-key',
    place: { in: 'header', name: 'x-api-key', prefix: 'Bearer ' },
  })
  assert.deepEqual(rule.rate, { requests: 100, seconds: 60 })
})

const { selectors, rate, networks, ownCredentials, maxRequest, maxResponse, timeout, ...needed } = good

test('what is not said is the safe choice', () => {
  const [rule] = parseBrokerRules({ weather: needed })
  assert.equal(rule?.ownCredentials, 'remove')
  assert.equal(rule?.networks.has('10.0.0.1'), false)
  assert.equal(rule?.authorities, undefined)
  assert.equal(rule?.rate, undefined)
})

const without = (member: string): JsonObject =>
  Object.fromEntries(Object.entries(good).filter(([name]) => name !== member))
const credential = (change: JsonObject): JsonObject => ({ ...good, credential: change })

// One row per way to break a rule; each breaks one thing.
const BROKEN: readonly (readonly [what: string, rules: JsonObject])[] = [
  ['a name in capitals', { Weather: good }],
  ['a name with a slash', { 'a/b': good }],
  ['the name https', { https: good }],
  ['a rule that is a text', { weather: 'https://api.example.com' }],
  ['a member that nobody knows', { weather: { ...good, method: ['GET'] } }],
  ...['to', 'methods', 'paths', 'agents', 'credential'].map((name): readonly [string, JsonObject] => [
    `no ${name}`,
    { weather: without(name) },
  ]),
  ['a destination over http', { weather: { ...good, to: 'http://api.example.com' } }],
  ['a destination with a path', { weather: { ...good, to: 'https://api.example.com/v1' } }],
  ['a destination with a wildcard', { weather: { ...good, to: 'https://*.example.com' } }],
  ['a destination with a user', { weather: { ...good, to: 'https://a@api.example.com' } }],
  ['a method in lower case', { weather: { ...good, methods: ['get'] } }],
  ['the method TRACE', { weather: { ...good, methods: ['TRACE'] } }],
  ['the method CONNECT', { weather: { ...good, methods: ['CONNECT'] } }],
  ['methods that are no list', { weather: { ...good, methods: 'GET' } }],
  ['a path without a slash', { weather: { ...good, paths: ['v1'] } }],
  ['a path with dots', { weather: { ...good, paths: ['/v1/../x'] } }],
  ['a path with a half star', { weather: { ...good, paths: ['/v1/ev*'] } }],
  ['two stars in the middle', { weather: { ...good, paths: ['/**/x'] } }],
  ['nobody', { weather: { ...good, agents: [] } }],
  ['a trust domain in place of an agent', { weather: { ...good, agents: ['spiffe://example.com'] } }],
  ['everybody', { weather: { ...good, agents: ['spiffe://example.com/*'] } }],
  ['a selector without a type', { weather: { ...good, selectors: ['1000'] } }],
  ['a rate without a unit', { weather: { ...good, rate: '100/60' } }],
  ['a rate of none', { weather: { ...good, rate: '0/60s' } }],
  ['a network that is none', { weather: { ...good, networks: ['10.0.0.0'] } }],
  ['authorities that are not there', { weather: { ...good, authorities: '/no/such/file' } }],
  ['another word for own credentials', { weather: { ...good, ownCredentials: 'keep' } }],
  ['a size of none', { weather: { ...good, maxRequest: 0 } }],
  ['a time of a day', { weather: { ...good, timeout: 86_400 } }],
  ['a kind that nobody knows', { weather: credential({ kind: 'password' }) }],
  ['a WIT without an audience', { weather: credential({ kind: 'wit' }) }],
  ['a certificate without a peer', { weather: credential({ kind: 'mtls' }) }],
  ['a peer that is a host', { weather: credential({ kind: 'mtls', peer: 'api.example.com' }) }],
  ['a member of another kind', { weather: credential({ kind: 'wit', audience: 'https://a.example', secret: 'x' }) }],
  ['a secret in no place', { weather: credential({ kind: 'secret', secret: 'x' }) }],
  ['a secret in two places', { weather: credential({ kind: 'secret', secret: 'x', header: 'a', query: 'b' }) }],
  ['a secret with a name like a path', { weather: credential({ kind: 'secret', secret: '../x', header: 'a' }) }],
  ['a header that is none', { weather: credential({ kind: 'secret', secret: 'x', header: 'a b' }) }],
  [
    'a prefix with a line end',
    { weather: credential({ kind: 'secret', secret: 'x', header: 'a', prefix: 'a\r\nb: c' }) },
  ],
  ['a prefix in a query', { weather: credential({ kind: 'secret', secret: 'x', query: 'a', prefix: 'b' }) }],
  ['a user with a colon', { weather: credential({ kind: 'secret', secret: 'x', basic: 'a:b' }) }],
]

for (const [what, rules] of BROKEN) {
  test(`a rule with ${what} is refused [provisioning.egress.10]`, () => {
    assert.throws(() => parseBrokerRules(rules), { code: 'operation.config_invalid' })
  })
}

test('whatever stands where a rule belongs, it is read or refused', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string(),
        fc.oneof(fc.jsonValue(), fc.record({ to: fc.string(), paths: fc.array(fc.string()) })),
      ),
      (rules) => {
        try {
          parseBrokerRules(rules as JsonObject)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'operation.config_invalid', String(error))
        }
      },
    ),
  )
})

// Pattern, paths that it names, paths that it does not.
for (const [pattern, named, others] of [
  ['/v1', ['/v1'], ['/v1/', '/v1/x', '/v', '/']],
  ['/v1/', ['/v1/'], ['/v1', '/v1/x']],
  ['/v1/*', ['/v1/x'], ['/v1', '/v1/', '/v1/x/y', '/v1/x/']],
  ['/*/x', ['/a/x'], ['//x', '/a/b/x', '/x']],
  ['/v1/**', ['/v1/', '/v1/x', '/v1/x/y/'], ['/v1', '/v2/x']],
  ['/**', ['/', '/x', '/x/y'], []],
] as const) {
  test(`the pattern ${pattern} names whole segments`, () => {
    const matches = parsePathPattern(pattern)
    assert.ok(matches)
    for (const path of named) assert.ok(matches(path), path)
    for (const path of others) assert.ok(!matches(path), path)
  })
}
