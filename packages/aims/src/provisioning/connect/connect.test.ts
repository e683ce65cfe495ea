import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { testCa } from '../../../../../test/support/x509-identities.ts'
import { serializeBundle } from '../../credentials/bundle/serialize.ts'
import { emptyBundle } from '../../credentials/bundle/source.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { collectorsOf, FOUND_TYPES, findCollectors } from './collectors.ts'
import { type ConnectOptions, connect } from './connect.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-connect-'))
after(() => rmSync(root, { recursive: true }))
const absent = join(root, 'absent.sock')
const file = (name: string, content: string): string => {
  writeFileSync(join(root, name), content)
  return join(root, name)
}
const bundle = file('bundle.json', serializeBundle((await testCa()).bundle))
const none = file('none.json', serializeBundle(emptyBundle(parseTrustDomain('example.com'))))
const github = { ACTIONS_ID_TOKEN_REQUEST_URL: 'http://127.0.0.1:1/', ACTIONS_ID_TOKEN_REQUEST_TOKEN: 't' }
// Nobody listens there: whoever gets this far has chosen, and is refused for it at once.
const SERVER = 'https://127.0.0.1:1'
const QUICK = { readyTimeout: 0, agentSocket: absent, onWaiting: () => undefined }

describe('where nothing fits', () => {
  const rows: readonly (readonly [string, ConnectOptions, RegExp])[] = [
    ['nothing is set', { env: {} }, /SPIFFE_ENDPOINT_SOCKET and AIMS_SERVER are not set.*absent\.sock.*start an agent/],
    ['variables are empty', { env: { SPIFFE_ENDPOINT_SOCKET: '', AIMS_SERVER: '' } }, /not set/],
    ['a platform without a server', { env: { ...github } }, /AIMS_SERVER/],
    ['a server without a bundle', { env: { AIMS_SERVER: SERVER, ...github } }, /AIMS_BUNDLE.*aims bundle show/],
    ['an empty bundle path', { env: { AIMS_SERVER: SERVER, AIMS_BUNDLE: '', ...github } }, /AIMS_BUNDLE/],
    [
      'a bundle that is not there',
      { env: { AIMS_SERVER: SERVER, AIMS_BUNDLE: absent, ...github } },
      /absent\.sock is not there.*aims bundle show/,
    ],
    ['evidence without a server', { env: {}, evidence: ['github'] }, /set AIMS_SERVER/],
    [
      'a server, and no evidence',
      { env: { AIMS_SERVER: SERVER, AIMS_BUNDLE: bundle } },
      /none of github, kubernetes.*AIMS_EVIDENCE/,
    ],
    [
      'a bundle that does not say whose it is',
      { env: { AIMS_SERVER: SERVER, AIMS_BUNDLE: none, ...github } },
      /set AIMS_TRUST_DOMAIN/,
    ],
  ]
  for (const [what, options, message] of rows) {
    test(`${what}: one error says what was tried and what to do`, () =>
      assert.rejects(connect({ ...QUICK, ...options }), { code: 'provisioning.nothing_to_connect', message }))
  }

  test('evidence that cannot be collected here is named', async () => {
    const env = { AIMS_SERVER: SERVER, AIMS_BUNDLE: bundle }
    for (const [evidence, message] of [
      ['gihub', /names no type/],
      ['sgx', /a collector of your own/],
      ['docker', /what an agent sees.*SPIFFE_ENDPOINT_SOCKET/],
      ['unix', /what an agent sees.*SPIFFE_ENDPOINT_SOCKET/],
      ['join-token', /AIMS_JOIN_TOKEN_FILE is not set/],
      ['x509-pop', /AIMS_MACHINE_CERTIFICATE is not set/],
      ['aws-sts', /AWS_REGION is not set/],
      ['azure-msi', /AIMS_AZURE_RESOURCE is not set/],
    ] as const) {
      const named = connect({ ...QUICK, env: { ...env, AIMS_EVIDENCE: evidence } })
      await assert.rejects(named, { code: 'provisioning.no_evidence', message })
    }
  })

  test('options that contradict each other are misuse', () =>
    assert.rejects(connect({ ...QUICK, env: {}, address: 'unix:///x', server: SERVER }), TypeError))
})

