import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { apiClient, encodePem, type JsonValue, parseJsonObject } from 'aims/base'
import { parseBundle, serializeBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { fetchBundle, parseFederationRelationship } from 'aims/provisioning'
import { federatedDomain, network } from '../../../../test/support/bundle-endpoint.ts'
import { extendedUsage, makeCertificate, makeRoot, newKey, subjectAltDns } from '../../../../test/support/vendor-pki.ts'
import { adminClient } from '../admin-client.ts'
import { ANONYMOUS } from '../callers.ts'
import { loadConfig } from '../config/config.ts'
import { createHandler } from '../http/handler.ts'
import { bundleRoute } from '../routes/bundle.ts'
import { type RunningServer, startServer } from '../server.ts'
import { openWebEndpoint } from './web-endpoint.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-endpoint-'))
after(() => rmSync(root, { recursive: true }))
const trustDomain = parseTrustDomain('example.com')
const webRoot = makeRoot('Endpoint Root', { key: newKey('P-256') })

async function start(change: { readonly [key: string]: JsonValue } = {}, name = 'data'): Promise<RunningServer> {
  const dataDirectory = join(root, name)
  const overrides = { trustDomain, dataDirectory, 'listen.port': 0, 'api.socket': join(dataDirectory, 's'), ...change }
  return startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
}

function ask(
  port: number,
  method: string,
  path = '/v1/bundle',
): Promise<{ status: number; type: string; allow: string; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, rejectUnauthorized: false, agent: false } as const
    const sent = request(options, async (response) => {
      let body = ''
      for await (const chunk of response) body += chunk
      const { 'content-type': type = '', allow = '' } = response.headers
      resolve({ status: response.statusCode ?? 0, type, allow, body })
    })
    sent.on('error', reject)
    sent.end()
  })
}

test('the bundle is given to everybody who asks with GET, and with nothing else [provisioning.federation.10]', async () => {
  const server = await start()
  try {
    const { status, type, body } = await ask(server.port, 'GET')
    assert.deepEqual([status, type], [200, 'application/json'])
    const { bundle } = parseBundle(body, trustDomain)
    assert.ok((bundle.sequence ?? 0n) > 0n)
    assert.equal(bundle.refreshHint, 60)
    assert.equal(bundle.witAuthorities.size, 0)
    for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH']) {
      const refused = await ask(server.port, method)
      assert.deepEqual([method, refused.status, refused.allow], [method, 405, 'GET'])
    }
    // With the SVID of the server: what a client with https_spiffe asks for.
    const relationship = parseFederationRelationship({
      trustDomain,
      url: `https://127.0.0.1:${server.port}/v1/bundle?include=wit-svid`,
      profile: 'https_spiffe',
      endpointSpiffeId: 'spiffe://example.com/aims/server',
      bundle: body,
      networks: ['127.0.0.0/8'],
    })
    const fetched = await fetchBundle(relationship, { clock: () => Date.now() / 1000 })
    assert.equal(fetched.bundle.witAuthorities.size, 1)
  } finally {
    await server.close()
  }
})

