import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import type { AuditEvent, Observer } from '../base/event.ts'
import { jwkThumbprint, verificationKey, WorkloadKey } from '../base/keys.ts'
import type { TrustBundle } from '../credentials/bundle/bundle.ts'
import { bundleSource } from '../credentials/bundle/source.ts'
import { verifyJwtSvid } from '../credentials/jwt-svid/verify.ts'
import { decodeUnverifiedWit } from '../credentials/wit/decode.ts'
import { createX509Authority } from '../credentials/x509-svid/authority.ts'
import { issueCaCertificate } from '../credentials/x509-svid/issue-ca.ts'
import { verifyX509Svid } from '../credentials/x509-svid/verify.ts'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { parseEntry, type RegistrationEntry } from './entry.ts'
import { type ConfirmationKey, createIssuer, type Issuer, type IssuerOptions } from './issuer.ts'

const trustDomain = parseTrustDomain('example.com')
const now = 1_800_000_000.5
const CA_LIFETIME = 7200
const caKey = WorkloadKey.generate()
const certificate = await issueCaCertificate({
  trustDomain,
  signer: caKey,
  notBefore: Math.floor(now) - 60,
  notAfter: Math.floor(now) + CA_LIFETIME,
})
const x509 = createX509Authority({ trustDomain, signer: caKey, certificate })
const jwt = WorkloadKey.generate()
const wit = WorkloadKey.generate()
const authority = (key: WorkloadKey) => new Map([[key.kid, verificationKey(key.publicKey, { kid: key.kid })]])
const bundle: TrustBundle = {
  trustDomain,
  x509Authorities: [certificate],
  jwtAuthorities: authority(jwt),
  witAuthorities: authority(wit),
}

const entry = (change: object = {}) =>
  parseEntry(
    { id: 'bot', spiffeId: 'spiffe://example.com/agent/bot', selectors: ['unix:uid:1000'], ...change },
    { trustDomain },
  )
const posture = { type: 'unix', selectors: ['unix:uid:1000', 'unix:gid:5'] }
const request = { entryId: 'bot', posture, correlationId: 'c1' }

interface World {
  readonly issuer: Issuer
  readonly records: AuditEvent[]
  readonly confirmations: ConfirmationKey[]
  readonly entries: Map<string, RegistrationEntry>
  /** By thumbprint. */
  readonly bound: Map<string, { readonly subject: string; readonly expiresAt: number }>
}

// Fakes of what is outside: the log and the store.
function world(change: Partial<IssuerOptions> = {}, first: RegistrationEntry = entry()): World {
  const records: AuditEvent[] = []
  const confirmations: ConfirmationKey[] = []
  const bound = new Map<string, { subject: string; expiresAt: number }>()
  const entries = new Map([[first.id, first]])
  const issuer = createIssuer({
    keys: { x509: () => x509, jwt: () => jwt, wit: () => wit },
    findEntry: (id) => entries.get(id),
    clock: () => now,
    observer: { record: async (event) => void records.push(event) },
    bindings: {
      bind: async ({ thumbprint, subject, expiresAt }) => {
        const other = bound.get(thumbprint)
        if (other !== undefined && other.subject !== subject && other.expiresAt > now) return false
        bound.set(thumbprint, { subject, expiresAt })
        return true
      },
    },
    confirmations: { register: async (key) => void confirmations.push(key) },
    isProfileEnabled: (profile) => profile === 'wimse' || profile === 'aims-00',
    issuer: 'https://example.com',
    ...change,
  })
  return { issuer, records, confirmations, entries, bound }
}

const newKey = (): KeyObject => WorkloadKey.generate().publicKey

test('a key is bound until the second in which its credential ends', async () => {
  const { issuer, bound } = world({ clock: () => now + 0.4 })
  const publicKey = newKey()
  const { expiresAt } = await issuer.issueWit({ ...request, publicKey })
  assert.equal(bound.get(jwkThumbprint(publicKey))?.expiresAt, expiresAt)
  const { notAfter } = await issuer.issueX509({ ...request, publicKey })
  assert.equal(bound.get(jwkThumbprint(publicKey))?.expiresAt, notAfter)
})

