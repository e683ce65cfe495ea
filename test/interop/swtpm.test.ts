import assert from 'node:assert/strict'
import { createHash, randomBytes, verify } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  type Authenticated,
  checkTpmProgress,
  type EvidenceVerifier,
  type TpmClaims,
  type TpmCollector,
  tpmCollateral,
  tpmCollector,
  tpmVerifier,
} from 'aims/attestation'
import {
  type ApiClient,
  apiClient,
  exportPublicJwk,
  type JsonObject,
  jwkThumbprint,
  parsePem,
  type Signer,
  sha256,
  spkiBytes,
  WorkloadKey,
} from 'aims/base'
import { bundleSource, parseBundle, verifyWit, verifyX509Svid } from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { connect, signKeyProof } from 'aims/provisioning'
import { adminClient, loadConfig, type RunningServer, startServer } from 'aims-server'
import { byPassword, execute } from '../../packages/aims/src/attestation/collect/tpm/command.ts'
import { residentArea } from '../../packages/aims/src/attestation/collect/tpm/templates.ts'
import { HIERARCHY, TpmClient } from '../../packages/aims/src/attestation/collect/tpm/tpm-client.ts'
import { openTpm, type TpmTransport } from '../../packages/aims/src/attestation/collect/tpm/transport.ts'
import { parseTpmPublic } from '../../packages/aims/src/attestation/tpm/public-area.ts'
import { quoteInfo, statement } from '../support/soft-tpm.ts'
import { hasSwtpm, manufacture, type Swtpm } from '../support/swtpm.ts'

const trustDomain = parseTrustDomain('example.com')
const PCR_EXTEND = 0x182
const SELECTION = 'sha256:0,1,2,3,4,7'
const root = mkdtempSync(join(tmpdir(), 'aims-swtpm-'))
const now = (): number => Date.now() / 1000

let tpm: Swtpm
let other: Swtpm
let address: string
let otherAddress: string
let collector: TpmCollector
let verifier: EvidenceVerifier
let server: RunningServer
let api: ApiClient
let booted: string

interface Change {
  readonly hello?: JsonObject
  readonly spiffeId?: string
  /** Changes the evidence on its way. */
  readonly edit?: (evidence: JsonObject) => JsonObject
  /** In place of the offer of the server. */
  readonly offer?: JsonObject
  /** Does not use the credential. */
  readonly withoutOffer?: true
}

/** What an agent does: says hello, is challenged, answers. Returns the answer and the evidence that was sent. */
async function attest(by: TpmCollector, key: Signer, change: Change = {}) {
  const publicKey = { ...exportPublicJwk(key.publicKey) }
  const { spiffeId, edit = (one) => one } = change
  const hello = { tpm: change.hello ?? (await by.hello()) }
  const asked = { types: ['tpm'], publicKey, hello, ...(spiffeId === undefined ? {} : { spiffeId }) }
  const opened = (await api.send({ method: 'POST', path: '/v1/attestation/challenges', body: asked })) as JsonObject
  const nonce = String(opened.nonce)
  const { tpm: offered } = opened.offers as { tpm: JsonObject }
  const offer = change.withoutOffer === true ? {} : { offer: change.offer ?? offered }
  const challenge = { nonce: Buffer.from(nonce, 'base64url'), publicKey: spkiBytes(key.publicKey) }
  const collected = await by.collect({ challenge, trustDomain, audience: '', now: now(), ...offer })
  const evidence = edit(JSON.parse(Buffer.from(collected ?? []).toString()))
  const body = {
    challengeId: String(opened.id),
    publicKey,
    keyProof: await signKeyProof({ nonce, trustDomain, thumbprint: jwkThumbprint(key.publicKey) }, key),
    evidence: [{ type: 'tpm', evidence: Buffer.from(JSON.stringify(evidence)).toString('base64') }],
  }
  return { evidence, answer: (await api.send({ method: 'POST', path: '/v1/credentials', body })) as JsonObject }
}

const refused = (code: string, by: TpmCollector, change: Change = {}): Promise<void> =>
  assert.rejects(attest(by, WorkloadKey.generate(), change), { code })

const rootOf = ({ authorities }: Swtpm): string => {
  const [block] = parsePem(Buffer.from(authorities[1]?.bytes ?? []).toString())
  return sha256(block?.bytes ?? '').toString('hex')
}

const endorsementKey = async (by: TpmCollector): Promise<string> => {
  const { ekPublic } = await by.hello()
  const { publicKey } = parseTpmPublic(Buffer.from(String(ekPublic), 'base64'))
  return sha256(spkiBytes(publicKey)).toString('hex')
}

/** Runs commands of its own on the TPM; its simulator serves one connection at a time. */
async function withTransport<T>(at: string, run: (transport: TpmTransport) => Promise<T>): Promise<T> {
  const transport = await openTpm(at)
  assert.ok(transport)
  try {
    return await run(transport)
  } finally {
    await transport.close()
  }
}

