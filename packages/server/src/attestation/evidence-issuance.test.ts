import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  type AttestationType,
  bindingDigest,
  type EvidenceVerifier,
  type Manifest,
  signManifest,
} from 'aims/attestation'
import {
  type ApiClient,
  apiClient,
  exportPublicJwk,
  type JsonObject,
  jwkThumbprint,
  sha256,
  spkiBytes,
  WorkloadKey,
} from 'aims/base'
import { bundleSource, parseBundle, verifyWit, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AuditReader } from 'aims/monitoring'
import { signKeyProof } from 'aims/provisioning'
import { testPlatform } from '../../../../test/support/platform.ts'
import { type AdminClient, adminClient } from '../admin-client.ts'
import { loadConfig } from '../config/config.ts'
import { type RunningServer, startServer } from '../server.ts'

const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-evidence-'))
const platform = testPlatform()
const launcher = WorkloadKey.generate()
const AT_ONCE = 4
let ahead = 0
const clock = (): number => Date.now() / 1000 + ahead
let server: RunningServer
let api: ApiClient
let admin: AdminClient

const verifiers = new Map<AttestationType, EvidenceVerifier>([
  ['tpm', platform.verifier('tpm', 'full')],
  ['gcp', platform.verifier('gcp', 'full')],
  ['aws-iid', platform.verifier('aws-iid', 'none')],
  ['azure-msi', togetherOnly(platform.verifier('azure-msi', 'none'))],
])

// Waits with its answers until several callers wait for one.
function togetherOnly(verifier: EvidenceVerifier): EvidenceVerifier {
  const { promise, resolve } = Promise.withResolvers<void>()
  let waiting = 0
  return {
    ...verifier,
    async authenticate(evidence, context) {
      const authenticated = await verifier.authenticate(evidence, context)
      waiting += 1
      if (waiting === AT_ONCE) resolve()
      await promise
      return authenticated
    },
  }
}