// [credentials.aims.01] [monitoring.log.02]
test('an X.509-SVID names the workload, begins 10 s ago, and is in the log before it is handed out', async () => {
  const { issuer, records } = world({}, entry({ dnsNames: ['bot.example.com'], x509Ttl: 600 }))
  const publicKey = newKey()
  const svid = await issuer.issueX509({ ...request, publicKey })
  const verified = verifyX509Svid(svid.certificates, { bundles: bundleSource(bundle), now })
  assert.equal(verified.subject, 'spiffe://example.com/agent/bot')
  assert.equal(verified.expiresAt, Math.floor(now) + 600)
  assert.deepEqual(verified.dnsNames, ['bot.example.com'])
  verifyX509Svid(svid.certificates, { bundles: bundleSource(bundle), now: now - 10 })
  assert.throws(() => verifyX509Svid(svid.certificates, { bundles: bundleSource(bundle), now: now - 12 }), {
    code: 'x509.not_yet_valid',
  })
  assert.deepEqual(records, [
    {
      type: 'provisioning.issued',
      agent: { id: 'spiffe://example.com/agent/bot', credential: { type: 'x509-svid', id: verified.serialNumber } },
      resource: { type: 'credential', id: 'x509-svid' },
      action: 'issue',
      decision: 'allow',
      correlationId: 'c1',
      posture,
      details: {
        entry: 'bot',
        revision: 1,
        expiresAt: Math.floor(now) + 600,
        keyThumbprint: jwkThumbprint(publicKey),
      },
    },
  ])
})

// [credentials.wic.10]
test('an X.509-SVID never outlives its CA', async () => {
  const { issuer } = world({}, entry({ x509Ttl: CA_LIFETIME + 1000 }))
  const { certificates } = await issuer.issueX509({ ...request, publicKey: newKey() })
  const { expiresAt } = verifyX509Svid(certificates, { bundles: bundleSource(bundle), now })
  assert.equal(expiresAt, Math.floor(now) + CA_LIFETIME)
})

test('a JWT-SVID is for the audiences asked for, and its record names it by jti', async () => {
  const { issuer, records } = world()
  const svid = await issuer.issueJwt({ ...request, audiences: ['https://api.example.com'] })
  const expected = { bundles: bundleSource(bundle), now, audience: 'https://api.example.com' }
  const verified = verifyJwtSvid(svid.token, expected)
  assert.equal(verified.subject, 'spiffe://example.com/agent/bot')
  assert.equal(verified.expiresAt, Math.floor(now) + 300)
  assert.equal(records[0]?.agent?.credential?.id, svid.id)
})

test('a WIT of profile aims-00 names its audience, and its key is in the registry under cnf.kid', async () => {
  const { issuer, confirmations } = world({}, entry({ profile: 'aims-00', audiences: ['https://api.example.com'] }))
  const publicKey = newKey()
  const { token, expiresAt } = await issuer.issueWit({ ...request, publicKey })
  const { claims } = decodeUnverifiedWit(token)
  assert.deepEqual(claims.aud, ['https://api.example.com'])
  assert.equal(claims.iss, 'https://example.com')
  const kid = jwkThumbprint(publicKey)
  assert.deepEqual(
    confirmations.map((key) => [key.subject, key.kid, key.expiresAt]),
    [['spiffe://example.com/agent/bot', kid, expiresAt]],
  )
})

test('a WIT of profile wimse leaves nothing in the registry', async () => {
  const { issuer, confirmations } = world()
  const { token } = await issuer.issueWit({ ...request, publicKey: newKey() })
  assert.equal(decodeUnverifiedWit(token).claims.aud, undefined)
  assert.deepEqual(confirmations, [])
})

test('one key may serve one subject again, and the X.509-SVID and the WIT of it', async () => {
  const { issuer } = world()
  const publicKey = newKey()
  await issuer.issueX509({ ...request, publicKey })
  await issuer.issueWit({ ...request, publicKey })
  await issuer.issueX509({ ...request, publicKey })
})

// [credentials.wit.17]
test('the key of one subject is refused for another (D11), whatever the kind of credential', async () => {
  const { issuer, entries, records } = world()
  const publicKey = newKey()
  await issuer.issueWit({ ...request, publicKey })
  entries.set('other', entry({ id: 'other', spiffeId: 'spiffe://example.com/agent/other' }))
  const other = { ...request, entryId: 'other', publicKey }
  await assert.rejects(issuer.issueWit(other), { code: 'credential.key_reuse' })
  await assert.rejects(issuer.issueX509(other), { code: 'credential.key_reuse' })
  assert.deepEqual(
    records.map(({ type, decision, reasons }) => [type, decision, reasons]),
    [
      ['provisioning.issued', 'allow', undefined],
      ['provisioning.refused', 'deny', ['credential.key_reuse']],
      ['provisioning.refused', 'deny', ['credential.key_reuse']],
    ],
  )
})

// One row per way to be refused: what differs, and the code. The refusal is in the log.
const x509Request = (issuer: Issuer, change: object = {}) =>
  issuer.issueX509({ ...request, publicKey: newKey(), ...change })