test('a source that fails is a fault of the server, whatever its reason', async () => {
  const failures: unknown[] = []
  const source = {
    bundle: () => {
      throw new Error('no keys')
    },
  }
  const handler = createHandler({
    routes: [bundleRoute(source)],
    entrance: 'https',
    identify: () => ANONYMOUS,
    limit: () => undefined,
    allowedHosts: undefined,
    refused: async () => undefined,
    answered: () => undefined,
    failed: (error) => failures.push(error),
    stopping: new AbortController().signal,
  })
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/v1/bundle`)
  assert.equal(response.status, 500)
  assert.equal(parseJsonObject(await response.text()).code, 'operation.internal')
  assert.equal(failures.length, 1)
  server.close()
})

function writeCertificate(name: string): void {
  const { der, key } = makeCertificate({
    subject: name,
    issuer: webRoot,
    key: newKey('P-256'),
    extensions: [subjectAltDns(name), extendedUsage('1.3.6.1.5.5.7.3.1')],
  })
  writeFileSync(join(root, 'web.pem'), encodePem('CERTIFICATE', der))
  writeFileSync(join(root, 'web.key'), key.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
}

test('the bundle is served with a certificate of the web where the configuration says so, and nothing else is', async () => {
  writeCertificate('bundles.example.com')
  const files = { 'bundle.web.certificateFile': join(root, 'web.pem'), 'bundle.web.keyFile': join(root, 'web.key') }
  const server = await start({ 'bundle.web.port': 0, 'bundle.web.host': '127.0.0.1', ...files }, 'web')
  try {
    const port = server.webPort ?? 0
    assert.equal((await ask(port, 'POST')).status, 405)
    assert.equal((await ask(port, 'GET', '/v1/status')).status, 404)
    assert.equal((await ask(port, 'GET', '/v1/attestation/types')).status, 404)
    const relationship = parseFederationRelationship({
      trustDomain,
      url: 'https://bundles.example.com/v1/bundle?include=wit-svid',
      profile: 'https_web',
      authorities: encodePem('CERTIFICATE', webRoot.der),
    })
    const net = {
      ...network({}),
      connect: () => connect({ host: '127.0.0.1', port }),
    }
    const { bundle } = await fetchBundle(relationship, {
      clock: () => Date.now() / 1000,
      network: { ...net, resolve: async () => ['93.184.215.14'] },
    })
    assert.equal(bundle.trustDomain, 'example.com')
    assert.equal(bundle.witAuthorities.size, 1)
  } finally {
    await server.close()
  }
  await assert.rejects(start({ 'bundle.web.port': 0 }, 'web'), { code: 'operation.config_invalid' })
  const missing = { ...files, 'bundle.web.keyFile': join(root, 'none.key') }
  await assert.rejects(start({ 'bundle.web.port': 0, ...missing }, 'web'), { code: 'operation.config_invalid' })
  // A key that is not that of the certificate.
  const key = newKey('P-256').privateKey.export({ type: 'pkcs8', format: 'pem' })
  writeFileSync(join(root, 'web.key'), key)
  await assert.rejects(start({ 'bundle.web.port': 0, ...files }, 'web'), { code: 'operation.config_invalid' })
  writeCertificate('bundles.example.com')
  chmodSync(join(root, 'web.key'), 0o640)
  await assert.rejects(start({ 'bundle.web.port': 0, ...files }, 'web'), { code: 'operation.key_file_mode' })
  chmodSync(join(root, 'web.key'), 0o600)
})

test('a certificate of the web is exchanged when its files change, and kept while they do not fit', async () => {
  writeCertificate('bundles.example.com')
  const overrides = {
    trustDomain,
    'bundle.web.port': 0,
    'bundle.web.host': '127.0.0.1',
    'bundle.web.certificateFile': join(root, 'web.pem'),
    'bundle.web.keyFile': join(root, 'web.key'),
  }
  const endpoint = await openWebEndpoint(await loadConfig({ env: {}, overrides }), (_request, response) =>
    response.end(),
  )
  assert.ok(endpoint !== undefined)
  const serial = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port: endpoint.port, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.end()
      })
      socket.on('error', reject)
    })
  const first = await serial()
  await endpoint.reload()
  assert.equal(await serial(), first)
  writeFileSync(join(root, 'web.key'), newKey('P-256').privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await assert.rejects(endpoint.reload())
  assert.equal(await serial(), first)
  writeCertificate('bundles.example.com')
  await endpoint.reload()
  assert.notEqual(await serial(), first)
  endpoint.server.close()
})

test('relationships of the configuration begin, begin anew and end with it', async () => {
  const partner = await federatedDomain('partner.example')
  const file = join(root, 'partner.json')
  writeFileSync(file, serializeBundle(partner.bundle))
  const one = {
    url: 'https://127.0.0.1:1/v1/bundle',
    profile: 'https_spiffe',
    endpointSpiffeId: 'spiffe://partner.example/aims/server',
    bundleFile: file,
  }
  const withServer = async (federation: JsonValue, work: (admin: ReturnType<typeof adminClient>) => Promise<void>) => {
    const server = await start({ federation }, 'configured')
    const client = apiClient({ socketPath: server.socketPath })
    try {
      await work(adminClient(client))
    } finally {
      client.close()
      await server.close()
    }
  }
  const typesOf = async (admin: ReturnType<typeof adminClient>): Promise<readonly string[]> =>
    (await admin.listRecords({ limit: 100 }))
      .map(({ type }) => type)
      .filter((type) => type.startsWith('provisioning.federation'))

  await withServer({ 'partner.example': one }, async (admin) => {
    const [status] = await admin.listRelationships()
    assert.deepEqual([status?.trustDomain, status?.origin, status?.keys.x509], ['partner.example', 'configuration', 1])
    await assert.rejects(admin.endRelationship('partner.example'), { code: 'provisioning.federation_configured' })
    const map = await admin.bundleMap()
    assert.deepEqual(Object.keys(map.trust_domains as object), ['example.com', 'partner.example'])
    assert.equal((await admin.federatedBundle('partner.example')).spiffe_sequence, 5)
    await assert.rejects(admin.federatedBundle('other.example'), { code: 'provisioning.federation_not_found' })
    // Loopback is no public address, and no network was named.
    assert.equal((await admin.refreshRelationship('partner.example')).lastError, 'outbound.address_refused')
  })
  await withServer({ 'partner.example': one }, async (admin) => {
    assert.deepEqual(await typesOf(admin), ['provisioning.federation-set'])
    const web = { url: 'https://other.example/bundle', profile: 'https_web' } as const
    assert.equal((await admin.setRelationship('other.example', web)).origin, 'api')
  })
  await withServer({ 'partner.example': { ...one, redirects: false } }, async (admin) => {
    assert.deepEqual(
      (await admin.listRelationships()).map(({ redirects }) => redirects),
      [true, false],
    )
  })
  await withServer({}, async (admin) => {
    assert.deepEqual(
      (await admin.listRelationships()).map(({ trustDomain: name }) => name),
      ['other.example'],
    )
    assert.equal((await typesOf(admin))[0], 'provisioning.federation-ended')
    await admin.endRelationship('other.example')
    assert.deepEqual(await admin.listRelationships(), [])
  })
  for (const federation of [
    { 'partner.example': { ...one, bundleFile: join(root, 'none.json') } },
    { 'partner.example': { ...one, url: 'http://partner.example/' } },
    { 'partner.example': { ...one, url2: '' } },
    { 'Partner.example': one },
    { 'example.com': one },
  ]) {
    await assert.rejects(start({ federation }, 'configured'), { code: 'operation.config_invalid' })
  }
})
