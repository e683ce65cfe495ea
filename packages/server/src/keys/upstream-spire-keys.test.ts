import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type AimsErrorCode, spkiBytes, WorkloadKey } from 'aims/base'
import { bundleSource, issueCaCertificate, issueX509Svid, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import type { SpireBundle, SpireJwtKey } from 'aims/provisioning'
import { authoritiesOptions } from '../../../../test/support/authorities.ts'
import { basicConstraints, buildCa } from '../../../../test/support/certificates.ts'
import { type Certify, FakeSpire, fakeSpireAgent } from '../../../../test/support/fake-spire.ts'
import { testCa } from '../../../../test/support/x509-identities.ts'
import { PUBLISHED } from '../store/neighbours.ts'
import { openAuthorities } from './authorities.ts'
import type { Authorities, AuthoritiesOptions } from './authority-types.ts'
import { configuredUpstream } from './upstream.ts'

// A SPIRE server that does what it is asked, and the keys of a server below it.
const trustDomain = parseTrustDomain('example.com')
const ca = await testCa()
const START = Math.floor(Date.now() / 1000)
const dir = mkdtempSync(join(tmpdir(), 'aims-spire-keys-'))
const workload = `unix://${join(dir, 'workload.sock')}`
const narrow = buildCa({
  subject: 'root',
  extensions: { basicConstraints: basicConstraints(true, 0) },
  notBefore: START - 60,
  notAfter: START + 3600,
})
const roots = [...ca.bundle.x509Authorities, narrow.der]
const api = await fakeSpireAgent(workload, await ca.svid('/servers/east'), ca.bundle.x509Authorities)
const spire = await FakeSpire.start(await ca.svid('/spire/server'), ca.bundle.x509Authorities)
after(() => {
  spire.stop()
  api.stop()
  rmSync(dir, { recursive: true })
})
const own = WorkloadKey.generate()
const BOT = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c1' }

interface Site {
  now: number
  readonly options: AuthoritiesOptions
  readonly above: Map<string, SpireJwtKey>
  open(): Promise<Authorities>
}

function site(): Site {
  const clock = (): number => self.now
  const upstream = configuredUpstream({ spire: { server: spire.address, workload } }, trustDomain, clock)
  const self: Site = {
    now: START,
    above: spire.serve(ca),
    options: { ...authoritiesOptions(clock), upstream },
    open: () => openAuthorities(self.options),
  }
  return self
}
const kidsOf = (authorities: Authorities): readonly string[] =>
  [...authorities.bundle().jwtAuthorities.keys()].toSorted()
const activeJwt = (authorities: Authorities): string =>
  authorities.list().find(({ purpose, state }) => purpose === 'jwt' && state === 'active')?.thumbprint ?? 'none'
const foreignKey = (): SpireJwtKey => ({
  publicKey: spkiBytes(WorkloadKey.generate().publicKey),
  keyId: randomBytes(16).toString('hex'),
  expiresAt: START + 3600,
})

test('below SPIRE, SVIDs lead to its root, keys of JWT-SVIDs are there before they sign, and its own are taken over', async () => {
  const { above, open } = site()
  const theirs = foreignKey()
  above.set(theirs.keyId, theirs)
  const authorities = await open()
  await authorities.advance()
  const { publicKey } = WorkloadKey.generate()
  const spiffeId = parseWorkloadSpiffeId('spiffe://example.com/agent/bot')
  const request = { spiffeId, publicKey, notBefore: START - 10, notAfter: START + 100 }
  const { certificates } = await issueX509Svid(request, authorities.x509())
  assert.equal(certificates.length, 2)
  assert.equal(verifyX509Svid(certificates, { bundles: bundleSource(ca.bundle), now: START }).subject, spiffeId)
  const own = activeJwt(authorities)
  assert.deepEqual([...above.keys()].toSorted(), [own, theirs.keyId].toSorted())
  // Whatever it signs has ended when SPIRE forgets it.
  assert.equal(above.get(own)?.expiresAt, START + 1000 + 100 + 60)
  assert.deepEqual(kidsOf(authorities), [own, theirs.keyId].toSorted())
  assert.equal(authorities.bundle().witAuthorities.size, 1)

  const next = await authorities.prepare('jwt', actor)
  assert.ok(above.has(next.thumbprint), 'published before it signs')
  above.delete(theirs.keyId)
  spire.calls.length = 0
  await authorities.advance()
  assert.deepEqual(spire.calls, [], 'nothing is asked before the refresh hint is over')
})

test('a key that goes above goes below, and what is there already is not published again', async () => {
  const one = site()
  const theirs = foreignKey()
  one.above.set(theirs.keyId, theirs)
  const authorities = await one.open()
  await authorities.advance()
  one.above.delete(theirs.keyId)
  spire.calls.length = 0
  one.now += 61
  await authorities.advance()
  assert.deepEqual(
    spire.calls.map(({ method }) => method),
    ['getBundle'],
  )
  assert.deepEqual(kidsOf(authorities), [activeJwt(authorities)])
})

test('a revoked key stays above to its end, and is believed here no more, also after a restart and with SPIRE away', async () => {
  const one = site()
  const authorities = await one.open()
  const first = activeJwt(authorities)
  const [{ id = '' } = {}] = authorities.list().filter(({ thumbprint }) => thumbprint === first)
  await authorities.prepare('jwt', actor)
  await authorities.activate('jwt', actor, { force: true })
  await authorities.taint('jwt', id, actor)
  // From here on it does not answer.
  spire.answer('getBundle', 14)
  await authorities.revoke('jwt', id, actor)
  assert.deepEqual(kidsOf(authorities), [activeJwt(authorities)])
  await assert.rejects(authorities.advance(), { code: 'operation.upstream_unreachable' })
  assert.deepEqual(kidsOf(authorities), [activeJwt(authorities)])

  spire.serve(ca, one.above)
  assert.ok(one.above.has(first), 'SPIRE has it still')
  one.now += 61
  const again = await one.open()
  await again.advance()
  assert.deepEqual(kidsOf(again), [activeJwt(again)])
  // What SPIRE has forgotten need not be remembered.
  one.above.delete(first)
  one.now += 61
  await again.advance()
  assert.ok(!one.options.neighbours?.find(PUBLISHED)?.bundle.jwtAuthorities.has(first))
})

test('with SPIRE away, there is no first start; later keys are not made, and those that are there go on', async () => {
  const one = site()
  spire.answer('getBundle', 14)
  await assert.rejects(one.open(), { code: 'operation.upstream_unreachable' })
  spire.serve(ca, one.above)
  one.now += 31
  const authorities = await one.open()
  const before = authorities.list().map(({ id }) => id)
  spire.answer('getBundle', 14)
  one.now += 500
  await assert.rejects(authorities.advance(), { code: 'operation.upstream_unreachable' })
  assert.deepEqual(
    authorities.list().map(({ id }) => id),
    before,
  )
  const again = await one.open()
  assert.equal(activeJwt(again), activeJwt(authorities))
})

const issuer = { trustDomain, issuer: ca.authority, notBefore: START - 60 }
// CAs whose signatures are in order, and which are no use here.
for (const [what, code, certify] of [
  [
    'whose end is too near',
    'provisioning.upstream_expiring',
    async (subjectKey) => [await issueCaCertificate({ ...issuer, subjectKey, notAfter: START + 400 })],
  ],
  [
    'below one that may certify no others',
    'provisioning.upstream_unusable',
    async (publicKey, ttl) => {
      const key = { publicKey, privateKey: narrow.key.privateKey }
      const times = { notBefore: START - 60, notAfter: START + ttl }
      return [buildCa({ subject: 'below', issuer: narrow, key, ...times }).der]
    },
  ],
] as const satisfies readonly (readonly [string, AimsErrorCode, Certify])[]) {
  test(`a CA is not used: one ${what}`, async () => {
    const one = site()
    spire.serve({ ...ca, bundle: { ...ca.bundle, x509Authorities: roots } }, one.above, certify)
    await assert.rejects(one.open(), { code })
  })
}

test('a CA that is no use is asked for again after half a minute, and not all the time', async () => {
  const one = site()
  const authorities = await one.open()
  let orders = 0
  spire.serve(ca, one.above, async (subjectKey) => {
    orders += 1
    return [await issueCaCertificate({ ...issuer, subjectKey, notAfter: START + 600 })]
  })
  one.now += 500
  for (const [later, expected] of [
    [0, 1],
    [10, 1],
    [21, 2],
  ] as const) {
    one.now += later
    await assert.rejects(authorities.advance(), { code: 'provisioning.upstream_expiring' })
    assert.equal(orders, expected)
  }
  spire.serve(ca, one.above, async (subjectKey) => [
    await issueCaCertificate({ ...issuer, subjectKey, notAfter: START + 3000 }),
  ])
  one.now += 31
  await authorities.advance()
  assert.equal(authorities.list().filter(({ purpose }) => purpose === 'x509-ca').length, 2)
})

test('with SPIRE taken away, the next CA signs itself, and SPIRE is believed until the last CA below it has gone', async () => {
  const one = site()
  const theirs = foreignKey()
  one.above.set(theirs.keyId, theirs)
  await (await one.open()).advance()
  const { upstream: _, ...options } = one.options
  const alone = await openAuthorities(options)
  await alone.rotate('x509-ca', actor, { immediately: true })
  await alone.advance()
  assert.equal(alone.x509().chain.length, 0)
  assert.equal(alone.bundle().x509Authorities.length, 2)
  assert.ok(kidsOf(alone).includes(theirs.keyId))
  one.now += 200
  await alone.advance()
  await alone.advance()
  assert.deepEqual(kidsOf(alone), [activeJwt(alone)])
  assert.deepEqual(
    alone.bundle().x509Authorities.map((der) => Buffer.from(der)),
    [Buffer.from(alone.x509().certificate.raw)],
  )
})

test('a root that SPIRE has tainted is left at once: the next CA is below another, and what the old one signed is replaced', async () => {
  const one = site()
  const authorities = await one.open()
  const caKeys = (state: string) => authorities.list().filter((key) => key.purpose === 'x509-ca' && key.state === state)
  const [first] = caKeys('active')
  const next = await testCa('example.com')
  const both = { ...next, bundle: { ...ca.bundle, x509Authorities: [...roots, ...next.bundle.x509Authorities] } }
  const [old] = ca.bundle.x509Authorities
  assert.ok(old !== undefined)
  spire.tainted.add(old)
  // SPIRE goes on to sign with what it has tainted: that is no way out.
  spire.serve({ ...ca, bundle: both.bundle }, one.above)
  one.now += 61
  await assert.rejects(authorities.advance(), { code: 'operation.upstream_invalid' })
  assert.deepEqual(caKeys('active'), [first])
  // Now it signs with the next one.
  spire.serve(both, one.above)
  one.now += 31
  await authorities.advance()
  assert.deepEqual(
    caKeys('tainted').map(({ id }) => id),
    [first?.id],
  )
  assert.equal(caKeys('active').length, 1)
  assert.ok(!authorities.standing()['x509-ca'].includes(Buffer.from(ca.authority.keyId).toString('hex')))
  const bundles = bundleSource(next.bundle)
  const request = { spiffeId: BOT, publicKey: own.publicKey, notBefore: START, notAfter: START + 300 }
  const { certificates } = await issueX509Svid(request, authorities.x509())
  assert.equal(verifyX509Svid(certificates, { bundles, now: START + 10 }).subject, BOT)
  one.now += 61
  await authorities.advance()
  assert.equal(authorities.list().filter(({ purpose }) => purpose === 'x509-ca').length, 2, 'once, and not again')
  spire.tainted.clear()
})

const usable: SpireJwtKey = { publicKey: spkiBytes(own.publicKey), keyId: own.kid, expiresAt: START + 1000 }
// One row per bundle that is not the right one.
for (const [what, change] of [
  ['of another trust domain', { trustDomain: 'other.example' }],
  ['without an X.509 authority', { x509Authorities: [] }],
  [
    'with an X.509 authority that is no certificate',
    { x509Authorities: [{ asn1: Buffer.from('none'), tainted: false }] },
  ],
  ['without the key of this server', { jwtAuthorities: [] }],
  ['with another key under its name', { jwtAuthorities: [{ ...usable, publicKey: foreignKey().publicKey }] }],
  ['with a key that is none', { jwtAuthorities: [usable, { ...usable, keyId: 'x', publicKey: Buffer.from('none') }] }],
  ['with a key without a name', { jwtAuthorities: [usable, { ...foreignKey(), keyId: '' }] }],
  ['with two keys of one name', { jwtAuthorities: [usable, usable] }],
] as const satisfies readonly (readonly [string, Partial<SpireBundle>])[]) {
  test(`a bundle is refused: one ${what}`, async () => {
    const { options } = site()
    spire.answerBundle({
      trustDomain: 'example.com',
      x509Authorities: ca.bundle.x509Authorities.map((asn1) => ({ asn1, tainted: false })),
      jwtAuthorities: [usable],
      ...change,
    })
    const published = options.upstream?.publish?.([{ purpose: 'jwt', key: own, until: START + 1000 }])
    await assert.rejects(published ?? Promise.resolve(), { code: 'operation.upstream_invalid' })
  })
}

test('a bundle with a key of a type that is not supported is taken without it', async () => {
  const { options } = site()
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const odd = { ...foreignKey(), publicKey: publicKey.export({ type: 'spki', format: 'der' }) }
  spire.answerBundle({
    trustDomain: 'example.com',
    x509Authorities: ca.bundle.x509Authorities.map((asn1) => ({ asn1, tainted: false })),
    jwtAuthorities: [usable, odd],
  })
  const heard = await options.upstream?.publish?.([{ purpose: 'jwt', key: own, until: START + 1000 }])
  assert.ok(heard?.bundle.includes(own.kid) && !heard.bundle.includes(odd.keyId))
})
