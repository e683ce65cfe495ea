import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentCard, canonicalizeAgentCard, verifyAgentCardSignature } from '@a2a-js/sdk'
import fc from 'fast-check'
import { agentCard } from '../../../../../test/support/agent-card.ts'
import { NOW, testDomain } from '../../../../../test/support/identities.ts'
import { encodeBase64url } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import { exportPublicJwk, jwkThumbprint, verificationKey, WorkloadKey } from '../../base/keys.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { isExactly } from '../../identifiers/matcher.ts'
import { canonicalAgentCard } from './canonical-card.ts'
import { identityExtension } from './extension.ts'
import { signAgentCard, signedAgentCard } from './sign-card.ts'
import { type CardExpectations, type CardKey, verifyAgentCard } from './verify-card.ts'

const domain = testDomain()
const other = testDomain('other.example')
const wit = await domain.wit({ path: '/agent/planner' })
const bob = await domain.wit({ path: '/agent/bob' })
const stranger = await other.wit({ path: '/agent/planner' })
const AUDIENCE = 'https://planner.example.com'
const methods = ['wit+wpt', 'mtls'] as const
const signed = signAgentCard(agentCard(), wit, { methods, audience: AUDIENCE })

const expected: CardExpectations = { bundles: domain.bundles, peer: isExactly(wit.subject), now: NOW }
const everybody: CardExpectations = { ...expected, peer: () => true }

/** A change of the members of the card, after it was signed. */
function changed(change: object, card: JsonObject = signed): string {
  return JSON.stringify({ ...card, ...change })
}

/** Signatures by hand: what the header says, by which key, and what is beside it. */
function resigned(card: JsonObject, key: WorkloadKey, header: object, unprotected?: object): string {
  const { signatures: _, ...rest } = card
  const head = encodeBase64url(Buffer.from(JSON.stringify(header)))
  const payload = encodeBase64url(Buffer.from(canonicalAgentCard(card)))
  const signature = encodeBase64url(key.sign(Buffer.from(`${head}.${payload}`)))
  return JSON.stringify({ ...rest, signatures: [{ protected: head, signature, header: unprotected }] })
}

const headerOf = ({ key }: Wit): object => ({ alg: key.alg, typ: 'JOSE', kid: jwkThumbprint(key.publicKey) })
const witOf = ({ token }: Wit): object => ({ 'workload-identity-token': token })

test('a card that its agent has signed says who it is, and how to prove oneself to it [authentication.a2a.02]', () => {
  const verified = verifyAgentCard(JSON.stringify(signed), { ...expected, servedBy: wit.subject })
  assert.equal(verified.spiffeId, wit.subject)
  assert.equal(verified.audience, AUDIENCE)
  assert.equal(verified.expiresAt, wit.expiresAt)
  const { securitySchemes, securityRequirements } = verified.card
  assert.deepEqual(JSON.parse(JSON.stringify(securityRequirements)), [
    { schemes: { wimse: { list: ['workload'] } } },
    { schemes: { mtls: { list: ['workload'] } } },
  ])
  assert.deepEqual(Object.keys(securitySchemes ?? {}), ['wimse', 'mtls'])
})

test('the official SDK signs the same bytes, and accepts the signature [authentication.a2a.03]', async () => {
  // As it comes over the wire: of its own objects the SDK signs no security schemes.
  const received = JSON.parse(JSON.stringify(signed))
  assert.equal(canonicalizeAgentCard(received), canonicalAgentCard(signed))
  const asked: string[] = []
  await verifyAgentCardSignature(async (kid) => {
    asked.push(kid)
    return { ...exportPublicJwk(wit.key.publicKey), alg: wit.key.alg }
  })(received)
  assert.deepEqual(asked, [jwkThumbprint(wit.key.publicKey)])
  // And what it writes in its own way is what was signed.
  verifyAgentCard(JSON.stringify(AgentCard.toJSON(AgentCard.fromJSON(received))), expected)
})

