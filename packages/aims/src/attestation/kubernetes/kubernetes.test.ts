import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  attestToken,
  type Claims,
  challenged,
  jwks,
  KUBERNETES,
  platformKey,
  platformToken,
  TOKEN_NOW,
} from '../../../../../test/support/platform-tokens.ts'
import { assertNoFlipAccepted } from '../../../../../test/support/tampering.ts'
import type { JsonObject, JsonValue } from '../../base/json.ts'
import { spkiBytes, WorkloadKey } from '../../base/keys.ts'
import { encodePem } from '../../base/pem.ts'
import { collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import { type KubernetesCluster, kubernetesCollateral, kubernetesVerifier } from './kubernetes.ts'
import type { KubernetesApi, TokenReviewRequest } from './review.ts'

const issuer = KUBERNETES.claims.iss as string
const own = KUBERNETES.claims['kubernetes.io'] as { readonly [name: string]: Claims }
const { pod = {}, node = {} } = own
const token = (claims: Claims = {}) => platformToken(KUBERNETES, { claims })
const withOwn = (change: Claims) => token({ 'kubernetes.io': { ...own, ...change } })
const wrapped = (cluster: string, text = token().toString()) => Buffer.from(JSON.stringify({ cluster, token: text }))
const keys = collateralOf({ 'kubernetes/prod/jwks.json': jwks(platformKey) })

const verifierOf = (clusters: { readonly [name: string]: KubernetesCluster }, collateral = keys) =>
  kubernetesVerifier({ clusters, collateral })
interface Options {
  readonly cluster?: KubernetesCluster
  readonly policy?: JsonObject
  readonly now?: number
}
const attest = (evidence: Uint8Array, { cluster = { issuer }, policy = {}, now = TOKEN_NOW }: Options = {}) => {
  const verifier = verifierOf({ prod: cluster })
  return attestEvidence(verifier, evidence, { now, expected: challenged }, verifier.readPolicy(policy))
}

describe('a projected token, verified by keys', () => {
  test('says which pod of which service account, and is bound by its audience', async () => {
    const result = await attest(token())
    assert.deepEqual([result.binding, result.freshness], ['audience', 'nonce'])
    assert.deepEqual(result.selectors, [
      'k8s_psat:cluster:prod',
      'k8s_psat:agent_ns:bots',
      'k8s_psat:agent_sa:calendar',
      'k8s_psat:agent_pod_name:calendar-0',
      'k8s_psat:agent_pod_uid:a404fb19-5d80-490e-90b9-0bc5a770987d',
      'k8s_psat:agent_node_name:node-1',
      'k8s_psat:agent_node_uid:2f9b1c8e-0c1d-4a5a-9b7e-111111111111',
      'k8s:cluster:prod',
      'k8s:ns:bots',
      'k8s:sa:calendar',
      'k8s:pod-name:calendar-0',
      'k8s:pod-uid:a404fb19-5d80-490e-90b9-0bc5a770987d',
      'k8s:node-name:node-1',
    ])
    assert.deepEqual(result.warnings, [
      'the API server was not asked: the token of a pod that is gone passes until it ends',
    ])
  })

  test('may be signed with ES256 or ES384, if its key is such a one', async () => {
    for (const alg of ['ES256', 'ES384'] as const) {
      const key = WorkloadKey.generate(alg)
      const signed = platformToken(KUBERNETES, { header: { alg, kid: key.kid }, signer: key })
      const verifier = verifierOf({ prod: { issuer } }, collateralOf({ 'kubernetes/prod/jwks.json': jwks(key) }))
      await attestEvidence(verifier, signed, { now: TOKEN_NOW, expected: challenged }, verifier.readPolicy({}))
      const wrong = platformToken(KUBERNETES, { header: { alg: 'RS256', kid: key.kid } })
      const answer = async () => verifier.authenticate(wrong, { now: TOKEN_NOW, expected: challenged })
      await assert.rejects(answer, { code: 'attestation.invalid_signature' })
    }
  })

  const legacy = {
    'kubernetes.io': undefined,
    'kubernetes.io/serviceaccount/namespace': 'bots',
    'kubernetes.io/serviceaccount/service-account.name': 'calendar',
    aud: undefined,
    exp: undefined,
  }
  const rows: readonly (readonly [string, string, Buffer])[] = [
    ['of the legacy kind (N30)', 'attestation.unsupported', token(legacy)],
    [
      'of the legacy kind with end and audience (N30)',
      'attestation.unsupported',
      token({ ...legacy, exp: 2 ** 40, aud: 'x' }),
    ],
    [
      'of both kinds at once (N30)',
      'attestation.unsupported',
      token({ 'kubernetes.io/serviceaccount/namespace': 'bots' }),
    ],
    ['of no pod', 'attestation.unsupported', withOwn({ pod: undefined })],
    ['of a pod without uid', 'attestation.malformed', withOwn({ pod: { name: 'calendar-0' } })],
    ['without service account', 'attestation.malformed', withOwn({ serviceaccount: undefined })],
    ['of a node (N30)', 'attestation.malformed', token({ sub: 'system:node:node-1' })],
    ['of a user of five parts (N30)', 'attestation.malformed', token({ sub: 'system:serviceaccount:bots:calendar:x' })],
    ['of a user of three parts (N30)', 'attestation.malformed', token({ sub: 'system:serviceaccount:bots' })],
    ['of a user without a name', 'attestation.malformed', token({ sub: 'system:serviceaccount:bots:' })],
    ['of two service accounts', 'attestation.inconsistent', token({ sub: 'system:serviceaccount:bots:admin' })],
    ['of two namespaces', 'attestation.inconsistent', token({ sub: 'system:serviceaccount:kube-system:calendar' })],
  ]
  for (const [what, code, evidence] of rows) {
    test(`${what} is refused`, () => assert.rejects(attest(evidence), { code }))
  }

  test('that lives longer than the cluster is configured for is refused', async () => {
    const year = token({ exp: TOKEN_NOW + 31_536_000 - 10 })
    await assert.rejects(attest(year), { code: 'attestation.lifetime_too_long' })
    const { warnings } = await attest(year, { cluster: { issuer, maxTokenLifetime: 31_536_000 } })
    assert.ok(warnings.includes('the token lives longer than a day'))
  })

  test('with the audience of a volume binds to nothing, and only where that is configured', async () => {
    const fixed = token({ aud: ['aims'] })
    await assert.rejects(attest(fixed), { code: 'attestation.binding_mismatch' })
    const result = await attest(fixed, { cluster: { issuer, acceptUnboundAudience: 'aims' } })
    assert.deepEqual([result.binding, result.freshness], ['none', 'window'])
    await assert.rejects(attest(token({ aud: ['aim'] }), { cluster: { issuer, acceptUnboundAudience: 'aims' } }), {
      code: 'attestation.binding_mismatch',
    })
  })

  test('of an issuer that is not configured passes with a warning', async () => {
    const { warnings } = await attest(token({ iss: 'https://other.example' }), { cluster: {} })
    assert.ok(warnings.includes('the issuer of the cluster is not configured'))
  })

  test('is held against keys in PEM as Kubernetes names them', async () => {
    const kid = kubernetesKid()
    const source = kubernetesCollateral([
      { name: 'sa.pub', bytes: Buffer.from(encodePem('PUBLIC KEY', spkiBytes(platformKey.publicKey))) },
    ])
    const verifier = verifierOf({ prod: { issuer } }, source)
    for (const header of [{ kid }, { kid: undefined }, { kid: '' }]) {
      const signed = platformToken(KUBERNETES, { header })
      await verifier.authenticate(signed, { now: TOKEN_NOW, expected: challenged })
    }
    const other = async () => verifier.authenticate(token(), { now: TOKEN_NOW, expected: challenged })
    await assert.rejects(other, { code: 'attestation.key_unknown' })
  })
})

function kubernetesKid(): string {
  const source = kubernetesCollateral([
    { name: 'sa.pub', bytes: Buffer.from(encodePem('PUBLIC KEY', spkiBytes(platformKey.publicKey))) },
  ])
  return JSON.parse(Buffer.from(source.get('kubernetes/x/jwks.json') as Uint8Array).toString()).keys[0].kid
}

describe('the cluster', () => {
  const clusters = { prod: { issuer }, test: { issuer: 'https://test.example' } }
  const asked = { now: TOKEN_NOW, expected: challenged }
  const authenticate = async (evidence: Uint8Array) => verifierOf(clusters).authenticate(evidence, asked)

  test('is the one that the evidence names, and its name must be configured', async () => {
    const { claims } = await authenticate(wrapped('prod'))
    assert.equal((claims as { cluster?: string }).cluster, 'prod')
    await assert.rejects(authenticate(wrapped('other')), { code: 'attestation.issuer_unknown' })
    await assert.rejects(authenticate(wrapped('constructor')), { code: 'attestation.issuer_unknown' })
    await assert.rejects(authenticate(token()), { code: 'attestation.issuer_unknown' })
  })
  test('is never chosen by the issuer that the token names', async () => {
    await assert.rejects(authenticate(wrapped('test')), { code: 'attestation.collateral_missing' })
  })
  for (const text of [
    '{}',
    '{"cluster":"prod"}',
    '{"cluster":1,"token":"x"}',
    '{"cluster":"prod","token":"x","a":1}',
    '{',
  ]) {
    test(`of ${text} is refused`, () =>
      assert.rejects(authenticate(Buffer.from(text)), { code: 'attestation.malformed' }))
  }
  test('needs a usable name', () => {
    for (const name of ['', 'Prod', '../prod', 'a/b', '.', 'a..b']) {
      assert.throws(() => verifierOf({ [name]: {} }), TypeError)
    }
    assert.throws(() => verifierOf({}), TypeError)
  })
})

describe('a projected token, confirmed by the API server', () => {
  const audience = (KUBERNETES.claims.aud as readonly string[])[0] as string
  const extra = (name: string) => `authentication.kubernetes.io/${name}`
  const status = {
    authenticated: true,
    audiences: [audience],
    user: {
      username: 'system:serviceaccount:bots:calendar',
      extra: {
        [extra('pod-name')]: [pod.name],
        [extra('pod-uid')]: [pod.uid],
        [extra('node-name')]: [node.name],
        [extra('node-uid')]: [node.uid],
      },
    },
  }
  const podObject = {
    kind: 'Pod',
    metadata: { name: pod.name, namespace: 'bots', uid: pod.uid, labels: { app: 'calendar' } },
    spec: { nodeName: node.name, serviceAccountName: 'calendar' },
    status: { phase: 'Running' },
  }
  const nodeObject = {
    kind: 'Node',
    metadata: { name: node.name, uid: node.uid, labels: { zone: 'a' } },
    status: { addresses: [{ type: 'InternalIP', address: '10.0.0.7' }] },
  }
  const reviewStatus: JsonValue = JSON.parse(JSON.stringify(status))
  interface Answers {
    readonly status?: object
    readonly pod?: object | undefined
    readonly node?: object | undefined
    readonly review?: unknown
  }
  const apiOf = (answers: Answers, asked: TokenReviewRequest[] = []): KubernetesApi => {
    const said = { status, pod: podObject, node: nodeObject, ...answers }
    const review = said.review ?? { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', status: said.status }
    return {
      review: async (request) => {
        asked.push(request)
        return review as JsonValue
      },
      findPod: async () => said.pod as JsonValue | undefined,
      findNode: async () => said.node as JsonValue | undefined,
    }
  }
  const reviewed = (answers: Answers = {}, evidence = token()) =>
    attest(evidence, { cluster: { issuer, api: apiOf(answers) } })

  test('has the labels of its pod and node, and no warning', async () => {
    const result = await reviewed()
    assert.deepEqual([result.binding, result.freshness, result.warnings], ['audience', 'nonce', []])
    for (const selector of [
      'k8s_psat:agent_node_ip:10.0.0.7',
      'k8s_psat:agent_pod_label:app:calendar',
      'k8s:pod-label:app:calendar',
      'k8s_psat:agent_node_label:zone:a',
    ]) {
      assert.ok(result.selectors.includes(selector), selector)
    }
  })

  test('is shown to the API server with the audience that was asked for, and no other', async () => {
    const asked: TokenReviewRequest[] = []
    await attest(token(), { cluster: { issuer, api: apiOf({}, asked) } })
    assert.deepEqual(asked, [{ token: token().toString(), audiences: [audience] }])
  })

  test('is not shown to it when it is of another issuer, of the legacy kind, over, or for somebody else', async () => {
    const asked: TokenReviewRequest[] = []
    const cluster = { issuer, api: apiOf({}, asked) }
    const year = token({ exp: TOKEN_NOW + 31_536_000 })
    for (const [evidence, code] of [
      [token({ iss: 'https://other.example' }), 'attestation.issuer_unknown'],
      [token({ 'kubernetes.io': undefined }), 'attestation.unsupported'],
      [token({ exp: TOKEN_NOW }), 'attestation.expired'],
      [year, 'attestation.lifetime_too_long'],
      [token({ aud: ['x'] }), 'attestation.binding_mismatch'],
      [token({ aud: [audience, 'x'] }), 'attestation.binding_mismatch'],
    ] as const) {
      await assert.rejects(attest(evidence, { cluster }), { code })
    }
    assert.deepEqual(asked, [])
  })

  const user = (change: object) => ({ status: { ...status, user: { ...status.user, ...change } } })
  const withExtra = (change: object) => user({ extra: { ...status.user.extra, ...change } })
  const podWith = (change: object) => ({ pod: { ...podObject, ...change } })
  const rows: readonly (readonly [string, string, Answers])[] = [
    ['that it does not accept', 'attestation.unconfirmed', { status: { user: {}, error: '[invalid bearer token]' } }],
    ['with an error beside it', 'attestation.unconfirmed', { status: { ...status, error: 'x' } }],
    ['whose authenticated is text', 'attestation.unconfirmed', { status: { ...status, authenticated: 'true' } }],
    ['without audiences (N30)', 'attestation.binding_mismatch', { status: { ...status, audiences: undefined } }],
    ['with no audience (N30)', 'attestation.binding_mismatch', { status: { ...status, audiences: [] } }],
    ['with another audience (N30)', 'attestation.binding_mismatch', { status: { ...status, audiences: ['x'] } }],
    ['of a node (N30)', 'attestation.malformed', user({ username: 'system:node:x' })],
    ['of five parts (N30)', 'attestation.malformed', user({ username: 'system:serviceaccount:bots:calendar:x' })],
    ['of another service account', 'attestation.inconsistent', user({ username: 'system:serviceaccount:bots:admin' })],
    ['without a pod', 'attestation.unsupported', user({ extra: {} })],
    ['without extra', 'attestation.unsupported', user({ extra: undefined })],
    ['of another pod', 'attestation.inconsistent', withExtra({ [extra('pod-name')]: ['other'] })],
    ['of two pods', 'attestation.unconfirmed', withExtra({ [extra('pod-uid')]: [pod.uid, 'x'] })],
    ['of another pod by uid (N30)', 'attestation.inconsistent', withExtra({ [extra('pod-uid')]: ['x'] })],
    ['of another node', 'attestation.inconsistent', withExtra({ [extra('node-name')]: ['node-2'] })],
    ['whose pod is gone', 'attestation.unconfirmed', { pod: undefined }],
    [
      'whose pod was made again under its name (N30)',
      'attestation.inconsistent',
      podWith({ metadata: { ...podObject.metadata, uid: 'b404fb19-5d80-490e-90b9-0bc5a770987d' } }),
    ],
    ['whose pod has no uid', 'attestation.unconfirmed', podWith({ metadata: {} })],
    ['whose pod is done', 'attestation.unconfirmed', podWith({ status: { phase: 'Succeeded' } })],
    ['whose pod has no node', 'attestation.unconfirmed', podWith({ spec: { serviceAccountName: 'calendar' } })],
    [
      'whose pod runs as another account',
      'attestation.inconsistent',
      podWith({ spec: { ...podObject.spec, serviceAccountName: 'admin' } }),
    ],
    [
      'whose pod is on another node',
      'attestation.inconsistent',
      podWith({ spec: { ...podObject.spec, nodeName: 'node-2' } }),
    ],
    ['whose node is gone', 'attestation.unconfirmed', { node: undefined }],
    [
      'whose node was made again under its name',
      'attestation.inconsistent',
      { node: { ...nodeObject, metadata: { uid: 'x' } } },
    ],
    ['that is answered with something else', 'attestation.unconfirmed', { review: { kind: 'Status' } }],
    [
      'that is answered in an old version',
      'attestation.unconfirmed',
      { review: { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1beta1', status } },
    ],
    [
      'that is answered without status',
      'attestation.unconfirmed',
      { review: { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1' } },
    ],
  ]
  for (const [what, code, answers] of rows) {
    test(`${what} is refused`, () => assert.rejects(reviewed(answers), { code }))
  }

  test('with a flipped bit is refused by an API server that looks at the whole of it (section 3.1)', async () => {
    const good = token()
    const api: KubernetesApi = {
      ...apiOf({}),
      review: async (request) =>
        request.token === good.toString()
          ? { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', status: reviewStatus }
          : { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', status: { user: {} } },
    }
    await assertNoFlipAccepted((evidence) => attest(evidence, { cluster: { issuer, api } }), good, 1)
  })
})

describe('the policy for pods', () => {
  const rows: readonly (readonly [string, JsonObject, string | undefined])[] = [
    ['its cluster', { clusters: ['prod'] }, undefined],
    ['another cluster', { clusters: ['test'] }, 'attestation.not_allowed'],
    ['its namespace', { namespaces: ['bots'] }, undefined],
    ['another namespace', { namespaces: ['bot'] }, 'attestation.not_allowed'],
    ['its service account', { serviceAccounts: ['bots/calendar'] }, undefined],
    ['another service account', { serviceAccounts: ['bots/admin', 'kube-system/calendar'] }, 'attestation.not_allowed'],
    ['a token that was not confirmed', { requireReview: true }, 'attestation.not_allowed'],
    ['a service account without namespace', { serviceAccounts: ['calendar'] }, 'attestation.policy_malformed'],
    ['a misspelt member', { namespace: ['bots'] }, 'attestation.policy_malformed'],
  ]
  for (const [what, policy, code] of rows) {
    test(`${what} ${code === undefined ? 'passes' : 'is refused'}`, async () => {
      const answer = (async () => attestToken(KUBERNETES, token(), { policy }))()
      if (code === undefined) await answer
      else await assert.rejects(answer, { code })
    })
  }
})
