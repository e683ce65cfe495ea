import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from 'aims/base'
import { decodeUnverifiedX509Svid, verifyJwtSvid, verifyWit, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type AdminClient, adminClient } from 'aims-server'
import { aims } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { startTrustDomain, type TestTrustDomain } from '../support/trust-domain.ts'

const trustDomain = parseTrustDomain('example.com')
const audience = 'https://api.example.com'
let domain: TestTrustDomain
let admin: AdminClient
let workload: Workload

before(async () => {
  // A taint is answered within a sixth of it.
  domain = await startTrustDomain({ 'bundle.refreshHint': 6 })
  admin = adminClient(domain.api)
  const selectors = [`unix:uid:${process.geteuid?.()}`]
  await admin.createEntry({ spiffeId: 'spiffe://example.com/agent/bot', selectors, owner: 'team', purpose: 'calendar' })
  workload = await connectWorkload({ address: domain.address, backoff: 20, maxBackoff: 50 })
})
after(async () => {
  workload?.close()
  await domain?.close()
})

const x509 = (): readonly Uint8Array[] => workload.x509.x509Svid().certificates
const signerOf = (chain: readonly Uint8Array[]): string =>
  Buffer.from(decodeUnverifiedX509Svid(chain).leaf.extensions.authorityKeyId ?? []).toString('hex')
const authorities = (): number => workload.bundles.bundleFor(trustDomain)?.x509Authorities.length ?? 0
const verify = (chain: readonly Uint8Array[]) =>
  verifyX509Svid(chain, { bundles: workload.bundles, now: systemClock() })
const idOf = async (purpose: string, state: string): Promise<string> =>
  (await admin.listKeys()).find((key) => key.purpose === purpose && key.state === state)?.id ?? 'none'

// [credentials.bundle.16] [provisioning.authorities.01] [provisioning.authorities.03]
test('a CA is prepared, activated, tainted and revoked, and a workload follows over the Workload API', async () => {
  const old = x509()
  await admin.stepAuthority({ step: 'prepare', purpose: 'x509-ca' })
  await eventually('the successor in the bundle of the workload', () => authorities() === 2)
  await assert.rejects(admin.stepAuthority({ step: 'activate', purpose: 'x509-ca' }), {
    code: 'provisioning.authority_unpublished',
    message: /keys\.publishAhead is over in (?:2\d\d|300) s/,
  })
  await admin.stepAuthority({ step: 'activate', purpose: 'x509-ca', force: true })
  await sleep(200)
  assert.deepEqual(x509(), old, 'an activation alone renews nothing')

  const id = await idOf('x509-ca', 'retired')
  await admin.stepAuthority({ step: 'taint', purpose: 'x509-ca', id })
  await eventually('a new SVID of the new CA', () => signerOf(x509()) !== signerOf(old))
  assert.equal(authorities(), 2)
  verify(x509())
  verify(old)

  await admin.stepAuthority({ step: 'revoke', purpose: 'x509-ca', id })
  await eventually('the old CA out of the bundle of the workload', () => authorities() === 1)
  verify(x509())
  assert.throws(() => verify(old), { code: 'x509.untrusted' })
  await eventually('the SVID of the server itself under the new CA', async () => {
    const issued = await admin.listRecords({ type: 'provisioning.issued', agent: 'spiffe://example.com/aims/server' })
    return issued.length === 2
  })
})

// [provisioning.authorities.02]
test('a WIT and a JWT-SVID of a tainted key are replaced, and refused after the revocation', async () => {
  const wit = workload.wit.wit()
  const jwt = await workload.jwt.jwtSvid(audience)
  for (const purpose of ['wit', 'jwt'] as const) {
    await admin.stepAuthority({ step: 'prepare', purpose })
    await admin.stepAuthority({ step: 'activate', purpose, force: true })
    await admin.stepAuthority({ step: 'taint', purpose, id: await idOf(purpose, 'retired') })
  }
  await eventually('a new WIT', () => workload.wit.wit().token !== wit.token)
  const { bundles } = workload
  const now = systemClock()
  verifyWit(wit.token, { profile: 'wimse', bundles, now })
  using another = await connectWorkload({ address: domain.address })
  await eventually('a new JWT-SVID', async () => (await another.jwt.jwtSvid(audience)).token !== jwt.token)
  for (const purpose of ['wit', 'jwt'] as const) {
    await admin.stepAuthority({ step: 'revoke', purpose, id: await idOf(purpose, 'tainted') })
  }
  await eventually('the old keys out of the bundle', () => {
    const bundle = bundles.bundleFor(trustDomain)
    return bundle?.witAuthorities.size === 1 && bundle.jwtAuthorities.size === 1
  })
  verifyWit(workload.wit.wit().token, { profile: 'wimse', bundles, now })
  assert.throws(() => verifyWit(wit.token, { profile: 'wimse', bundles, now }), { code: 'credential.unknown_key' })
  assert.throws(() => verifyJwtSvid(jwt.token, { bundles, now, audience }), { code: 'credential.unknown_key' })
})

test('the same from the command line: what is out of order is refused with its code', async () => {
  const socket = ['--socket', join(domain.directory, 'data', 'api.sock')]
  const run = async (...args: string[]) => {
    const { exit, results } = await aims('authority', ...args, ...socket)
    return [exit, results[0]?.code ?? (results[0]?.authority as { state?: string } | undefined)?.state]
  }
  const wit = ['--purpose', 'wit']
  assert.deepEqual(await run('activate', ...wit), [1, 'provisioning.authority_not_found'])
  assert.deepEqual(await run('prepare', ...wit), [0, 'prepared'])
  assert.deepEqual(await run('prepare', ...wit), [1, 'provisioning.authority_prepared'])
  assert.deepEqual(await run('activate', ...wit), [1, 'provisioning.authority_unpublished'])
  assert.deepEqual(await run('activate', ...wit, '--force-unpublished'), [0, 'active'])
  assert.deepEqual(await run('revoke', ...wit, '--id', await idOf('wit', 'active')), [
    1,
    'provisioning.authority_active',
  ])
  const id = ['--id', await idOf('wit', 'retired')]
  assert.deepEqual(await run('revoke', ...wit, ...id), [1, 'provisioning.authority_state'])
  assert.deepEqual(await run('taint', ...wit, ...id), [0, 'tainted'])
  assert.deepEqual(await run('revoke', ...wit, ...id), [0, 'revoked'])
  assert.deepEqual(await run('taint', '--purpose', 'audit-log', ...id), [2, 'operation.usage'])
  const { results } = await aims('authority', 'list', ...wit, ...socket)
  assert.equal((results[0]?.authorities as readonly unknown[] | undefined)?.length, 1)
})