test('a card is signed anew when the WIT is another one, and only then', async () => {
  let current = wit
  const card = signedAgentCard(agentCard(), { wit: () => current }, { methods })
  const first = card()
  assert.equal(card(), first)
  current = await domain.wit({ path: '/agent/planner' })
  assert.notEqual(card(), first)
  verifyAgentCard(JSON.stringify(card()), expected)
})

const { signatures, capabilities, ...rest } = signed
const nine = Array.from({ length: 9 }, () => (Array.isArray(signatures) ? signatures[0] : undefined))
const extensionless = { ...(isJsonObject(capabilities) ? capabilities : {}), extensions: [] }
const twice = {
  ...(isJsonObject(capabilities) ? capabilities : {}),
  extensions: [identityExtension({ spiffeId: wit.subject }), identityExtension({ spiffeId: bob.subject })],
}
const withoutIdentity: JsonObject = { ...rest, capabilities: extensionless }
const pretending: JsonObject = {
  ...rest,
  capabilities: { extensions: [identityExtension({ spiffeId: wit.subject })] },
}
const revoked: RevocationSource = { statusOf: () => 'revoked' }

// One row per way to be refused: the card, what is expected beyond the usual, and the code.
const REFUSED: readonly (readonly [string, string, Partial<CardExpectations>, string])[] = [
  ['that is no JSON', '{', {}, 'a2a.card_malformed'],
  ['with a member twice', JSON.stringify(signed).replace('{', '{"name":"Another",'), {}, 'a2a.card_malformed'],
  [
    'with a number that has no canonical form',
    changed({ x: 1 }).replace('"x":1', '"x":90071992547409931'),
    {},
    'a2a.card_malformed',
  ],
  ['whose signatures were stripped', changed({ signatures: undefined }), {}, 'a2a.card_unsigned'],
  ['with an empty list of signatures', changed({ signatures: [] }), {}, 'a2a.card_unsigned'],
  ['with too many signatures', changed({ signatures: nine }), {}, 'a2a.card_malformed'],
  ['whose signatures are none', changed({ signatures: 'none' }), {}, 'a2a.card_malformed'],
  ['whose signature is none', changed({ signatures: [{}] }), {}, 'a2a.card_malformed'],
  ['that says not whose it is', changed({ capabilities: extensionless }), {}, 'a2a.card_unbound'],
  ['that says twice whose it is', changed({ capabilities: twice }), {}, 'a2a.card_unbound'],
  [
    'that says it by no SPIFFE ID',
    resigned(
      {
        ...rest,
        capabilities: {
          extensions: [{ uri: identityExtension({ spiffeId: wit.subject }).uri, params: { spiffeId: 'planner' } }],
        },
      },
      wit.key,
      headerOf(wit),
      witOf(wit),
    ),
    {},
    'a2a.card_unbound',
  ],
  [
    'with another URL',
    changed({
      supportedInterfaces: [{ url: 'https://evil.example', protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    }),
    {},
    'a2a.invalid_signature',
  ],
  ['without its security', changed({ securityRequirements: undefined }), {}, 'a2a.invalid_signature'],
  ['with empty security', changed({ securityRequirements: [] }), {}, 'a2a.invalid_signature'],
  [
    'with a default removed that was there',
    changed({ capabilities: { ...(isJsonObject(capabilities) ? capabilities : {}), streaming: undefined } }),
    {},
    'a2a.invalid_signature',
  ],
  ['with a member that nobody knows', changed({ x: 'y' }), {}, 'a2a.invalid_signature'],
  ['with the other spelling of a member', changed({ security_schemes: {} }), {}, 'a2a.invalid_signature'],
  ['signed with the key of another', resigned(signed, bob.key, headerOf(wit), witOf(wit)), {}, 'a2a.invalid_signature'],
  [
    'signed with another algorithm than the key has',
    resigned(signed, wit.key, { ...headerOf(wit), alg: 'ES384' }, witOf(wit)),
    {},
    'a2a.invalid_signature',
  ],
  [
    'of one agent signed by another',
    resigned(signed, bob.key, headerOf(bob), witOf(bob)),
    everybody,
    'a2a.card_mismatch',
  ],
  ['of one agent served by another', JSON.stringify(signed), { servedBy: bob.subject }, 'a2a.card_mismatch'],
  [
    'of an agent that is not expected',
    JSON.stringify(signed),
    { peer: isExactly(bob.subject) },
    'authentication.peer_unexpected',
  ],
  [
    'of the same path in another trust domain',
    JSON.stringify(signAgentCard(agentCard(), stranger, { methods })),
    everybody,
    'credential.untrusted_domain',
  ],
  ['after its WIT has ended', JSON.stringify(signed), { now: wit.expiresAt }, 'credential.expired'],
  ['whose WIT was revoked', JSON.stringify(signed), { revocations: revoked }, 'credential.revoked'],
  [
    'whose kid is not that of its WIT',
    resigned(signed, wit.key, { ...headerOf(wit), kid: 'k' }, witOf(wit)),
    {},
    'a2a.unknown_key',
  ],
  ['signed by a key that nobody knows', resigned(signed, wit.key, headerOf(wit)), {}, 'a2a.unknown_key'],
  [
    'that says where its keys are',
    resigned(signed, wit.key, { ...headerOf(wit), jku: 'https://planner.example.com/keys' }),
    {},
    'a2a.jku_refused',
  ],
  [
    'that brings its own key',
    resigned(signed, wit.key, { ...headerOf(wit), jwk: exportPublicJwk(wit.key.publicKey) }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'with critical parameters',
    resigned(signed, wit.key, { ...headerOf(wit), crit: ['b64'], b64: false }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'with an algorithm that is not protected',
    resigned(signed, wit.key, headerOf(wit), { ...witOf(wit), alg: 'ES256' }),
    {},
    'a2a.card_malformed',
  ],
  [
    'without a signature algorithm',
    resigned(signed, wit.key, { ...headerOf(wit), alg: 'none' }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'with a shared secret',
    resigned(signed, wit.key, { ...headerOf(wit), alg: 'HS256' }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'of another type',
    resigned(signed, wit.key, { ...headerOf(wit), typ: 'wpt+jwt' }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'without a type',
    resigned(signed, wit.key, { ...headerOf(wit), typ: undefined }, witOf(wit)),
    {},
    'a2a.card_malformed',
  ],
  [
    'with something else for a WIT',
    resigned(signed, wit.key, headerOf(wit), { 'workload-identity-token': 'x' }),
    {},
    'credential.malformed',
  ],
]

for (const [name, card, more, code] of REFUSED) {
  test(`a card ${name} is refused [authentication.a2a.04]`, () => {
    assert.throws(() => verifyAgentCard(card, { ...expected, ...more }), { code })
  })
}

test('a key that was given for an agent is good for its cards, and for no others [authentication.a2a.05]', () => {
  const key = WorkloadKey.generate()
  const jku = 'https://planner.example.com/keys'
  const given: CardKey = { spiffeId: wit.subject, kid: 'one', key: verificationKey(key.publicKey), jku }
  const header = { alg: key.alg, typ: 'JOSE', kid: 'one', jku }
  const by = (keys: readonly CardKey[], card = resigned(pretending, key, header)): unknown =>
    verifyAgentCard(card, { ...expected, keys }).spiffeId
  assert.equal(by([given]), wit.subject)
  assert.throws(() => by([{ ...given, spiffeId: bob.subject }]), { code: 'a2a.jku_refused' })
  assert.throws(() => by([{ ...given, jku: 'https://planner.example.com/other' }]), { code: 'a2a.jku_refused' })
  assert.throws(() => by([{ ...given, kid: 'two' }]), { code: 'a2a.jku_refused' })
  assert.throws(() => by([given], resigned(pretending, wit.key, header)), { code: 'a2a.invalid_signature' })
  assert.throws(() => by([given], resigned(pretending, key, { ...header, jku: undefined })), {
    code: 'a2a.unknown_key',
  })
  assert.throws(() => by([given], resigned(withoutIdentity, key, header)), { code: 'a2a.card_unbound' })
})

// What verifiers would not agree on is not signed.
const TWO_READINGS: readonly (readonly [string, object])[] = [
  ['an empty description', { description: '' }],
  ['no skills', { skills: [] }],
  ['a scheme without anything', { securitySchemes: { key: { mtlsSecurityScheme: {} } } }],
  ['a requirement without roles', { securityRequirements: [{ schemes: { key: { list: [] } } }] }],
  ['nothing about an icon', { iconUrl: '' }],
]

for (const [name, change] of TWO_READINGS) {
  test(`a card with ${name} is not signed [authentication.a2a.03]`, () => {
    assert.throws(() => signAgentCard({ ...agentCard(), ...change }, wit, { methods }), TypeError)
  })
}

test('what is not a card of this agent is not signed', () => {
  assert.throws(() => signAgentCard(signed, wit, { methods }), TypeError)
  assert.throws(() => signAgentCard(agentCard(), wit, { methods: ['jwt-svid'] }), TypeError)
  assert.throws(() => signAgentCard({ ...agentCard(), capabilities: { extensions: 1 } }, wit, { methods }), {
    code: 'a2a.card_malformed',
  })
  assert.throws(() => signAgentCard([], wit, { methods }), { code: 'json.malformed' })
})

test('defaults may be there or not, and what is required or marked optional stays', () => {
  const bare = {
    ...agentCard(),
    securityRequirements: [],
    skills: [{ id: 'a', tags: [], examples: [], inputModes: [] }],
  }
  assert.equal(
    canonicalAgentCard(parseJsonObject(JSON.stringify({ ...bare, provider: null }))),
    canonicalAgentCard(
      parseJsonObject(JSON.stringify({ ...bare, securityRequirements: undefined, skills: [{ id: 'a', tags: [] }] })),
    ),
  )
  const canonical = (card: object): string => canonicalAgentCard(parseJsonObject(JSON.stringify(card)))
  assert.equal(
    canonical({ name: '', skills: [], iconUrl: '', capabilities: { streaming: false, extensions: [] } }),
    '{"capabilities":{"streaming":false},"iconUrl":"","name":"","skills":[]}',
  )
  assert.equal(
    canonical({ capabilities: { extensions: [{ uri: '', required: false, params: { a: '', b: [] } }] } }),
    '{"capabilities":{"extensions":[{"params":{"a":"","b":[]}}]}}',
  )
  assert.equal(
    canonical({ securitySchemes: { a: { mtlsSecurityScheme: { description: '' } } } }),
    '{"securitySchemes":{"a":{"mtlsSecurityScheme":{}}}}',
  )
})

test('any text is refused with a code, or is the card that was signed', () => {
  const text = JSON.stringify(signed)
  const position = fc.nat({ max: text.length - 1 })
  fc.assert(
    fc.property(position, fc.constantFrom('"', '{', '}', ',', 'a', '0', '\\', ' '), (at, letter) => {
      const damaged = text.slice(0, at) + letter + text.slice(at + 1)
      try {
        const { spiffeId, card } = verifyAgentCard(damaged, everybody)
        assert.equal(spiffeId, wit.subject)
        assert.equal(canonicalAgentCard(card), canonicalAgentCard(signed))
      } catch (error) {
        assert.ok(AimsError.is(error), String(error))
      }
    }),
  )
})

test('a parser of cards never fails in another way than with a code', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.throws(() => verifyAgentCard(text, everybody), { name: 'AimsError' })
    }),
  )
})