before(async () => {
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0 }
  server = await startServer(await loadConfig({ env: {}, overrides }), { clock, verifiers })
  api = apiClient({ socketPath: server.socketPath })
  admin = adminClient(api)
  const entry = (name: string, selector: string, more: object = {}) =>
    admin.createEntry({
      id: name,
      spiffeId: `spiffe://example.com/agent/${name}`,
      selectors: [selector],
      ...who,
      ...more,
    })
  await entry('gcp', 'gcp:image:bot')
  await entry('hard', 'tpm:image:hard', { attestation: { tpm: { images: ['hard'] }, assurance: 'high' } })
  await entry('both', 'gcp:image:both', { attestation: { require: ['gcp', 'tpm'] } })
  await entry('tied', '', { selectors: ['tpm:image:tied', 'aws-iid:image:tied'] })
  await entry('bearer', 'aws-iid:image:bearer', { credentialTypes: ['wit', 'jwt-svid'] })
  await entry('pair-a', 'aws-iid:image:pair')
  await entry('pair-b', 'aws-iid:image:pair')
  await entry('race', 'azure-msi:image:race')
  await entry('twin-a', 'gcp:image:twin')
  await entry('twin-b', 'gcp:image:twin')
  await entry('lowers', 'gcp:image:lowers')
  const launchers = [{ ...exportPublicJwk(launcher.publicKey), alg: 'ES256' }]
  await entry('unbound', 'aws-iid:image:unbound', { manifest: { launchers } })
  await entry('loose', 'aws-iid:image:loose', { manifest: { launchers, acceptUnbound: true } })
  await entry('made', 'gcp:image:made', {
    manifest: {
      launchers,
      models: ['vendor/model-4'],
      tools: { create_event: `sha256:${sha256('create').toString('hex')}` },
      onChange: 'narrow',
    },
  })
})
after(async () => {
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

interface Attempt {
  readonly types: readonly AttestationType[]
  readonly key?: WorkloadKey
  readonly claims?: JsonObject
  readonly ask?: JsonObject
  readonly body?: JsonObject
  readonly manifest?: string
  readonly previous?: WorkloadKey
  /** Runs between challenge and evidence. */
  readonly wait?: () => void
}

// What a client does: asks for a challenge, has the platform sign, and sends that. Everything can be changed.
async function attempt({ types, key = WorkloadKey.generate(), claims = {}, ...more }: Attempt): Promise<JsonObject> {
  const publicKey = { ...exportPublicJwk(key.publicKey) }
  const { manifest } = more
  const digest = manifest === undefined ? undefined : sha256(manifest)
  const hello = types.includes('tpm') ? { hello: { tpm: { ek: 'EK1' } } } : {}
  const asked = {
    types,
    publicKey,
    ...hello,
    ...(digest === undefined ? {} : { manifest: digest.toString('hex') }),
    ...more.ask,
  }
  const offer = (await api.send({ method: 'POST', path: '/v1/attestation/challenges', body: asked })) as JsonObject
  more.wait?.()
  const nonce = String(offer.nonce)
  const bound = {
    nonce: Buffer.from(nonce, 'base64url'),
    publicKey: spkiBytes(key.publicKey),
    ...(digest === undefined ? {} : { manifest: digest }),
  }
  const evidence = await Promise.all(
    types.map(async (type) => {
      const data = bindingDigest(type, bound, 'sha256').toString('base64')
      const secret = type === 'tpm' ? { secret: 'secret of EK1' } : {}
      const token = await platform.sign({ instance: 'i-1', image: 'bot', data, ...secret, ...claims })
      return { type, evidence: Buffer.from(token).toString('base64') }
    }),
  )
  const subject = { nonce, trustDomain, thumbprint: jwkThumbprint(key.publicKey) }
  const previous =
    more.previous === undefined
      ? {}
      : {
          previous: {
            publicKey: { ...exportPublicJwk(more.previous.publicKey) },
            keyProof: await signKeyProof(subject, more.previous),
          },
        }
  const body = {
    challengeId: String(offer.id),
    publicKey,
    keyProof: await signKeyProof(subject, key),
    evidence,
    ...(manifest === undefined ? {} : { manifest }),
    ...previous,
    ...more.body,
  }
  return (await api.send({ method: 'POST', path: '/v1/credentials', body })) as JsonObject
}

const refused = (made: Promise<unknown>, code: string): Promise<void> => assert.rejects(made, { code })

function witOf(answer: JsonObject) {
  const { bundle } = parseBundle(String(answer.bundle), trustDomain)
  const { token } = answer.wit as { token: string }
  return verifyWit(token, { bundles: bundleSource(bundle), profile: 'wimse', now: clock(), svid: true })
}

const who = { owner: 'test', purpose: 'test' }

describe('issuance by evidence', () => {
  test('gives the credentials of the entry that the evidence fits, for the key that it is bound to', async () => {
    const key = WorkloadKey.generate()
    const answer = await attempt({ types: ['gcp'], key, body: { audiences: ['https://api.example.com'] } })
    assert.equal(answer.spiffeId, 'spiffe://example.com/agent/gcp')
    const wit = witOf(answer)
    assert.equal(wit.subject, 'spiffe://example.com/agent/gcp')
    assert.equal(wit.confirmation.thumbprint, jwkThumbprint(key.publicKey))
    assert.deepEqual(wit.attested, { assurance: 'moderate', types: ['gcp'] })
    const { bundle } = parseBundle(String(answer.bundle), trustDomain)
    const { chain } = answer.x509Svid as { chain: string[] }
    const svid = verifyX509Svid(
      chain.map((one) => Buffer.from(one, 'base64')),
      { bundles: bundleSource(bundle), now: clock() },
    )
    assert.equal(svid.subject, wit.subject)
    assert.ok((answer.jwtSvid as JsonObject).token)
  })

  test('tells when one agent identity is in use under two keys at a time, and not of a renewal', async () => {
    const told = () =>
      admin.listRecords({ type: 'provisioning.identity-shared', agent: 'spiffe://example.com/agent/once' })
    await admin.createEntry({
      ...who,
      id: 'once',
      spiffeId: 'spiffe://example.com/agent/once',
      selectors: ['gcp:image:once'],
    })
    const claims = { image: 'once' }
    const key = WorkloadKey.generate()
    await attempt({ types: ['gcp'], key, claims })
    await attempt({ types: ['gcp'], claims, previous: key })
    assert.equal((await told()).length, 0)
    await attempt({ types: ['gcp'], claims })
    const [record, ...others] = await told()
    assert.deepEqual([record?.reasons, record?.details?.instances, others], [['provisioning.identity_shared'], 2, []])
  })

  test('carries the assurance that the evidence reached, and its types', async () => {
    const answer = await attempt({ types: ['tpm'], claims: { image: 'hard' } })
    assert.deepEqual(witOf(answer).attested, { assurance: 'high', types: ['tpm'] })
  })

  test('takes several pieces of evidence for one key', async () => {
    const answer = await attempt({ types: ['gcp', 'tpm'], claims: { image: 'both' } })
    assert.deepEqual(witOf(answer).attested, { assurance: 'high', types: ['gcp', 'tpm'] })
  })

  test('an entry with selectors of a TPM and of AWS is for who shows both', async () => {
    const answer = await attempt({ types: ['tpm', 'aws-iid'], claims: { image: 'tied' } })
    assert.equal(answer.spiffeId, 'spiffe://example.com/agent/tied')
    for (const type of ['tpm', 'aws-iid'] as const) {
      await refused(attempt({ types: [type], claims: { image: 'tied' } }), 'provisioning.no_identity')
    }
  })

  test('lets a caller choose where the evidence fits several entries', async () => {
    const spiffeId = 'spiffe://example.com/agent/twin-b'
    const answer = await attempt({ types: ['gcp'], claims: { image: 'twin' }, ask: { spiffeId } })
    assert.equal(answer.spiffeId, spiffeId)
  })

  const rows: readonly (readonly [string, string, Attempt])[] = [
    [
      'that is not base64',
      'operation.request_malformed',
      { types: ['gcp'], body: { evidence: [{ type: 'gcp', evidence: '*' }] } },
    ],
    ['of another image', 'provisioning.no_identity', { types: ['gcp'], claims: { image: 'other' } }],
    ['that fits two entries', 'provisioning.ambiguous_identity', { types: ['gcp'], claims: { image: 'twin' } }],
    [
      'for an identity that it does not fit',
      'provisioning.no_identity',
      { types: ['gcp'], ask: { spiffeId: 'spiffe://example.com/agent/hard' } },
    ],
    ['bound to another challenge', 'attestation.binding_mismatch', { types: ['gcp'], claims: { data: 'AAAA' } }],
    [
      'with a secret that was not activated',
      'attestation.binding_mismatch',
      { types: ['tpm'], claims: { image: 'hard', secret: 'x' } },
    ],
    ['without the second type', 'attestation.not_enough', { types: ['gcp'], claims: { image: 'both' } }],
    [
      'weaker than the entry asks',
      'attestation.not_enough',
      { types: ['tpm'], claims: { image: 'hard', debug: true } },
    ],
    ['without the manifest', 'attestation.not_enough', { types: ['gcp'], claims: { image: 'made' } }],
    [
      'of a type that was not announced',
      'attestation.challenge_unknown',
      { types: ['gcp'], body: { evidence: [{ type: 'aws-iid', evidence: 'AAAA' }] } },
    ],
    [
      'of a type that was not announced behind one that does not verify',
      'attestation.challenge_unknown',
      {
        types: ['gcp'],
        body: {
          evidence: [
            { type: 'gcp', evidence: 'AAAA' },
            { type: 'aws-iid', evidence: 'AAAA' },
          ],
        },
      },
    ],
    ['of no type', 'provisioning.no_identity', { types: ['gcp'], body: { evidence: [] } }],
    [
      'for a challenge that does not exist',
      'attestation.challenge_unknown',
      { types: ['gcp'], body: { challengeId: 'x' } },
    ],
    [
      'with another key than announced',
      'attestation.challenge_unknown',
      { types: ['gcp'], body: { publicKey: { ...exportPublicJwk(WorkloadKey.generate().publicKey) } } },
    ],
    ['without a proof of the key', 'provisioning.key_proof_invalid', { types: ['gcp'], body: { keyProof: 'none' } }],
    [
      'with a manifest that was not announced',
      'attestation.binding_mismatch',
      { types: ['gcp'], body: { manifest: 'x' } },
    ],
    ['for a JWT-SVID for nobody', 'provisioning.missing_audience', { types: ['gcp'], body: { audiences: [] } }],
    ['of a type that is not configured', 'attestation.unknown_type', { types: ['sgx'] }],
    ['of a hello without its EK', 'attestation.malformed', { types: ['tpm'], ask: { hello: { tpm: {} } } }],
    ['of a hello that is null', 'attestation.malformed', { types: ['tpm'], ask: { hello: { tpm: null } } }],
    ['of a hello that is a list', 'attestation.malformed', { types: ['tpm'], ask: { hello: { tpm: ['ek'] } } }],
    ['of a type twice', 'operation.request_malformed', { types: ['gcp', 'gcp'] }],
  ]
  for (const [what, code, change] of rows) {
    test(`refuses evidence ${what}`, async () => {
      await refused(attempt(change), code)
    })
  }

  for (const challengeId of ['a\u0000b', 'spiffe://example.com/agent/gcp', 'eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ.AAAA']) {
    test(`records no text of the caller: ${JSON.stringify(challengeId)}`, async () => {
      await refused(attempt({ types: ['gcp'], body: { challengeId } }), 'attestation.challenge_unknown')
      const [last] = await admin.listRecords({ type: 'attestation.refused' })
      assert.equal(last?.resource.id, 'unknown')
    })
  }

  test('takes a challenge once, and not after two minutes', async () => {
    const publicKey = { ...exportPublicJwk(WorkloadKey.generate().publicKey) }
    const body = { types: ['gcp'], publicKey }
    const { id } = (await api.send({ method: 'POST', path: '/v1/attestation/challenges', body })) as JsonObject
    const answer = { challengeId: String(id), publicKey, keyProof: 'x', evidence: [] }
    await refused(api.send({ method: 'POST', path: '/v1/credentials', body: answer }), 'provisioning.key_proof_invalid')
    await refused(api.send({ method: 'POST', path: '/v1/credentials', body: answer }), 'attestation.challenge_unknown')
    const wait = (): void => {
      ahead += 120
    }
    await refused(attempt({ types: ['gcp'], wait }), 'attestation.challenge_unknown')
    ahead = 0
  })

  test('gives a bearer document to whoever came first with it, and to the keys that he vouches for', async () => {
    const first = WorkloadKey.generate()
    const claims = { image: 'bearer', instance: 'i-bearer' }
    await attempt({ types: ['aws-iid'], key: first, claims })
    const raced = Array.from({ length: 8 }, () =>
      attempt({ types: ['aws-iid'], claims: { ...claims, instance: 'i-raced' } }),
    )
    const settled = await Promise.allSettled(raced)
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1)
    await refused(attempt({ types: ['aws-iid'], claims }), 'attestation.taken')
    await refused(attempt({ types: ['aws-iid'], claims, previous: WorkloadKey.generate() }), 'attestation.taken')
    await attempt({ types: ['aws-iid'], claims, previous: first })
    // The successor has taken over: the first key vouches for nobody any more.
    await refused(attempt({ types: ['aws-iid'], claims, previous: first }), 'attestation.taken')
  })

  test('gives a bearer document to one of those who show it at the same time', async () => {
    const claims = { image: 'race', instance: 'i-race' }
    const made = await Promise.allSettled(
      Array.from({ length: AT_ONCE }, () => attempt({ types: ['azure-msi'], claims })),
    )
    assert.equal(made.filter(({ status }) => status === 'fulfilled').length, 1)
    const codes = made.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { code: string }).code] : []))
    assert.deepEqual(codes, Array(AT_ONCE - 1).fill('attestation.taken'))
  })

  test('lets another key come first once an operator forgets the machine, and only then', async () => {
    const claims = { image: 'bearer', instance: 'i-forgotten' }
    const spiffeId = 'spiffe://example.com/agent/bearer'
    await attempt({ types: ['aws-iid'], claims })
    await refused(attempt({ types: ['aws-iid'], claims }), 'attestation.taken')
    assert.equal(await admin.forgetAttested('spiffe://example.com/agent/gcp-2'), 0)
    await refused(attempt({ types: ['aws-iid'], claims }), 'attestation.taken')
    const successor = WorkloadKey.generate()
    assert.ok((await admin.forgetAttested(spiffeId)) >= 1)
    await attempt({ types: ['aws-iid'], key: successor, claims })
    await refused(attempt({ types: ['aws-iid'], claims }), 'attestation.taken')
    await refused(admin.forgetAttested('agent/bearer'), 'identifier.wrong_scheme')
    const records = await admin.listRecords({ type: 'attestation.forgotten' })
    assert.deepEqual(
      records.map(({ resource, decision }) => [resource.id, decision]),
      [
        [spiffeId, 'allow'],
        ['spiffe://example.com/agent/gcp-2', 'allow'],
      ],
    )
  })

  test('remembers of each identity by itself what was reached for it', async () => {
    const claims = { image: 'pair', instance: 'i-pair' }
    let last: WorkloadKey | undefined
    const show = async (name: string, ...types: readonly AttestationType[]): Promise<void> => {
      const key = WorkloadKey.generate()
      const previous = last === undefined ? {} : { previous: last }
      await attempt({ types, key, claims, ask: { spiffeId: `spiffe://example.com/agent/${name}` }, ...previous })
      last = key
    }
    await show('pair-a', 'aws-iid', 'tpm')
    // This one never reached more, although the same document was part of more for the other.
    await show('pair-b', 'aws-iid')
    await refused(show('pair-a', 'aws-iid'), 'attestation.assurance_lowered')
    // The document was shown for the other identity first, and is free all the same.
    assert.equal(await admin.forgetAttested('spiffe://example.com/agent/pair-b'), 1)
    last = undefined
    await show('pair-b', 'aws-iid')
  })

  test('uses a statement up', async () => {
    const claims = { id: 'jti-1' }
    await attempt({ types: ['gcp'], claims })
    await refused(attempt({ types: ['gcp'], claims }), 'attestation.replayed')
  })

  test('refuses a renewal with weaker evidence until the entry is changed', async () => {
    const claims = { image: 'lowers' }
    await attempt({ types: ['gcp'], claims })
    await refused(attempt({ types: ['gcp'], claims: { ...claims, debug: true } }), 'attestation.assurance_lowered')
    const entry = { spiffeId: 'spiffe://example.com/agent/lowers', selectors: ['gcp:image:lowers'], ...who }
    await admin.updateEntry('lowers', entry, 1)
    await attempt({ types: ['gcp'], claims: { ...claims, debug: true } })
  })

  describe('with a manifest', () => {
    const part = (name: string, text: string) => ({ name, digest: `sha256:${sha256(text).toString('hex')}` as const })
    const manifest: Manifest = {
      model: { id: 'vendor/model-4' },
      tools: [part('create_event', 'create'), part('delete_event', 'delete')],
      mcpServers: [],
    }
    const claims = { image: 'made' }

    test('carries what its launcher stated and the entry allows, without what it does not', async () => {
      const signed = await signManifest(manifest, launcher, clock())
      const answer = await attempt({ types: ['gcp'], claims, manifest: signed })
      assert.deepEqual(witOf(answer).attested?.manifest, {
        hash: sha256(signed).toString('hex'),
        model: 'vendor/model-4',
        tools: ['create_event'],
        mcpServers: [],
      })
    })

    test('takes it beside bearer evidence only where the entry says so, or with a piece that binds it', async () => {
      const signed = await signManifest(manifest, launcher, clock())
      const show = (image: string, ...types: readonly AttestationType[]) =>
        attempt({ types, claims: { image, instance: `i-${image}` }, manifest: signed })
      await refused(show('unbound', 'aws-iid'), 'attestation.binding_missing')
      assert.equal(witOf(await show('loose', 'aws-iid')).attested?.manifest?.model, 'vendor/model-4')
      assert.equal(witOf(await show('unbound', 'aws-iid', 'tpm')).attested?.manifest?.model, 'vendor/model-4')
    })

    test('refuses another model, another launcher, and a manifest that the evidence is not bound to', async () => {
      const other = await signManifest({ ...manifest, model: { id: 'vendor/model-5' } }, launcher, clock())
      await refused(attempt({ types: ['gcp'], claims, manifest: other }), 'attestation.measurement_mismatch')
      const forged = await signManifest(manifest, WorkloadKey.generate(), clock())
      await refused(attempt({ types: ['gcp'], claims, manifest: forged }), 'attestation.invalid_signature')
      const signed = await signManifest(manifest, launcher, clock())
      await refused(
        attempt({ types: ['gcp'], claims, manifest: signed, body: { manifest: other } }),
        'attestation.binding_mismatch',
      )
    })
  })

  test('an entry whose policy nobody can read is not registered', async () => {
    const entry = { spiffeId: 'spiffe://example.com/agent/new', selectors: ['gcp:image:new'], ...who }
    for (const [more, code] of [
      [{ attestation: { sgx: {} } }, 'attestation.unknown_type'],
      [{ attestation: { gcp: { imagse: [] } } }, 'attestation.policy_malformed'],
      [{ manifest: {} }, 'attestation.policy_malformed'],
      [{ attestation: 'strict' }, 'provisioning.malformed_entry'],
    ] as const) {
      const body = { ...entry, ...more }
      await refused(api.send({ method: 'POST', path: '/v1/entries', body }), code)
    }
  })

  test('whoever is attested by the kernel alone gets nothing of an entry that asks for more', async () => {
    const publicKey = { ...exportPublicJwk(WorkloadKey.generate().publicKey) }
    const body = { entryId: 'hard', posture: { type: 'unix', selectors: ['tpm:image:hard'] }, publicKey }
    await refused(api.send({ method: 'POST', path: '/v1/agent/wits', body }), 'provisioning.not_entitled')
  })

  test('leaves a record of every outcome before it is told', async () => {
    using log = AuditReader.openFile(join(root, 'data', 'log.sqlite'))
    const records = log.read(0, log.size).map(({ record }) => record)
    const of = (type: string) => records.filter((record) => record.type === type)
    assert.ok(of('attestation.succeeded').length >= 8)
    assert.ok(of('attestation.refused').length >= 20)
    assert.equal(of('attestation.assurance-lowered').length, 2)
    assert.equal(of('attestation.manifest-narrowed').length, 1)
    assert.deepEqual(of('attestation.assurance-lowered')[0]?.reasons, ['attestation.assurance_lowered'])
    const [issued] = records.filter(({ type, posture }) => type === 'provisioning.issued' && posture?.type === 'tpm')
    assert.equal(issued?.posture?.binding, 'full')
  })
})
