import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  azureMsiCollector,
  type EvidenceCollector,
  gcpCollector,
  githubCollector,
  kubernetesCollector,
  metadataExchange,
} from 'aims/attestation'
import { type ApiClient, apiClient, type JsonObject } from 'aims/base'
import { verifyWit, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectByEvidence } from 'aims/provisioning'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { eventually } from '../support/eventually.ts'
import { type FakeCluster, startCluster } from '../support/kubernetes-api.ts'
import { platformJwks, type RunningService, startAzure, startGcp, startGithub } from '../support/platform-services.ts'
import { AZURE_MSI, GCP, GITHUB, rsaKey, SUBSCRIPTION, TENANT, type TokenChange } from '../support/platform-tokens.ts'

// From the service that a platform offers to what runs on it, to verified credentials: the collector asks, the server
// verifies under the keys in its directory or asks the cluster, an entry fits.

const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-cloud-'))
const clock = (): number => Date.now() / 1000
const exchange = metadataExchange()
const running: RunningService[] = []
const start = async <T extends RunningService>(service: Promise<T>): Promise<T> => {
  const one = await service
  running.push(one)
  return one
}

// What the token services change about their tokens from now on.
let change: TokenChange = {}
const tokens = { now: clock, change: () => change }
const whileTokensAre = async (next: TokenChange, run: () => Promise<void>): Promise<void> => {
  change = next
  try {
    await run()
  } finally {
    change = {}
  }
}

const REVIEWER = 'reviewer-secret'
const RUNNER = 'runner-secret'
let cluster: FakeCluster
let server: RunningServer
let api: ApiClient
let gcp: RunningService
let github: RunningService
let azure: RunningService

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(root, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

before(async () => {
  cluster = await start(startCluster(REVIEWER, clock))
  gcp = await start(startGcp(GCP, tokens))
  github = await start(startGithub(GITHUB, RUNNER, tokens))
  azure = await start(startAzure(AZURE_MSI, tokens))
  for (const name of ['gcp', 'github', `azure/${TENANT}`]) file(`collateral/${name}/jwks.json`, platformJwks)

  const attestation: JsonObject = {
    kubernetes: {
      clusters: {
        prod: {
          issuer: cluster.issuer,
          server: cluster.address,
          ca: file('cluster/ca.crt', cluster.ca),
          tokenFile: file('cluster/reviewer', `${REVIEWER}\n`),
        },
      },
    },
    gcp: { collateral: join(root, 'collateral') },
    github: { collateral: join(root, 'collateral') },
    'azure-msi': { collateral: join(root, 'collateral'), audience: 'api://aims.example.com', tenants: [TENANT] },
  }
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0, attestation }
  server = await startServer(await loadConfig({ env: {}, overrides }), { clock, log: () => undefined })
  api = apiClient({ socketPath: server.socketPath })
  const entry = (id: string, selectors: readonly string[], policy: JsonObject, more: object = {}) => {
    const body = {
      id,
      spiffeId: `spiffe://example.com/agent/${id}`,
      selectors,
      owner: 'test',
      purpose: 'test',
      attestation: policy,
      ...more,
    }
    return api.send({ method: 'POST', path: '/v1/entries', body })
  }
  await entry('pod', ['k8s:cluster:prod', 'k8s:ns:bots', 'k8s:sa:calendar', 'k8s:pod-label:app:calendar-0'], {
    kubernetes: { requireReview: true },
  })
  await entry('instance', ['gcp_iit:instance-name:bot-1'], { gcp: { projects: ['example-project'] } })
  await entry('job', ['github:repository_id:514238596'], { github: { refs: ['refs/heads/main'] } })
  await entry('short', ['azure_msi:vm-name:frontend:short'], { 'azure-msi': {} }, { x509Ttl: 6, witTtl: 6 })
  await entry('machine', [`azure_msi:subscription-id:${SUBSCRIPTION}`, 'azure_msi:vm-name:frontend:web'], {
    'azure-msi': {},
  })
})
after(async () => {
  api?.close()
  await server?.close()
  await Promise.all(running.map((service) => service.close()))
  rmSync(root, { recursive: true })
})

