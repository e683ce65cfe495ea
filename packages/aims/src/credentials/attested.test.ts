import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signJws } from '../base/jose.ts'
import { exportPublicJwk, verificationKey, WorkloadKey } from '../base/keys.ts'
import { parseSpiffeId } from '../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { ATTESTATION_CLAIM, type AttestedFacts } from './attested.ts'
import { bundleSource, emptyBundle } from './bundle/source.ts'
import { issueWit } from './wit/issue.ts'
import { verifyWit } from './wit/verify.ts'

const now = 1_800_000_000
const signer = WorkloadKey.generate()
const holder = WorkloadKey.generate()
const subject = parseSpiffeId('spiffe://example.com/agent/bot')
const bundles = bundleSource({
  ...emptyBundle(parseTrustDomain('example.com')),
  witAuthorities: new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]]),
})
const expected = { bundles, profile: 'wimse', now } as const
const facts: AttestedFacts = {
  assurance: 'high',
  types: ['tpm', 'aws-iid'],
  manifest: { hash: 'aa', model: 'vendor/model-4', tools: ['create_event'], mcpServers: ['calendar'] },
}

test('what attestation found out travels in the WIT', async () => {
  const { token } = await issueWit({ subject, publicKey: holder.publicKey, now, ttl: 60, attested: facts }, signer)
  const { attested } = verifyWit(token, expected)
  assert.deepEqual(attested, facts)
  assert.ok(Object.isFrozen(attested) && Object.isFrozen(attested?.types) && Object.isFrozen(attested?.manifest))
})

test('a WIT need not say', async () => {
  const { token } = await issueWit({ subject, publicKey: holder.publicKey, now, ttl: 60 }, signer)
  assert.equal(verifyWit(token, expected).attested, undefined)
})

for (const [what, claim] of [
  ['no object', 'high'],
  ['a level that does not exist', { assurance: 'highest', types: [] }],
  ['a level that is a number', { assurance: 3, types: [] }],
  ['no types', { assurance: 'high' }],
  ['types that are no texts', { assurance: 'high', types: [1] }],
  ['a manifest without digest', { ...facts, manifest: { tools: [], mcpServers: [] } }],
  ['a manifest without tools', { ...facts, manifest: { hash: 'aa', mcpServers: [] } }],
  ['a manifest whose model is a number', { ...facts, manifest: { hash: 'aa', model: 4, tools: [], mcpServers: [] } }],
  ['a manifest that is a list', { ...facts, manifest: [] }],
  ['null', null],
] as const) {
  test(`a WIT that says ${what} about attestation is refused`, async () => {
    const jwk = exportPublicJwk(holder.publicKey, { alg: 'ES256' })
    const claims = { sub: subject, exp: now + 60, cnf: { jwk }, [ATTESTATION_CLAIM]: claim }
    const token = await signJws({ kid: signer.kid, typ: 'wit+jwt' }, claims, signer)
    assert.throws(() => verifyWit(token, expected), { code: 'credential.invalid_claim' })
  })
}
