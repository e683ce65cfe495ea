import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { joinTokenCollector } from '../collect/join-token.ts'
import { attestEvidence, type EvidenceUse } from '../evidence.ts'
import { createJoinToken, type JoinTokenClaims, joinTokenHash, joinTokenVerifier } from './join-token.ts'

const NOW = 1_700_000_000
const expected = {
  kind: 'challenge',
  challenge: { nonce: Buffer.alloc(32, 1), publicKey: Buffer.from('key') },
  trustDomain: 'example.com',
} as const

function storeWith(...tokens: readonly (readonly [string, JoinTokenClaims])[]) {
  const kept = new Map(tokens.map(([token, claims]) => [joinTokenHash(token), claims]))
  const asked: string[] = []
  const consume = (hash: string, use: EvidenceUse) => {
    asked.push(hash)
    const claims = kept.get(hash)
    if (claims !== undefined && claims.use !== use) return 'other-use'
    kept.delete(hash)
    return claims
  }
  return { verifier: joinTokenVerifier({ consume }), kept, asked }
}
const token = createJoinToken()
const claims = { name: 'edge', use: 'workload', expiresAt: NOW + 60 } as const
const attest = (
  { verifier }: ReturnType<typeof storeWith>,
  evidence: string,
  {
    now = NOW,
    policy = {},
    use = undefined as EvidenceUse | undefined,
    binding = expected as Parameters<typeof attestEvidence>[2]['expected'],
  } = {},
) =>
  attestEvidence(
    verifier,
    Buffer.from(evidence),
    { now, expected: binding, ...(use === undefined ? {} : { use }) },
    verifier.readPolicy(policy),
  )

test('a join token says its name, binds to nothing, and is used up', async () => {
  const store = storeWith([token, claims])
  const result = await attest(store, token)
  assert.deepEqual(result.selectors, ['join-token:name:edge'])
  assert.deepEqual([result.binding, result.freshness], ['none', 'window'])
  await assert.rejects(attest(store, token), { code: 'attestation.token_unknown' })
})

test('a store is asked by the hash alone', async () => {
  const store = storeWith([token, claims])
  await attest(store, token)
  assert.deepEqual(store.asked, [joinTokenHash(token)])
  assert.ok(!store.asked.join().includes(token.slice(10)))
})

for (const [what, code, evidence, options] of [
  ['an unknown token', 'attestation.token_unknown', createJoinToken(), {}],
  ['a token at the moment of its end', 'attestation.token_unknown', token, { now: NOW + 60 }],
  ['a token in other case', 'attestation.malformed', token.toUpperCase(), {}],
  ['a token with a line end', 'attestation.malformed', `${token}\n`, {}],
  ['a token without its prefix', 'attestation.malformed', token.slice(10), {}],
  ['a shorter token', 'attestation.malformed', token.slice(0, -1), {}],
  ['nothing', 'attestation.malformed', '', {}],
  ['too much', 'attestation.too_large', token.repeat(6), {}],
  ['another name than the policy allows', 'attestation.not_allowed', token, { policy: { names: ['core'] } }],
  ['a binding to data', 'attestation.binding_mismatch', token, { binding: { kind: 'data', data: Buffer.alloc(1) } }],
  ['a binding to an audience', 'attestation.binding_mismatch', token, { binding: { kind: 'audience', audience: 'a' } }],
] as const) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(attest(storeWith([token, claims]), evidence, options), { code })
  })
}

test('a token is for the use it was made for alone, and stays for it', async () => {
  const rows = [
    ['workload', 'agent', /--for agent$/],
    ['agent', 'workload', /--for workload$/],
    ['agent', undefined, /--for workload$/],
  ] as const
  for (const [madeFor, use, message] of rows) {
    const store = storeWith([token, { ...claims, use: madeFor }])
    await assert.rejects(attest(store, token, { use }), { code: 'attestation.token_other_use', message })
    assert.deepEqual((await attest(store, token, { use: madeFor })).selectors, ['join-token:name:edge'])
  }
})

test('what cannot be does not use the token up', async () => {
  const store = storeWith([token, claims])
  const binding = { kind: 'audience', audience: 'a' } as const
  await assert.rejects(attest(store, token, { binding }), { code: 'attestation.binding_mismatch' })
  assert.equal(store.kept.size, 1)
})

test('a policy takes names and nothing else', () => {
  const { verifier } = storeWith()
  for (const policy of [{ name: ['edge'] }, { names: [] }, { names: [1] }]) {
    assert.throws(() => verifier.readPolicy(policy), { code: 'attestation.policy_malformed' })
  }
})

test('no refusal repeats what was shown', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 12, maxLength: 60 }), async (text) => {
      await assert.rejects(attest(storeWith(), text), (error: Error) => !error.message.includes(text))
    }),
  )
})

test('tokens are collected without the line end of their file', async () => {
  const challenge = { challenge: expected.challenge, trustDomain: 'example.com', audience: '', now: NOW }
  const collect = (read: () => string | undefined) => joinTokenCollector(read).collect(challenge)
  assert.equal(String(await collect(() => `${token}\n`)), token)
  assert.equal(await collect(() => undefined), undefined)
  await assert.rejects(
    collect(() => ' \n'),
    { code: 'attestation.collection_failed' },
  )
})
