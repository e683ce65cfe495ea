import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { attestEvidence, type EvidenceVerifier } from '../../packages/aims/src/attestation/evidence.ts'
import { gcpCollateral, gcpVerifier } from '../../packages/aims/src/attestation/gcp/gcp.ts'
import { githubCollateral, githubVerifier } from '../../packages/aims/src/attestation/github/github.ts'
import { kubernetesCollateral, kubernetesVerifier } from '../../packages/aims/src/attestation/kubernetes/kubernetes.ts'
import { isJsonObject, type JsonObject, parseJson } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Row {
  readonly id: string
  readonly verifier: EvidenceVerifier
  readonly evidence: Uint8Array
  readonly now: number
  readonly audience: string
  readonly policy?: JsonObject
  /** Absent: accepted. */
  readonly code?: string
}

function caseOf({ id, verifier, evidence, now, audience, policy = {}, code }: Row): Case {
  const expected = { kind: 'audience', audience } as const
  return {
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code }),
    run: () => outcomeOf(() => attestEvidence(verifier, evidence, { now, expected }, verifier.readPolicy(policy))),
  }
}

function flipped(evidence: Buffer): Buffer {
  const copy = Buffer.from(evidence)
  const at = copy.indexOf('.') + 40
  copy[at] = copy[at] === 0x41 ? 0x42 : 0x41
  return copy
}

suite('attestation-gcp', 'attestation/gcp', (dir) => {
  const evidence = readFileSync(join(dir, 'gce-full-2021-03.jwt'))
  const bytes = readFileSync(join(dir, 'jwks-2021-03.json'))
  const verifier = gcpVerifier({ collateral: gcpCollateral([{ name: 'jwks', bytes }]) })
  const audience = 'https://subscription.rhsm.redhat.com:443/subscription'
  const good = { verifier, evidence, audience, now: 1_616_596_223 }
  const policy = { projects: ['fair-kingdom-308514'], zones: ['us-east1-b'] }
  return [
    caseOf({ ...good, id: 'first second' }),
    caseOf({ ...good, id: 'last second', now: 1_616_599_822, policy }),
    caseOf({ ...good, id: 'expired', now: 1_616_599_823, code: 'attestation.expired' }),
    caseOf({ ...good, id: 'an hour before', now: 1_616_592_623, code: 'attestation.not_yet_valid' }),
    caseOf({ ...good, id: 'other audience', audience: `${audience}/`, code: 'attestation.binding_mismatch' }),
    caseOf({ ...good, id: 'other project', policy: { projects: ['fair-kingdom'] }, code: 'attestation.not_allowed' }),
    caseOf({ ...good, id: 'changed', evidence: flipped(evidence), code: 'attestation.invalid_signature' }),
  ]
})

suite('attestation-github', 'attestation/github', (dir) => {
  const evidence = readFileSync(join(dir, 'token-2022-07.jwt'))
  const bytes = readFileSync(join(dir, 'jwks-2022.json'))
  const collateral = githubCollateral([{ name: 'jwks', bytes }])
  const verifier = githubVerifier({ collateral })
  const good = { verifier, evidence, audience: 'github-token-action-server', now: 1_657_884_112 }
  const enterprise = githubVerifier({ collateral, issuer: 'https://token.actions.githubusercontent.com/octo' })
  const policy = { owners: ['1559510'], repositories: ['514238596'] }
  return [
    caseOf({ ...good, id: 'first second', now: 1_657_883_512 }),
    caseOf({ ...good, id: 'last second', now: 1_657_884_411, policy }),
    caseOf({ ...good, id: 'expired', now: 1_657_884_412, code: 'attestation.expired' }),
    caseOf({ ...good, id: 'before', now: 1_657_883_451, code: 'attestation.not_yet_valid' }),
    caseOf({ ...good, id: 'other audience', audience: 'github-token-action', code: 'attestation.binding_mismatch' }),
    caseOf({ ...good, id: 'other issuer', verifier: enterprise, code: 'attestation.issuer_unknown' }),
    caseOf({ ...good, id: 'other owner', policy: { owners: ['155951'] }, code: 'attestation.not_allowed' }),
    caseOf({ ...good, id: 'changed', evidence: flipped(evidence), code: 'attestation.invalid_signature' }),
  ]
})

// What the INDEX says of each kind: bound to a pod and signed by the key beside it, bound without a key, or legacy.
suite('attestation-kubernetes', 'attestation/kubernetes', (dir) => {
  const tokens = parseJson(readFileSync(join(dir, 'vault-k8s-tokens.json')))
  if (!Array.isArray(tokens) || !tokens.every(isJsonObject)) throw new Error('not a list of tokens')
  const anyKey = tokens.map(({ publicKeyPem }) => publicKeyPem).find((pem) => typeof pem === 'string') as string
  return tokens.flatMap((vector, number) => {
    const { payload, token } = vector
    const claims = isJsonObject(payload) ? payload : {}
    const hasKey = typeof vector.publicKeyPem === 'string'
    const collateral = kubernetesCollateral([
      { name: 'sa.pub', bytes: Buffer.from(hasKey ? String(vector.publicKeyPem) : anyKey) },
    ])
    const { iss, iat, exp, aud } = claims
    const isLegacy = claims['kubernetes.io'] === undefined
    const maxTokenLifetime = isLegacy ? 86_400 : Number(exp) - Number(iat)
    const verifier = kubernetesVerifier({ clusters: { vault: { issuer: String(iss), maxTokenLifetime } }, collateral })
    const audience = String([aud].flat()[0])
    const evidence = Buffer.from(String(token))
    const now = isLegacy ? 1_600_000_000 : Number(iat)
    const code = isLegacy ? 'attestation.unsupported' : hasKey ? undefined : 'attestation.key_unknown'
    const row = { verifier, evidence, now, audience, ...(code === undefined ? {} : { code }) }
    const all = [caseOf({ ...row, id: `token ${number}` })]
    if (code !== undefined) return all
    return [
      ...all,
      caseOf({ ...row, id: `token ${number}, last second`, now: Number(exp) - 1 }),
      caseOf({ ...row, id: `token ${number}, expired`, now: Number(exp), code: 'attestation.expired' }),
      caseOf({
        ...row,
        id: `token ${number}, changed`,
        evidence: flipped(evidence),
        code: 'attestation.invalid_signature',
      }),
      caseOf({ ...row, id: `token ${number}, other audience`, audience: 'x', code: 'attestation.binding_mismatch' }),
    ]
  })
})
