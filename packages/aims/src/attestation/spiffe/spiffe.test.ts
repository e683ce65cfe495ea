import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { testCa } from '../../../../../test/support/x509-identities.ts'
import { exportPublicJwk, WorkloadKey } from '../../base/keys.ts'
import { bundleSource } from '../../credentials/bundle/source.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import type { Challenge, ExpectedBinding } from '../binding.ts'
import { spiffeCollector } from '../collect/spiffe.ts'
import { attestEvidence, authenticateEvidence } from '../evidence.ts'
import { signPop } from '../x509-pop/evidence.ts'
import { spiffeVerifier } from './spiffe.ts'

const now = Math.floor(Date.now() / 1000)
const spire = await testCa('spire.example', { intermediate: true })
const partner = await testCa('partner.example')
const impostor = await testCa('spire.example')
const agent = await spire.svid('/aims/agent/web-1')
const publicKey = Buffer.from(JSON.stringify(exportPublicJwk(WorkloadKey.generate().publicKey)))
const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey }
const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }
const trustDomains = [parseTrustDomain('spire.example')]
const verifier = spiffeVerifier({ trustDomains, bundles: bundleSource(spire.bundle, partner.bundle) })
const show = ({ certificates, key }: X509Svid, asked = challenge): Buffer =>
  signPop(certificates, key.tlsKey, asked, 'spiffe')

describe('an X.509-SVID of another trust domain', () => {
  test('shows its SPIFFE ID and its trust domain', async () => {
    const asked = { challenge, trustDomain: 'example.com', audience: '', now }
    const evidence = await spiffeCollector(() => agent).collect(asked)
    assert.ok(evidence)
    const policy = verifier.readPolicy({ ids: [agent.spiffeId] })
    const result = await attestEvidence(verifier, evidence, { now, expected }, policy)
    assert.deepEqual(result.selectors, [`spiffe:id:${agent.spiffeId}`, 'spiffe:trust-domain:spire.example'])
    assert.deepEqual([result.binding, result.freshness, result.evidenceNotAfter], ['full', 'nonce', agent.expiresAt])
    assert.equal(await spiffeCollector(() => undefined).collect(asked), undefined)
  })

  test('is the same machine after its rotation', async () => {
    const next = await spire.svid('/aims/agent/web-1')
    const [before, after] = await Promise.all(
      [agent, next].map((svid) => authenticateEvidence(verifier, show(svid), { now, expected })),
    )
    assert.equal(before?.attested, after?.attested)
  })
})

describe('refused is', async () => {
  const long = await spire.svid(`/${'x'.repeat(500)}`)
  const twin = { ...agent, key: WorkloadKey.generate() }
  for (const [what, code, evidence, change] of [
    ['a trust domain that is not configured', 'attestation.not_allowed', show(await partner.svid('/agent')), {}],
    ['one without a bundle', 'attestation.chain_invalid', show(await (await testCa('x.example')).svid('/a')), {}],
    ['another authority of the same name', 'attestation.chain_invalid', show(await impostor.svid('/a')), {}],
    ['an SVID that has ended', 'attestation.chain_invalid', show(agent), { now: agent.expiresAt + 1 }],
    ['a SPIFFE ID that is too long for a record', 'attestation.not_allowed', show(long), {}],
    ['a key that is not that of the SVID', 'attestation.binding_mismatch', show(twin), {}],
    [
      'a challenge that somebody else got',
      'attestation.binding_mismatch',
      show(agent, { ...challenge, nonce: Buffer.alloc(32, 8) }),
      {},
    ],
    [
      'a signature for another type of evidence',
      'attestation.binding_mismatch',
      signPop(agent.certificates, agent.key.tlsKey, challenge),
      {},
    ],
    [
      'a chain for an audience',
      'attestation.binding_missing',
      show(agent),
      { expected: { kind: 'audience', audience: 'a' } },
    ],
    ['what is not JSON', 'attestation.malformed', Buffer.from('x'), {}],
    ['no certificate', 'attestation.malformed', Buffer.from('{"chain":[],"signature":"AA=="}'), {}],
  ] as const) {
    test(what, async () => {
      const context = { now, expected, ...change } as Parameters<typeof authenticateEvidence>[2]
      await assert.rejects(authenticateEvidence(verifier, evidence, context), { code })
    })
  }

  test('an identity that the policy does not name, and a policy that nobody can read', async () => {
    const policy = verifier.readPolicy({ ids: ['spiffe://spire.example/other'] })
    const attested = attestEvidence(verifier, show(agent), { now, expected }, policy)
    await assert.rejects(attested, { code: 'attestation.not_allowed' })
    assert.throws(() => verifier.readPolicy({ id: ['x'] }), { code: 'attestation.policy_malformed' })
  })

  test('any evidence with a byte changed', async () => {
    const evidence = show(agent)
    await fc.assert(
      fc.asyncProperty(fc.nat(evidence.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const bad = Buffer.from(evidence)
        bad[at] = (bad[at] as number) ^ flip
        await assert.rejects(
          authenticateEvidence(verifier, bad, { now, expected }),
          ({ code }: { code?: string }) => code?.startsWith('attestation.') === true,
        )
      }),
      { numRuns: 100 },
    )
  })
})