// What the kubelet puts into a pod.
function podOf(token: string): EvidenceCollector {
  const directory = mkdtempSync(join(root, 'pod-'))
  writeFileSync(join(directory, 'token'), token)
  writeFileSync(join(directory, 'ca.crt'), cluster.ca)
  const { hostname, port } = new URL(cluster.address)
  const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
  return kubernetesCollector({ env, directory })
}
const pod = (name = 'calendar-0', account = 'calendar') => podOf(cluster.addPod('bots', name, account).token)
const instance = () => gcpCollector({ exchange, endpoint: gcp.address })
const job = () =>
  githubCollector({
    exchange,
    env: {
      ACTIONS_ID_TOKEN_REQUEST_URL: `${github.address}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: RUNNER,
    },
  })
const machine = () => azureMsiCollector({ exchange, endpoint: azure.address, resource: 'api://aims.example.com' })

const connect = (collector: EvidenceCollector) =>
  connectByEvidence({
    trustDomain,
    server: `https://127.0.0.1:${server.port}`,
    bundle: Buffer.from(server.bundle()),
    collectors: [collector],
    clock,
    readyTimeout: 10_000,
  })
const refused = (collector: EvidenceCollector, code: string): Promise<void> =>
  assert.rejects(connect(collector), { code })

/** Connects, verifies what was issued, and returns how well its holder is known. */
async function issued(collector: EvidenceCollector, name: string): Promise<string | undefined> {
  using me = await connect(collector)
  assert.equal(me.spiffeId, `spiffe://example.com/agent/${name}`)
  const now = clock()
  const svid = verifyX509Svid(me.x509.x509Svid().certificates, { bundles: me.bundles, now })
  const wit = verifyWit(me.wit.wit().token, { bundles: me.bundles, profile: 'wimse', now, svid: true })
  assert.deepEqual([svid.subject, wit.subject], [me.spiffeId, me.spiffeId])
  assert.deepEqual(wit.attested?.types, [collector.type])
  return wit.attested?.assurance
}

// The same token again, whoever asks: what somebody has who overheard it.
function replayed(collector: EvidenceCollector): EvidenceCollector {
  let first: Uint8Array | undefined
  return {
    type: collector.type,
    async collect(challenge) {
      first ??= await collector.collect(challenge)
      return first
    },
  }
}

// Collects, lets something happen, and shows it.
function shownAfter(collector: EvidenceCollector, then: () => void): EvidenceCollector {
  return {
    type: collector.type,
    async collect(challenge) {
      const evidence = await collector.collect(challenge)
      then()
      return evidence
    },
  }
}

describe('a pod', () => {
  test('gets credentials for a token that the API server confirms', async () => {
    assert.equal(await issued(pod(), 'pod'), 'moderate')
    assert.ok(cluster.requests.includes('POST /apis/authentication.k8s.io/v1/tokenreviews'))
    assert.ok(cluster.requests.includes('GET /api/v1/namespaces/bots/pods/calendar-0'))
    assert.ok(cluster.requests.includes('GET /api/v1/nodes/node-1'))
  })

  test('with another service account or label is of no entry', async () => {
    await refused(pod('calendar-0', 'other'), 'provisioning.no_identity')
    await refused(pod('calendar-1'), 'provisioning.no_identity')
  })

  test('that was made again under its name is not the one of the token (N30)', async () => {
    const old = pod()
    const evidence = shownAfter(old, () => void pod())
    await refused(evidence, 'attestation.unconfirmed')
  })

  test('that does not run any more is refused', async () => {
    const collector = pod()
    const key = 'bots/calendar-0'
    const running = cluster.pods.get(key)
    assert.ok(running)
    const done = shownAfter(collector, () => cluster.pods.set(key, { ...running, status: { phase: 'Failed' } }))
    await refused(done, 'attestation.unconfirmed')
  })

  test('is refused when the API server knows nothing of audiences (N30)', async () => {
    cluster.distort = ({ audiences: _, ...status }) => status
    try {
      await refused(pod(), 'attestation.binding_mismatch')
    } finally {
      cluster.distort = (status) => status
    }
  })

  test('cannot show its token a second time, nor the one for the API server', async () => {
    const again = replayed(pod())
    assert.equal(await issued(again, 'pod'), 'moderate')
    await refused(again, 'attestation.binding_mismatch')
    const { token } = cluster.addPod('bots', 'calendar-0', 'calendar')
    await refused({ type: 'kubernetes', collect: async () => Buffer.from(token) }, 'attestation.binding_mismatch')
  })
})

describe('an instance of Google', () => {
  const engine = (GCP.claims.google as { readonly compute_engine: object }).compute_engine
  test('gets credentials for its identity token', async () => {
    assert.equal(await issued(instance(), 'instance'), 'moderate')
  })
  test('of another project is refused by the policy of the entry', async () => {
    const google = { compute_engine: { ...engine, project_id: 'example-project-2' } }
    await whileTokensAre({ claims: { google } }, () => refused(instance(), 'attestation.not_allowed'))
  })
  test('with the key of a service account is refused (N28)', async () => {
    const signer = rsaKey('RS256', 'service-account')
    const forged = { signer, header: { kid: 'service-account' } }
    await whileTokensAre(forged, () => refused(instance(), 'attestation.key_unknown'))
    await whileTokensAre({ signer }, () => refused(instance(), 'attestation.invalid_signature'))
  })
  test('cannot show its token for a second challenge', async () => {
    const again = replayed(instance())
    await issued(again, 'instance')
    await refused(again, 'attestation.binding_mismatch')
  })
})

describe('a job on GitHub', () => {
  test('gets credentials for its token, and for the next one', async () => {
    assert.equal(await issued(job(), 'job'), 'moderate')
    assert.equal(await issued(job(), 'job'), 'moderate')
  })
  const rows: readonly (readonly [string, string, TokenChange['claims'] & object])[] = [
    ['for pull_request_target (N33)', 'attestation.not_allowed', { event_name: 'pull_request_target' }],
    ['for a pull request of a fork (N33)', 'attestation.not_allowed', { event_name: 'pull_request' }],
    ['on another branch', 'attestation.not_allowed', { ref: 'refs/heads/evil' }],
    ['of a repository with the same name (N33)', 'provisioning.no_identity', { repository_id: '999' }],
    [
      'with the audience that is written by default (N33)',
      'attestation.binding_mismatch',
      { aud: 'https://github.com/octo' },
    ],
    ['of another issuer', 'attestation.issuer_unknown', { iss: 'https://token.actions.example' }],
    ['that has expired', 'attestation.expired', { exp: Math.floor(clock()) - 1, iat: Math.floor(clock()) - 300 }],
  ]
  for (const [what, code, claims] of rows) {
    test(`${what} is refused`, () => whileTokensAre({ claims }, () => refused(job(), code)))
  }
  test('whose token has a jti that was used is refused, also for a new challenge (N33)', () =>
    whileTokensAre({ claims: { jti: 'ffffffff-0000-4000-8000-000000000000' } }, async () => {
      await issued(job(), 'job')
      await refused(job(), 'attestation.replayed')
    }))
})

describe('a resource of Azure', () => {
  const elsewhere = (name: string) =>
    `/subscriptions/${SUBSCRIPTION}/resourcegroups/frontend/providers/Microsoft.Compute/virtualMachines/${name}`
  test('of another tenant, or for Azure itself, is refused', async () => {
    const tid = '00000000-0000-0000-0000-000000000001'
    const other = { claims: { tid, iss: `https://sts.windows.net/${tid}/` } }
    await whileTokensAre(other, () => refused(machine(), 'attestation.issuer_unknown'))
    const common = { claims: { aud: 'https://management.azure.com/' } }
    await whileTokensAre(common, () => refused(machine(), 'attestation.binding_mismatch'))
  })
  test('whose name only begins alike is of no entry (N29)', () =>
    whileTokensAre({ claims: { xms_az_rid: elsewhere('web-evil') } }, () =>
      refused(machine(), 'provisioning.no_identity'),
    ))
  test('gets credentials once: the token binds to nothing, and the first key keeps its place', async () => {
    assert.equal(await issued(machine(), 'machine'), 'low')
    await refused(machine(), 'attestation.taken')
  })
  test('renews with the token it has, which Azure gives again for hours', () =>
    whileTokensAre({ claims: { xms_az_rid: elsewhere('short') } }, async () => {
      using me = await connect(replayed(machine()))
      const { key } = me.x509.x509Svid()
      await eventually('a renewal', () => me.x509.x509Svid().key !== key)
    }))
})