const refusals: readonly (readonly [string, RegistrationEntry, (issuer: Issuer) => Promise<unknown>, string])[] = [
  ['an entry that is not there', entry(), (i) => x509Request(i, { entryId: 'gone' }), 'provisioning.entry_not_found'],
  [
    'a selector that is not shown',
    entry({ selectors: ['unix:uid:1000', 'unix:gid:6'] }),
    (i) => x509Request(i),
    'provisioning.not_entitled',
  ],
  [
    'nothing shown',
    entry(),
    (i) => x509Request(i, { posture: { type: 'unix', selectors: [] } }),
    'provisioning.not_entitled',
  ],
  [
    'a type the entry does not permit',
    entry({ credentialTypes: ['wit'] }),
    (i) => x509Request(i),
    'provisioning.not_entitled',
  ],
  [
    'a profile that is off',
    entry({ profile: 's2s-03-compat' }),
    (i) => i.issueWit({ ...request, publicKey: newKey() }),
    'provisioning.profile_disabled',
  ],
  ['no audience', entry(), (i) => i.issueJwt({ ...request, audiences: [] }), 'provisioning.missing_audience'],
  ['an empty audience', entry(), (i) => i.issueJwt({ ...request, audiences: [''] }), 'provisioning.missing_audience'],
  [
    'an RSA key of 1024 bits',
    entry(),
    (i) =>
      x509Request(i, { publicKey: createPublicKey(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey) }),
    'x509.weak_key',
  ],
  [
    'an Ed25519 key in a WIT-SVID',
    entry(),
    (i) => i.issueWit({ ...request, publicKey: WorkloadKey.generate('Ed25519').publicKey }),
    'credential.forbidden_confirmation_alg',
  ],
]

for (const [what, registered, ask, code] of refusals) {
  test(`a request with ${what} is refused and recorded`, async () => {
    const { issuer, records } = world({}, registered)
    await assert.rejects(ask(issuer), { code })
    assert.deepEqual(
      records.map(({ type, decision, reasons }) => [type, decision, reasons]),
      [['provisioning.refused', 'deny', [code]]],
    )
  })
}

test('nothing is issued by a CA that has ended', async () => {
  const { issuer } = world({ clock: () => now + CA_LIFETIME })
  await assert.rejects(x509Request(issuer), { code: 'provisioning.authority_expired' })
})

test('a deleted entry issues nothing more', async () => {
  const { issuer, entries } = world()
  await x509Request(issuer)
  entries.delete('bot')
  await assert.rejects(x509Request(issuer), { code: 'provisioning.entry_not_found' })
})

// [monitoring.log.01] [monitoring.log.08]
test('without the record there is no credential, and no other answer either', async () => {
  const failing: Observer = { record: () => Promise.reject(new Error('disk full')) }
  const { issuer } = world({ observer: failing })
  await assert.rejects(x509Request(issuer), { message: 'disk full' })
  await assert.rejects(issuer.issueWit({ ...request, publicKey: newKey() }), { message: 'disk full' })
  await assert.rejects(issuer.issueJwt({ ...request, audiences: ['a'] }), { message: 'disk full' })
  await assert.rejects(x509Request(issuer, { entryId: 'gone' }), { message: 'disk full' })
})

test('no record has a token, a certificate or a private key in it', async () => {
  const { issuer, records } = world()
  const { token } = await issuer.issueWit({ ...request, publicKey: newKey() })
  const jwtSvid = await issuer.issueJwt({ ...request, audiences: ['a'] })
  const text = JSON.stringify(records)
  for (const secret of [token, jwtSvid.token]) {
    for (const part of secret.split('.')) assert.ok(!text.includes(part))
  }
})

test('an entry that asks for evidence gives nothing to whoever shows its selectors alone', async () => {
  for (const member of ['attestation', 'manifest']) {
    const { issuer, entries } = world({}, entry({ [member]: {}, revision: 3 }))
    const asked = { ...request, publicKey: newKey() }
    for (const appraisedRevision of [undefined, 2, 4]) {
      const appraised = appraisedRevision === undefined ? {} : { appraisedRevision }
      await assert.rejects(issuer.issueWit({ ...asked, ...appraised }), { code: 'provisioning.not_entitled' })
      await assert.rejects(issuer.issueX509({ ...asked, ...appraised }), { code: 'provisioning.not_entitled' })
      await assert.rejects(issuer.issueJwt({ ...request, ...appraised, audiences: ['a'] }), {
        code: 'provisioning.not_entitled',
      })
    }
    await issuer.issueWit({ ...asked, appraisedRevision: 3 })
    // The policy that was passed is not the one that holds now.
    entries.set('bot', entry({ [member]: {}, revision: 4 }))
    await assert.rejects(issuer.issueWit({ ...asked, appraisedRevision: 3 }), { code: 'provisioning.not_entitled' })
  }
})
