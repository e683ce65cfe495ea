import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { credentialParameters, isCredentialName, requireNoCredentials } from './credential-arguments.ts'

const call = (args: object): object => ({ method: 'tools/call', params: { name: 'tool', arguments: args } })
const refused = { code: 'mcp.credential_argument' }
const JWT = `eyJ${'a'.repeat(20)}.${'b'.repeat(20)}.${'c'.repeat(20)}`

test('arguments that are no credentials are sent [authentication.mcp.09]', () => {
  for (const args of [
    {},
    { to: 'alice', amount: 5, nested: { list: [1, 'two', null] } },
    { max_tokens: 100, tokens: ['a', 'b'], tokenizer: 'bpe', author: 'alice', pageToken: 'abc', next_token: 'abc' },
    // What is empty hands out nothing.
    { token: '', password: null },
  ]) {
    requireNoCredentials(call(args))
  }
})

const HANDED_OUT: readonly (readonly [string, object])[] = [
  ['token', call({ token: 'x' })],
  ['authorization', call({ Authorization: 'x' })],
  ['a snake', call({ access_token: 'x' })],
  ['a camel', call({ refreshToken: 'x' })],
  ['a kebab', call({ 'x-api-key': 'x' })],
  ['a secret', call({ clientSecret: 'x' })],
  ['a password', call({ passwd: 'x' })],
  ['wide letters', call({ ｔｏｋｅｎ: 'x' })],
  ['a number', call({ token: 5 })],
  ['a deep one', call({ options: { headers: [{ cookie: 'x' }] } })],
  ['a JWT under another name', call({ note: `see ${JWT}` })],
  ['a key under another name', call({ note: '-----BEGIN PRIVATE KEY-----' })],
  ['a JWT in a list', call({ notes: [JWT] })],
  ['arguments that cannot be looked through', call(JSON.parse(`${'{"a":'.repeat(70)}1${'}'.repeat(70)}`))],
  ['arguments of a prompt', { method: 'prompts/get', params: { name: 'p', arguments: { token: 'x' } } }],
  ['an answer to elicitation', { id: 1, result: { action: 'accept', content: { password: 'x' } } }],
  [
    'an answer in the next request',
    { method: 'tools/call', params: { inputResponses: { a: { content: { token: 'x' } } } } },
  ],
]

for (const [name, message] of HANDED_OUT) {
  test(`a credential is not handed out: ${name} [authentication.mcp.09]`, () => {
    assert.throws(() => requireNoCredentials(message), refused)
  })
}

test('a parameter that is named is filled all the same, and no other', () => {
  requireNoCredentials(call({ unlock_token: JWT }), ['unlock_token'])
  assert.throws(() => requireNoCredentials(call({ unlock_token: 'x', token: 'x' }), ['unlock_token']), refused)
})

test('the refusal says nothing of the argument', () => {
  assert.throws(
    () => requireNoCredentials(call({ note: JWT })),
    (error: Error) => !error.message.includes('eyJ') && !error.message.includes('note'),
  )
})

test('parameters that ask for a credential are found in a schema at any depth [authentication.mcp.09]', () => {
  const schema = {
    type: 'object',
    properties: {
      city: { type: 'string' },
      auth: { type: 'string' },
      options: { anyOf: [{ type: 'object', properties: { api_key: { type: 'string' } } }] },
    },
    $defs: { login: { properties: { password: {}, user: {} } } },
  }
  assert.deepEqual(credentialParameters(schema), ['auth', 'api_key', 'password'])
  assert.deepEqual(credentialParameters({ properties: { city: {}, token_count: {} } }), [])
  assert.deepEqual(credentialParameters('token'), [])
})

test('no spelling of a name gets past: separators and case do not matter', () => {
  const separator = fc.constantFrom('', '_', '-', '.', ' ')
  const word = fc.constantFrom(
    ['access', 'token'],
    ['api', 'key'],
    ['private', 'key'],
    ['client', 'secret'],
    ['auth', 'token'],
  )
  fc.assert(
    fc.property(word, separator, fc.boolean(), fc.stringMatching(/^[a-z]{0,8}$/), (words, between, isUpper, prefix) => {
      const name = [prefix, ...words].join(between)
      const spelled = isUpper ? name.toUpperCase() : name
      assert.equal(isCredentialName(spelled), true, spelled)
      assert.throws(() => requireNoCredentials(call({ [spelled]: 'x' })), refused)
    }),
  )
})