describe('the order', () => {
  const env = { AIMS_SERVER: SERVER, AIMS_BUNDLE: bundle, ...github }
  const unavailable = { code: 'provisioning.endpoint_unavailable' }
  const unreachable = { code: 'operation.server_unreachable' }
  const workloadApi = { ...QUICK, readyTimeout: 200 }

  test('an address in the options comes before all', () =>
    assert.rejects(
      connect({ ...workloadApi, address: `unix://${absent}`, env: { ...env, SPIFFE_ENDPOINT_SOCKET: 'tcp://x' } }),
      unavailable,
    ))

  test('a server in the options comes before SPIFFE_ENDPOINT_SOCKET', () =>
    assert.rejects(
      connect({ ...QUICK, server: SERVER, env: { ...env, SPIFFE_ENDPOINT_SOCKET: 'tcp://x' } }),
      unreachable,
    ))

  test('SPIFFE_ENDPOINT_SOCKET comes before AIMS_SERVER, also when it is of no use', async () => {
    await assert.rejects(connect({ ...workloadApi, env: { ...env, SPIFFE_ENDPOINT_SOCKET: `unix://${absent}` } }), {
      code: 'provisioning.endpoint_unavailable',
    })
    const malformed = connect({ ...workloadApi, env: { ...env, SPIFFE_ENDPOINT_SOCKET: 'tcp://x' } })
    await assert.rejects(malformed, { code: 'provisioning.invalid_endpoint' })
  })

  test('the default socket of an agent comes before AIMS_SERVER when it is there, and is a socket', async () => {
    const agentSocket = join(root, 'a.sock')
    const agent = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => agent.listen(agentSocket, resolve))
    try {
      await assert.rejects(connect({ ...workloadApi, agentSocket, env }), unavailable)
    } finally {
      agent.close()
    }
    await assert.rejects(connect({ ...QUICK, agentSocket: bundle, env }), unreachable)
  })

  test('AIMS_SERVER comes last', () => assert.rejects(connect({ ...QUICK, env }), unreachable))
})

describe('evidence', () => {
  test('that the environment shows is found, and no other', () => {
    const found = (env: object): readonly string[] => findCollectors({ ...env }).map(({ type }) => type)
    assert.deepEqual(FOUND_TYPES, ['github', 'kubernetes', 'x509-pop'])
    assert.deepEqual(found({}), [])
    assert.deepEqual(found({ ...github, ACTIONS_ID_TOKEN_REQUEST_TOKEN: '' }), [])
    assert.deepEqual(found(github), ['github'])
    assert.deepEqual(found({ KUBERNETES_SERVICE_HOST: '10.0.0.1' }), ['kubernetes'])
    const machine = { AIMS_MACHINE_CERTIFICATE: '/etc/aims/machine.pem', AIMS_MACHINE_KEY: '/etc/aims/machine.key' }
    assert.deepEqual(found(machine), ['x509-pop'])
    assert.deepEqual(found({ ...machine, AIMS_MACHINE_KEY: '' }), [])
    assert.deepEqual(found({ ...machine, ...github }), ['github', 'x509-pop'])
    // A token is good once: it is not spent unless somebody says so.
    assert.deepEqual(found({ AIMS_JOIN_TOKEN: 't' }), [])
    // Clouds set these, too: their metadata services are not asked for it.
    assert.deepEqual(found({ AWS_REGION: 'eu-central-1', GOOGLE_CLOUD_PROJECT: 'p', AZURE_CLIENT_ID: 'c' }), [])
  })

  test('that is named is collected, in that order', () => {
    const types = collectorsOf(['gcp', 'aws-iid', 'tpm', 'tdx', 'azure'], {}).map(({ type }) => type)
    assert.deepEqual(types, ['gcp', 'aws-iid', 'tpm', 'tdx', 'azure'])
  })
})
