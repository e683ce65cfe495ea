import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sha256 } from '../../base/bytes.ts'
import { signJws } from '../../base/jose.ts'
import type { JsonObject } from '../../base/json.ts'
import { exportPublicJwk, verificationKey, WorkloadKey } from '../../base/keys.ts'
import { appraiseManifest, readManifestPolicy } from './appraise-manifest.ts'
import { type ContentDigest, type Manifest, signManifest, verifyManifest } from './manifest.ts'

const now = 1_800_000_000
const launcher = WorkloadKey.generate()
const launchers = [verificationKey(launcher.publicKey)]
const digest = (text: string): ContentDigest => `sha256:${sha256(text).toString('hex')}`
const manifest: Manifest = {
  model: { id: 'vendor/model-4', digest: digest('weights') },
  promptTemplate: digest('prompt'),
  tools: [
    { name: 'create_event', digest: digest('create') },
    { name: 'list_events', digest: digest('list') },
  ],
  mcpServers: [{ name: 'calendar', digest: digest('calendar') }],
  code: digest('code'),
}
const token = await signManifest(manifest, launcher, now)
const header = { typ: 'aims-manifest+jwt' }
const signed = (claims: object) => signJws(header, { ...manifest, iat: now, ...claims }, launcher)

describe('a manifest', () => {
  test('that its launcher signed is read, with the digest of what was signed', () => {
    const verified = verifyManifest(token, { launchers, now })
    assert.deepEqual(
      { ...verified, hash: verified.hash.toString('hex') },
      {
        ...manifest,
        hash: sha256(token).toString('hex'),
        issuedAt: now,
      },
    )
  })

  const other = WorkloadKey.generate()
  const rows: readonly (readonly [string, string, string | Promise<string>, number?])[] = [
    ['signed by somebody else', 'attestation.invalid_signature', signManifest(manifest, other, now)],
    ['of another kind of token', 'attestation.malformed', signJws({ typ: 'JWT' }, { ...manifest, iat: now }, launcher)],
    ['that is no token', 'attestation.malformed', 'manifest'],
    ['without a time', 'attestation.malformed', signed({ iat: undefined })],
    ['of the future', 'attestation.not_yet_valid', signed({ iat: now + 31 })],
    ['older than a day', 'attestation.expired', token, now + 86_401],
    ['with an unknown member', 'attestation.malformed', signed({ tool: [] })],
    ['without tools', 'attestation.malformed', signed({ tools: undefined })],
    ['with two tools of one name', 'attestation.malformed', signed({ tools: [manifest.tools[0], manifest.tools[0]] })],
    ['with a digest of another kind', 'attestation.malformed', signed({ code: 'md5:00' })],
    ['with a digest in capitals', 'attestation.malformed', signed({ code: digest('x').toUpperCase() })],
    [
      'with a control character in a name',
      'attestation.malformed',
      signed({ tools: [{ name: 'a\nb', digest: digest('x') }] }),
    ],
    ['whose model is a text', 'attestation.malformed', signed({ model: 'gpt' })],
    ['whose tool says more', 'attestation.malformed', signed({ tools: [{ ...manifest.tools[0], more: 1 }] })],
  ]
  for (const [what, code, made, at = now] of rows) {
    test(`${what} is refused`, async () => {
      const text = await made
      assert.throws(() => verifyManifest(text, { launchers, now: at }), { code })
    })
  }

  test('with a flipped character is refused', () => {
    const at = token.indexOf('.') + 20
    const flipped = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
    assert.throws(() => verifyManifest(flipped, { launchers, now }), /AimsError|json|manifest|launcher/)
  })
})

describe('a manifest held against a policy', () => {
  const verified = verifyManifest(token, { launchers, now })
  const jwk: JsonObject = { ...exportPublicJwk(launcher.publicKey), alg: 'ES256' }
  const policy = (more: JsonObject) => readManifestPolicy({ launchers: [jwk], ...more })
  const tools = { create_event: digest('create'), list_events: [digest('older'), digest('list')] }

  test('passes with everything that is allowed', () => {
    const accepted = appraiseManifest(verified, policy({ models: ['vendor/model-4'], tools, code: digest('code') }))
    assert.deepEqual(accepted, {
      hash: verified.hash.toString('hex'),
      model: 'vendor/model-4',
      tools: ['create_event', 'list_events'],
      mcpServers: ['calendar'],
      dropped: [],
    })
  })

  for (const [what, more] of [
    ['another model', { models: ['vendor/model-3'] }],
    ['another prompt', { promptTemplates: digest('other') }],
    ['other code', { code: digest('other') }],
    ['a tool whose description changed', { tools: { ...tools, create_event: digest('changed') } }],
    ['a tool that nobody allowed', { tools: { create_event: digest('create') } }],
    ['an MCP server that changed', { mcpServers: { calendar: digest('other') } }],
  ] as const) {
    test(`${what} stops issuance`, () => {
      assert.throws(() => appraiseManifest(verified, policy(more)), { code: 'attestation.measurement_mismatch' })
    })
  }

  test('a changed tool is left out where the policy says narrow', () => {
    const narrow = policy({ onChange: 'narrow', tools: { ...tools, create_event: digest('changed') } })
    const { tools: kept, dropped } = appraiseManifest(verified, narrow)
    assert.deepEqual([kept, dropped], [['list_events'], ['create_event']])
  })

  test('a manifest that was not verified is a mistake of the program', () => {
    assert.throws(() => appraiseManifest({ ...verified }, policy({})), TypeError)
  })

  for (const wrong of [
    { launchers: [] },
    { launchers: [{ kty: 'oct', k: 'AA' }] },
    { launchers: [jwk], onChange: 'ignore' },
    { launchers: [jwk], tools: ['create_event'] },
    { launchers: [jwk], model: ['x'] },
  ]) {
    test(`${JSON.stringify(wrong).slice(0, 60)} is no manifest policy`, () => {
      assert.throws(() => readManifestPolicy(wrong as JsonObject), { code: 'attestation.policy_malformed' })
    })
  }
})