const extend = (at: string, pcr: number, what: string): Promise<unknown> =>
  withTransport(at, (transport) =>
    execute(transport, {
      code: PCR_EXTEND,
      handles: [pcr],
      authorizations: [byPassword()],
      parameters: [Buffer.from('00000001000b', 'hex'), createHash('sha256').update(what).digest()],
    }),
  )

describe('a TPM of swtpm', { skip: hasSwtpm ? false : 'no swtpm on this machine', timeout: 120_000 }, () => {
  before(async () => {
    ;[tpm, other] = await Promise.all([manufacture(join(root, 'a')), manufacture(join(root, 'b'))])
    ;[address, otherAddress] = [await tpm.start('unix'), await other.start('tcp')]
    await extend(address, 7, 'a boot loader')
    booted = createHash('sha256')
      .update(Buffer.alloc(32))
      .update(createHash('sha256').update('a boot loader').digest())
      .digest('hex')
    collector = tpmCollector({ address, selection: SELECTION })
    const collateral = tpmCollateral(tpm.authorities)
    verifier = tpmVerifier({ roots: new Set([rootOf(tpm)]), collateral }) as EvidenceVerifier
    const authorities = join(root, 'authorities.pem')
    writeFileSync(authorities, Buffer.concat(tpm.authorities.map(({ bytes }) => bytes)))
    const attestation = { tpm: { roots: [rootOf(tpm)], authorities } }
    const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0, attestation }
    server = await startServer(await loadConfig({ env: {}, overrides }))
    api = apiClient({ socketPath: server.socketPath })
    const selectors = [`tpm:ek:${await endorsementKey(collector)}`]
    const strict = { selection: SELECTION, pcrs: { 'sha256:7': [booted] } }
    const admin = adminClient(api)
    const entry = (id: string, policy: JsonObject) =>
      admin.createEntry({
        id,
        spiffeId: `spiffe://example.com/agent/${id}`,
        selectors,
        owner: 'test',
        purpose: 'test',
        attestation: { tpm: policy, assurance: 'high' },
      })
    await entry('bot', strict)
    await entry('resident', { ...strict, requireResidentKey: true })
  })
  after(async () => {
    await collector?.close()
    api?.close()
    await server?.close()
    await Promise.all([tpm?.stop(), other?.stop()])
    rmSync(root, { recursive: true, force: true })
  })

  const bot = { spiffeId: 'spiffe://example.com/agent/bot' }

  test('shows its endorsement key, is challenged, quotes what was booted, and gets SVIDs for a fresh key', async () => {
    const key = WorkloadKey.generate()
    const { answer } = await attest(collector, key, bot)
    const { bundle } = parseBundle(String(answer.bundle), trustDomain)
    const bundles = bundleSource(bundle)
    const wit = verifyWit((answer.wit as { token: string }).token, {
      bundles,
      profile: 'wimse',
      now: now(),
      svid: true,
    })
    assert.equal(wit.subject, bot.spiffeId)
    assert.equal(wit.confirmation.thumbprint, jwkThumbprint(key.publicKey))
    assert.deepEqual(wit.attested, { assurance: 'high', types: ['tpm'] })
    const { chain } = answer.x509Svid as { chain: string[] }
    const svid = verifyX509Svid(
      chain.map((one) => Buffer.from(one, 'base64')),
      { bundles, now: now() },
    )
    assert.equal(svid.subject, bot.spiffeId)
  })

  test('keeps the identity of a workload fresh that has no agent', async () => {
    const bundle = Buffer.from(server.bundle())
    const spiffeId = parseSpiffeId(bot.spiffeId)
    const evidence = [collector]
    const me = await connect({
      server: `https://127.0.0.1:${server.port}`,
      bundle,
      trustDomain,
      spiffeId,
      evidence,
      env: {},
    })
    assert.deepEqual([me.spiffeId, me.via.kind], [bot.spiffeId, 'evidence'])
    me.close()
  })

  test('certifies a key that cannot leave it, which signs for itself', async () => {
    const key = await collector.createKey()
    const spiffeId = 'spiffe://example.com/agent/resident'
    const { answer, evidence } = await attest(collector, key, { spiffeId })
    assert.equal(answer.spiffeId, spiffeId)
    assert.ok(evidence.certify)
    const signature = await key.sign(Buffer.from('a proof'))
    const options = { key: key.publicKey, dsaEncoding: 'ieee-p1363' } as const
    assert.ok(verify('sha256', Buffer.from('a proof'), options, signature))
    // Every key is another one.
    assert.notEqual(key.kid, (await collector.createKey()).kid)
    await refused('attestation.not_enough', collector, { spiffeId })
  })

  test('has RSA keys as well, over TCP, under the root of its own maker', async () => {
    const by = tpmCollector({
      address: otherAddress,
      endorsementKey: 'rsa',
      attestationKey: 'rsa',
      selection: SELECTION,
    })
    const own = tpmVerifier({ roots: new Set([rootOf(other)]), collateral: tpmCollateral(other.authorities) })
    const { offer, kept } = own.prepare(await by.hello(), { now: now() })
    const challenge = { nonce: randomBytes(32), publicKey: spkiBytes(WorkloadKey.generate().publicKey) }
    const evidence = await by.collect({ challenge, trustDomain, audience: '', now: now(), offer })
    const expected = { kind: 'challenge', challenge, trustDomain } as const
    const { result } = own.authenticate(evidence ?? Buffer.alloc(0), { now: now(), expected, prepared: kept })
    assert.deepEqual([result.binding, result.hardwareRoot], ['full', rootOf(other)])
    await by.close()
  })

  test('is refused when its quote is of an earlier challenge', async () => {
    const { evidence } = await attest(collector, WorkloadKey.generate(), bot)
    const { quote = '', signature = '', pcrs = '' } = evidence
    await refused('attestation.binding_mismatch', collector, {
      ...bot,
      edit: (one) => ({ ...one, quote, signature, pcrs }),
    })
  })

  test('is refused when its secret is of an earlier challenge, missing, or another', async () => {
    const { evidence } = await attest(collector, WorkloadKey.generate(), bot)
    for (const secret of [evidence.secret ?? '', randomBytes(32).toString('base64')]) {
      await refused('attestation.activation_failed', collector, { ...bot, edit: (one) => ({ ...one, secret }) })
    }
    await refused('attestation.activation_failed', collector, { ...bot, withoutOffer: true })
  })

  test('is refused when the attestation key is that of another TPM', async () => {
    const by = tpmCollector({ address: otherAddress, selection: SELECTION })
    const theirs = await by.hello()
    const mixed = { ...(await collector.hello()), akPublic: theirs.akPublic ?? '' }
    // Neither TPM gives the secret out: one lacks the endorsement key, the other the attestation key.
    await refused('attestation.collection_failed', collector, { ...bot, hello: mixed })
    await refused('attestation.collection_failed', by, { ...bot, hello: mixed })
    // The other TPM as a whole is of a maker that is not trusted, although its name is the same.
    await refused('attestation.invalid_signature', by, bot)
    await by.close()
  })

  test('is refused when a key that is not restricted made the quote up', async () => {
    await collector.close()
    const forged = statement({ extraData: Buffer.alloc(32, 1) }, quoteInfo([{ bank: 'sha256', indices: [7] }], {}))
    const area = await withTransport(address, async (transport) => {
      const client = new TpmClient(transport)
      const key = await client.createPrimary(HIERARCHY.none, residentArea(randomBytes(32)))
      // The TPM signs it: that is why such a key may not attest.
      assert.ok(await client.sign(key.handle, createHash('sha256').update(forged).digest()))
      await client.flush(key.handle)
      return key.area
    })
    const hello = { ...(await collector.hello()), akPublic: area.toString('base64') }
    await refused('attestation.chain_invalid', collector, { ...bot, hello })
  })

  test('is refused when something else was booted, and goes on counting', async () => {
    const before = await progressOf()
    await collector.close()
    await extend(address, 7, 'a root kit')
    await refused('attestation.measurement_mismatch', collector, bot)
    await collector.close()
    const less = tpmCollector({ address, selection: 'sha256:0' })
    await refused('attestation.not_enough', less, bot)
    await less.close()
    await tpm.stop()
    address = await tpm.start('unix')
    const next = await progressOf()
    assert.ok(next.resetCount > before.resetCount)
    checkTpmProgress(before, next)
    assert.throws(() => checkTpmProgress(next, before), { code: 'attestation.stale' })
    // PCRs begin anew with each start: nothing was booted.
    await refused('attestation.measurement_mismatch', collector, bot)
  })

  test('where there is none, there is no evidence', async () => {
    const none = tpmCollector({ address: join(root, 'nothing') })
    const challenge = { nonce: randomBytes(32), publicKey: randomBytes(91) }
    assert.equal(await none.collect({ challenge, trustDomain, audience: '', now: now() }), undefined)
    await assert.rejects(none.hello(), { code: 'attestation.collection_failed' })
  })
})

async function progressOf() {
  const challenge = { nonce: randomBytes(32), publicKey: randomBytes(91) }
  const hello = await collector.hello()
  const prepared = verifier.prepare?.(hello, { now: now() })
  assert.ok(prepared)
  const evidence = await collector.collect({ challenge, trustDomain, audience: '', now: now(), offer: prepared.offer })
  const expected = { kind: 'challenge', challenge, trustDomain } as const
  const context = { now: now(), expected, prepared: prepared.kept }
  const { claims } = (await verifier.authenticate(evidence ?? Buffer.alloc(0), context)) as Authenticated<TpmClaims>
  return { ...claims.clock, firmwareVersion: claims.firmwareVersion }
}
