// Tokens as the platforms sign them, under keys of our own. Everything can be chosen, and so be made wrong one thing at a
// time.
import { generateKeyPairSync } from 'node:crypto'
import type { AttestationResult } from '../../packages/aims/src/attestation/attestor.ts'
import { azureMsiVerifier } from '../../packages/aims/src/attestation/azure-msi/azure-msi.ts'
import { bindingAudience, type Challenge, type ExpectedBinding } from '../../packages/aims/src/attestation/binding.ts'
import { type CollateralSource, collateralOf } from '../../packages/aims/src/attestation/collateral.ts'
import { attestEvidence, type EvidenceVerifier } from '../../packages/aims/src/attestation/evidence.ts'
import { gcpVerifier } from '../../packages/aims/src/attestation/gcp/gcp.ts'
import { githubVerifier } from '../../packages/aims/src/attestation/github/github.ts'
import { kubernetesVerifier } from '../../packages/aims/src/attestation/kubernetes/kubernetes.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { exportPublicJwk, WorkloadKey } from '../../packages/aims/src/base/keys.ts'
import { forge, type Part } from './tokens.ts'

export const TOKEN_NOW = 1_750_000_000
export const TENANT = '72f988bf-86f1-41af-91ab-2d7cd011db47'
export const SUBSCRIPTION = 'd5b40d61-272e-48da-beb9-05f295c42bd6'

export const rsaKey = (alg: 'RS256' | 'PS256' = 'RS256', kid = 'key-1'): WorkloadKey =>
  new WorkloadKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, { alg, kid })

/** The key of every platform in these tests. */
export const platformKey: WorkloadKey = rsaKey()

/** A JWK Set of these keys. */
export function jwks(...keys: readonly WorkloadKey[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      keys: keys.map(({ publicKey, alg, kid }) => exportPublicJwk(publicKey, { alg, kid, use: 'sig' })),
    }),
  )
}

export const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: Buffer.from('the key to be certified') }
export const challenged: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }

export type Claims = { readonly [name: string]: unknown }

/** One platform: its verifier under test keys, and a good token. */
export interface Platform {
  readonly type: 'gcp' | 'github' | 'kubernetes' | 'azure-msi'
  readonly collateral: string
  readonly claims: Claims
  readonly header: Claims
  verifier(collateral: CollateralSource): EvidenceVerifier
}

const times = { iat: TOKEN_NOW - 10, exp: TOKEN_NOW + 290 }
const bound = (type: Platform['type']): string => bindingAudience(type, challenge, 'example.com')

export const GCP: Platform = {
  type: 'gcp',
  collateral: 'gcp/jwks.json',
  header: { alg: 'RS256', kid: 'key-1', typ: 'JWT' },
  claims: {
    ...times,
    iss: 'https://accounts.google.com',
    aud: bound('gcp'),
    sub: '104070955682298736149',
    azp: '104070955682298736149',
    email: 'bots@example-project.iam.gserviceaccount.com',
    email_verified: true,
    google: {
      compute_engine: {
        instance_creation_timestamp: TOKEN_NOW - 1000,
        instance_id: '2589221140676718026',
        instance_name: 'bot-1',
        project_id: 'example-project',
        project_number: 161958465613,
        zone: 'europe-west3-a',
      },
    },
  },
  verifier: (collateral) => gcpVerifier({ collateral }),
}

export const GITHUB: Platform = {
  type: 'github',
  collateral: 'github/jwks.json',
  header: { alg: 'RS256', kid: 'key-1', typ: 'JWT', x5t: 'eBZ_cn3sXYAd0ch4THBKHIgOwOE' },
  claims: {
    ...times,
    nbf: TOKEN_NOW - 610,
    iss: 'https://token.actions.githubusercontent.com',
    aud: bound('github'),
    jti: '4b32ea12-bd60-4481-96a8-0d56817b2284',
    sub: 'repo:octo/bots:ref:refs/heads/main',
    repository: 'octo/bots',
    repository_id: '514238596',
    repository_owner: 'octo',
    repository_owner_id: '1559510',
    repository_visibility: 'private',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    sha: '3b913b904ae6ce79be995469d302c4f82cabb712',
    workflow: 'Deploy',
    job_workflow_ref: 'octo/bots/.github/workflows/deploy.yml@refs/heads/main',
    event_name: 'push',
    environment: 'production',
    runner_environment: 'github-hosted',
    actor: 'alice',
    actor_id: '1',
    run_id: '2676512750',
    run_number: '5',
    run_attempt: '1',
    head_ref: '',
    base_ref: '',
  },
  verifier: (collateral) => githubVerifier({ collateral }),
}

