import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type FakeCluster, startCluster } from '../../../../../test/support/kubernetes-api.ts'
import {
  answer,
  type RunningService,
  startAzure,
  startGcp,
  startGithub,
  startService,
} from '../../../../../test/support/platform-services.ts'
import {
  AZURE_MSI,
  attestToken,
  challenge,
  challenged,
  GCP,
  GITHUB,
  TOKEN_NOW,
} from '../../../../../test/support/platform-tokens.ts'
import { bindingAudience } from '../binding.ts'
import { collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import type { Exchange } from '../exchange.ts'
import { kubernetesVerifier } from '../kubernetes/kubernetes.ts'
import { azureMsiCollector } from './azure-msi.ts'
import type { EvidenceCollector } from './collector.ts'
import { gcpCollector } from './gcp.ts'
import { githubCollector } from './github.ts'
import { inClusterApi, kubernetesCollector } from './kubernetes.ts'
import { kubernetesApiClient, kubernetesExchange } from './kubernetes-api.ts'
import { metadataExchange } from './metadata.ts'

const exchange = metadataExchange()
const now = () => TOKEN_NOW
const root = mkdtempSync(join(tmpdir(), 'aims-collect-'))
const running: RunningService[] = []
const start = async <T extends RunningService>(service: Promise<T>): Promise<T> => {
  const one = await service
  running.push(one)
  return one
}
after(async () => {
  await Promise.all(running.map((service) => service.close()))
  rmSync(root, { recursive: true, force: true })
})

const collect = (collector: EvidenceCollector, audience = bindingAudience(collector.type, challenge, 'example.com')) =>
  collector.collect({ challenge, trustDomain: 'example.com', audience, now: TOKEN_NOW })
const collected = async (collector: EvidenceCollector): Promise<Uint8Array> => {
  const evidence = await collect(collector)
  assert.ok(evidence, 'nothing was collected')
  return evidence
}
const failed = { code: 'attestation.collection_failed' }
// A service that answers everything alike.
const dull = (status: number, body: string, headers: Record<string, string> = {}) =>
  start(startService((_, response) => answer(response, status, body, headers)))
const never: Exchange = () => Promise.reject(new Error('a request was sent'))

describe('a job on GitHub', () => {
  test('asks for a token for the audience of a challenge', async () => {
    const { address } = await start(startGithub(GITHUB, 'runner-secret', { now }))
    const env = {
      ACTIONS_ID_TOKEN_REQUEST_URL: `${address}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner-secret',
    }
    assert.equal((await attestToken(GITHUB, await collected(githubCollector({ env, exchange })))).binding, 'audience')
    const wrong = { ...env, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'guess' }
    await assert.rejects(collect(githubCollector({ env: wrong, exchange })), failed)
  })

  test('without the permission has no evidence', async () => {
    const env = { ACTIONS_ID_TOKEN_REQUEST_URL: 'https://runner.example/' }
    assert.equal(await collect(githubCollector({ env: {}, exchange: never })), undefined)
    assert.equal(await collect(githubCollector({ env, exchange: never })), undefined)
  })

  const token = 'runner-secret'
  for (const [what, url, secret] of [
    ['an address that is not https', 'http://runner.example/token', token],
    ['an address with a user', 'https://me@runner.example/token', token],
    ['no address', 'runner', token],
    ['a token that would be two headers', 'https://runner.example/', 'a\r\nb'],
  ] as const) {
    test(`sends nothing to ${what}`, async () => {
      const env = { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: secret }
      await assert.rejects(collect(githubCollector({ env, exchange: never })), (error: { cause?: unknown }) => {
        assert.deepEqual(error.cause, undefined)
        return true
      })
    })
  }

  for (const [what, status, body] of [
    ['an error', 500, '{"value":"a.b.c"}'],
    ['no JSON', 200, 'a.b.c'],
    ['no token', 200, '{"value":"a.b"}'],
    ['a list', 200, '[]'],
  ] as const) {
    test(`that is answered with ${what} fails`, async () => {
      const { address } = await dull(status, body)
      const env = { ACTIONS_ID_TOKEN_REQUEST_URL: address, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'x' }
      await assert.rejects(collect(githubCollector({ env, exchange })), failed)
    })
  }
})

describe('an instance of Google', () => {
  test('asks its metadata server for a full token', async () => {
    const { address: endpoint } = await start(startGcp(GCP, { now }))
    const evidence = await collected(gcpCollector({ exchange, endpoint }))
    assert.equal((await attestToken(GCP, evidence)).binding, 'audience')
  })
  test('does not believe an answer without the header of Google, or a redirect', async () => {
    for (const [status, headers] of [
      [200, {}],
      [302, { location: 'http://127.0.0.1:1/', 'metadata-flavor': 'Google' }],
    ] as const) {
      const { address: endpoint } = await dull(status, 'a.b.c', headers)
      await assert.rejects(collect(gcpCollector({ exchange, endpoint })), failed)
    }
  })
  test('cannot be led to another path by the name of its service account', async () => {
    const service = await dull(404, '')
    const collector = gcpCollector({ exchange, endpoint: service.address, serviceAccount: '../../secret?' })
    await assert.rejects(collect(collector, 'a b&c'), failed)
    assert.match(service.requests[0] ?? '', /service-accounts\/\.\.%2F\.\.%2Fsecret%3F\/identity\?audience=a\+b%26c&/)
  })
  test('is none where nobody answers', async () => {
    assert.equal(await collect(gcpCollector({ exchange: never })), undefined)
  })
})

describe('a resource of Azure', () => {
  const resource = 'api://aims.example.com'
  test('asks its metadata service for a token for us', async () => {
    const { address: endpoint } = await start(startAzure(AZURE_MSI, { now }))
    const evidence = await collected(azureMsiCollector({ resource, exchange, endpoint }))
    assert.equal((await attestToken(AZURE_MSI, evidence)).binding, 'none')
    assert.equal(await collect(azureMsiCollector({ resource, exchange: never })), undefined)
  })
  test('names a user-assigned identity', async () => {
    const service = await dull(400, '{"error":"invalid_request"}')
    const collector = azureMsiCollector({ resource, clientId: 'x&y', exchange, endpoint: service.address })
    await assert.rejects(collect(collector), failed)
    assert.match(service.requests[0] ?? '', /&client_id=x%26y$/)
  })
})

describe('a pod', () => {
  const reviewer = 'reviewer-secret'
  const time = Math.floor(Date.now() / 1000)
  let cluster: FakeCluster
  let directory: string
  let env: Record<string, string>

  // What the kubelet puts into a pod.
  const volume = (token: string): string => {
    const path = mkdtempSync(join(root, 'sa-'))
    writeFileSync(join(path, 'token'), `${token}\n`)
    writeFileSync(join(path, 'ca.crt'), cluster.ca)
    return path
  }
  before(async () => {
    cluster = await start(startCluster(reviewer, () => time))
    directory = volume(cluster.addPod('bots', 'calendar-0', 'calendar').token)
    const { hostname, port } = new URL(cluster.address)
    env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
  })
  const api = (token = reviewer) => {
    const server = cluster.address
    return kubernetesApiClient({ server, exchange: kubernetesExchange(server, cluster.ca), token: () => token })
  }
  const verify = (evidence: Uint8Array) => {
    const clusters = { prod: { issuer: cluster.issuer, api: api() } }
    const verifier = kubernetesVerifier({ clusters, collateral: collateralOf({}) })
    const policy = verifier.readPolicy({ requireReview: true })
    return attestEvidence(verifier, evidence, { now: time, expected: challenged }, policy)
  }

  test('asks the API server for a token of its own, which the API server confirms', async () => {
    const result = await verify(await collected(kubernetesCollector({ env, directory })))
    assert.equal(result.binding, 'audience')
    assert.ok(result.selectors.includes('k8s:pod-name:calendar-0'))
    assert.ok(result.selectors.includes('k8s_psat:agent_node_ip:10.0.0.7'))
    const named = await collected(kubernetesCollector({ cluster: 'prod', env, directory }))
    assert.match(Buffer.from(named).toString(), /^\{"cluster":"prod","token":"eyJ/)
    await verify(named)
  })

  test('that was deleted, or made again under its name, is refused (N30)', async () => {
    const own = volume(cluster.addPod('bots', 'short-lived', 'calendar').token)
    const evidence = await collected(kubernetesCollector({ env, directory: own }))
    await verify(evidence)
    cluster.addPod('bots', 'short-lived', 'calendar')
    await assert.rejects(verify(evidence), { code: 'attestation.unconfirmed' })
    cluster.pods.delete('bots/short-lived')
    await assert.rejects(verify(evidence), { code: 'attestation.unconfirmed' })
  })

  test('shows the file of a volume where it may not create tokens', async () => {
    const projectedToken = join(directory, 'token')
    const evidence = await collected(kubernetesCollector({ env: {}, projectedToken }))
    await assert.rejects(verify(evidence), { code: 'attestation.binding_mismatch' })
    const clusters = { prod: { api: api(), acceptUnboundAudience: cluster.issuer } }
    const verifier = kubernetesVerifier({ clusters, collateral: collateralOf({}) })
    const { result } = await verifier.authenticate(evidence, { now: time, expected: challenged })
    assert.equal(result.binding, 'none')
  })

  test('cannot have its token reviewed with that token (N30)', async () => {
    const own = Buffer.from(await collected(kubernetesCollector({ env: {}, projectedToken: join(directory, 'token') })))
    const request = { token: own.toString(), audiences: ['x'] }
    await assert.rejects(api(own.toString()).review(request), { code: 'attestation.unconfirmed' })
    await assert.rejects(api('guess').review(request), { code: 'attestation.unconfirmed' })
    assert.equal(((await api().review(request)) as { kind?: string }).kind, 'TokenReview')
  })

  test('gets no token of another account or pod', async () => {
    const own = Buffer.from(await collected(kubernetesCollector({ env: {}, projectedToken: join(directory, 'token') })))
    const client = api(own.toString())
    const pod = { name: 'calendar-0', uid: cluster.pods.get('bots/calendar-0')?.metadata.uid ?? '' }
    const request = { namespace: 'bots', serviceAccount: 'calendar', pod, audience: 'x' }
    await client.createToken(request)
    await assert.rejects(client.createToken({ ...request, serviceAccount: 'admin' }), failed)
    await assert.rejects(client.createToken({ ...request, pod: { ...pod, uid: 'x' } }), failed)
    await assert.rejects(client.createToken({ ...request, lifetime: 60 }), failed)
  })

  test('and its node are found by name, and nothing by what is no name', async () => {
    assert.equal(await api().findPod('bots', 'nobody'), undefined)
    assert.equal(((await api().findNode('node-1')) as { kind?: string }).kind, 'Node')
    for (const name of ['..', '../secrets/x', 'a/b', 'a%2fb', 'A', '', 'a?b']) {
      await assert.rejects(api().findPod('bots', name), { code: 'attestation.malformed' })
      await assert.rejects(api().findNode(name), { code: 'attestation.malformed' })
    }
  })

  test('does not talk to an API server that another authority vouches for', async () => {
    const other = await start(startCluster(reviewer, () => time))
    const server = cluster.address
    const client = kubernetesApiClient({
      server,
      exchange: kubernetesExchange(server, other.ca),
      token: () => reviewer,
    })
    await assert.rejects(client.findNode('node-1'), { code: 'attestation.unconfirmed' })
    assert.throws(() => kubernetesExchange('http://127.0.0.1', cluster.ca), TypeError)
    assert.throws(() => kubernetesApiClient({ server: 'api', exchange: never, token: () => '' }), TypeError)
  })

  test('is none outside of a cluster, and fails without its files', async () => {
    assert.equal(await collect(kubernetesCollector({ env: {}, directory })), undefined)
    assert.throws(() => inClusterApi({ env, directory: join(root, 'none') }), failed)
    await assert.rejects(collect(kubernetesCollector({ env, directory: join(root, 'none') })), failed)
    writeFileSync(join(root, 'text'), 'not a token')
    await assert.rejects(collect(kubernetesCollector({ env, projectedToken: join(root, 'text') })), failed)
    await assert.rejects(collect(kubernetesCollector({ env, directory: volume('e30.e30.e30') })), failed)
  })
})
