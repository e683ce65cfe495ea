// connect() by what a machine of one's own has: a certificate, or a join token.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ApiClient, apiClient, isJsonObject } from 'aims/base'
import { type Connected, connect } from 'aims/provisioning'
import { adminClient, loadConfig, type RunningServer, startServer } from 'aims-server'
import { makeCertificate, makeRoot } from '../support/vendor-pki.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-connect-machines-'))
const machines = makeRoot('Machine CA')
let server: RunningServer
let api: ApiClient

function machine(name: string, issuer = machines): { readonly certificate: string; readonly key: string } {
  const { pem, key } = makeCertificate({ subject: name, issuer })
  const paths = { certificate: join(root, `${name}.pem`), key: join(root, `${name}.key`) }
  writeFileSync(paths.certificate, pem)
  writeFileSync(paths.key, key.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return paths
}

before(async () => {
  writeFileSync(join(root, 'machines.pem'), machines.pem)
  const overrides = {
    trustDomain: 'example.com',
    dataDirectory: join(root, 'data'),
    'listen.port': 0,
    attestation: { 'x509-pop': { authorities: join(root, 'machines.pem') } },
  }
  server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  writeFileSync(join(root, 'bundle.json'), server.bundle())
  api = apiClient({ socketPath: server.socketPath })
  const admin = adminClient(api)
  const who = { owner: 'team', purpose: 'runs at night' }
  await admin.createEntry({
    ...who,
    spiffeId: 'spiffe://example.com/agent/web',
    selectors: ['x509-pop:subject-cn:web-1'],
  })
  await admin.createEntry({
    ...who,
    spiffeId: 'spiffe://example.com/agent/night',
    selectors: ['join-token:name:night'],
  })
})
after(async () => {
  api.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const connectWith = (env: { readonly [name: string]: string }): Promise<Connected> =>
  connect({
    agentSocket: join(root, 'no-agent.sock'),
    readyTimeout: 30_000,
    env: { AIMS_SERVER: `https://127.0.0.1:${server.port}`, AIMS_BUNDLE: join(root, 'bundle.json'), ...env },
  })
const certified = ({ certificate, key }: ReturnType<typeof machine>): { readonly [name: string]: string } => ({
  AIMS_MACHINE_CERTIFICATE: certificate,
  AIMS_MACHINE_KEY: key,
})

test('a certificate of the machine is found without a word, and the result says that it was used', async () => {
  using me = await connectWith(certified(machine('web-1')))
  assert.equal(me.spiffeId, 'spiffe://example.com/agent/web')
  assert.deepEqual(me.via.kind === 'evidence' && me.via.types, ['x509-pop'])
})

test('a join token is used when it is named, once', async () => {
  const answer = await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name: 'night' } })
  const token = isJsonObject(answer) ? String(answer.token) : ''
  const env = { AIMS_JOIN_TOKEN: token, AIMS_EVIDENCE: 'join-token' }
  await assert.rejects(connectWith({ AIMS_JOIN_TOKEN: token }), { code: 'provisioning.nothing_to_connect' })
  using me = await connectWith(env)
  assert.equal(me.spiffeId, 'spiffe://example.com/agent/night')
  assert.deepEqual(me.via.kind === 'evidence' && me.via.types, ['join-token'])
  await assert.rejects(connectWith(env), { code: 'attestation.token_unknown' })
})

test('a join token for an agent is no identity of a workload', async () => {
  const body = { name: 'night', for: 'agent' }
  const answer = await api.send({ method: 'POST', path: '/v1/join-tokens', body })
  const token = isJsonObject(answer) ? String(answer.token) : ''
  const env = { AIMS_JOIN_TOKEN: token, AIMS_EVIDENCE: 'join-token' }
  await assert.rejects(connectWith(env), { code: 'attestation.token_other_use' })
})

test('what a machine cannot show is refused', async () => {
  const rows: readonly (readonly [string, { readonly [name: string]: string }, string])[] = [
    ['a certificate of another CA', certified(machine('web-2', makeRoot('Other CA'))), 'attestation.untrusted'],
    ['a certificate that no entry fits', certified(machine('web-3')), 'provisioning.no_identity'],
    [
      'the key of another certificate',
      certified({ certificate: machine('web-4').certificate, key: machine('web-5').key }),
      'attestation.binding_mismatch',
    ],
    [
      'a token that nobody made',
      { AIMS_JOIN_TOKEN: `aims_join_${'A'.repeat(43)}`, AIMS_EVIDENCE: 'join-token' },
      'attestation.token_unknown',
    ],
    [
      'a certificate that is not there',
      { ...certified(machine('web-6')), AIMS_MACHINE_CERTIFICATE: '/absent' },
      'attestation.collection_failed',
    ],
  ]
  for (const [what, env, code] of rows) await assert.rejects(connectWith(env), { code }, what)
})