export const KUBERNETES: Platform = {
  type: 'kubernetes',
  collateral: 'kubernetes/prod/jwks.json',
  header: { alg: 'RS256', kid: 'key-1' },
  claims: {
    ...times,
    nbf: TOKEN_NOW - 10,
    iss: 'https://kubernetes.default.svc.cluster.local',
    aud: [bound('kubernetes')],
    jti: 'c5ec1b87-3a4f-4a4b-8e5f-6f7c36b1a001',
    sub: 'system:serviceaccount:bots:calendar',
    'kubernetes.io': {
      namespace: 'bots',
      node: { name: 'node-1', uid: '2f9b1c8e-0c1d-4a5a-9b7e-111111111111' },
      pod: { name: 'calendar-0', uid: 'a404fb19-5d80-490e-90b9-0bc5a770987d' },
      serviceaccount: { name: 'calendar', uid: 'b6e36d31-0604-4191-8cbc-00c88eebd9f9' },
      warnafter: TOKEN_NOW + 200,
    },
  },
  verifier: (collateral) =>
    kubernetesVerifier({
      clusters: { prod: { issuer: 'https://kubernetes.default.svc.cluster.local' } },
      collateral,
    }),
}

export const AZURE_MSI: Platform = {
  type: 'azure-msi',
  collateral: `azure/${TENANT}/jwks.json`,
  header: { alg: 'RS256', kid: 'key-1', typ: 'JWT', x5t: 'eBZ_cn3sXYAd0ch4THBKHIgOwOE' },
  claims: {
    iat: TOKEN_NOW - 10,
    nbf: TOKEN_NOW - 10,
    exp: TOKEN_NOW + 86_690,
    iss: `https://sts.windows.net/${TENANT}/`,
    aud: 'api://aims.example.com',
    tid: TENANT,
    oid: '8a5f7c2e-1b1a-4d5e-9a55-222222222222',
    sub: '8a5f7c2e-1b1a-4d5e-9a55-222222222222',
    appid: '9b6f7c2e-1b1a-4d5e-9a55-333333333333',
    idtyp: 'app',
    ver: '1.0',
    xms_az_rid: `/subscriptions/${SUBSCRIPTION}/resourcegroups/frontend/providers/Microsoft.Compute/virtualMachines/web`,
    xms_mirid: `/subscriptions/${SUBSCRIPTION}/resourcegroups/frontend/providers/Microsoft.Compute/virtualMachines/web`,
  },
  verifier: (collateral) => azureMsiVerifier({ collateral, tenants: [TENANT], audience: 'api://aims.example.com' }),
}

export const PLATFORMS: readonly Platform[] = [GCP, GITHUB, KUBERNETES, AZURE_MSI]

/** What to change about a good token. `undefined` as a value leaves the member out. */
export interface TokenChange {
  readonly header?: Claims
  readonly claims?: Claims
  /** The whole header or payload as text. */
  readonly rawHeader?: string
  readonly rawClaims?: string
  readonly signer?: WorkloadKey
}

export function platformToken({ header, claims }: Platform, change: TokenChange = {}): Buffer {
  const head: Part = change.rawHeader ?? { ...header, ...change.header }
  const body: Part = change.rawClaims ?? { ...claims, ...change.claims }
  return Buffer.from(forge(head, body, change.signer ?? platformKey))
}

export interface AttestOptions {
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly policy?: JsonObject
  /** By name; default: the test key where the platform's keys are. */
  readonly files?: { readonly [name: string]: Uint8Array }
}

/** Verifies with the verifier of a platform. */
export function attestToken(
  platform: Platform,
  evidence: Uint8Array,
  options: AttestOptions = {},
): Promise<AttestationResult> {
  const { now = TOKEN_NOW, expected = challenged, policy = {}, files = { [platform.collateral]: testJwks } } = options
  const verifier = platform.verifier(collateralOf(files))
  return attestEvidence(verifier, evidence, { now, expected }, verifier.readPolicy(policy))
}

const testJwks: Buffer = jwks(platformKey)
