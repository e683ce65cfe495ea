import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createMemoryReplayStore } from '../../packages/aims/src/authentication/replay/memory.ts'
import { verifyWpt } from '../../packages/aims/src/authentication/wpt/verify.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { importVerificationKey } from '../../packages/aims/src/base/keys.ts'
import type { BundleSource } from '../../packages/aims/src/credentials/bundle/bundle.ts'
import type { Profile } from '../../packages/aims/src/credentials/profile.ts'
import { verifyWit } from '../../packages/aims/src/credentials/wit/verify.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface WimseySuite {
  readonly issuer_verifying_key: JsonObject
  readonly verify_now: number
  readonly audience: string
  readonly wit: string
  readonly proof: string
  readonly txn_token?: string
  readonly other_tokens?: { readonly [field: string]: string }
  readonly negative: readonly WimseyNegative[]
}

interface WimseyNegative extends Partial<WimseySuite> {
  readonly id: string
  readonly expect: string
  readonly no_txn_token?: boolean
}

const REASONS: { readonly [reason: string]: string } = {
  expired: 'proof.expired',
  audience_mismatch: 'proof.audience_mismatch',
  wit_binding_mismatch: 'proof.wit_mismatch',
  wrong_type: 'proof.wrong_type',
  invalid_signature: 'proof.invalid_signature',
  txn_token_binding_mismatch: 'proof.txn_token_mismatch',
  other_token_binding_mismatch: 'proof.other_token_mismatch',
  lifetime_too_long: 'proof.lifetime_too_long',
  malformed_token: 'proof.malformed',
  token_too_long: 'proof.too_large',
  unsupported_alg: 'proof.alg_mismatch',
}

function trusting(jwk: JsonObject, kid: string, scheme: 'spiffe' | 'wimse'): BundleSource {
  const key = importVerificationKey(jwk)
  return {
    bundleFor: (trustDomain) => ({
      trustDomain,
      scheme,
      x509Authorities: [],
      jwtAuthorities: new Map(),
      witAuthorities: new Map([[kid, key]]),
    }),
  }
}

suite('wimsey-wpt02', 'wimse/wimsey-wpt02', (dir) => {
  const given: WimseySuite = JSON.parse(readFileSync(resolve(dir, 'proof-eddsa.json'), 'utf8'))
  const bundles = trusting(given.issuer_verifying_key, 'issuer-key-1', 'spiffe')
  const judge = (vector: WimseySuite & { readonly no_txn_token?: boolean }): (() => ReturnType<typeof outcomeOf>) => {
    return () =>
      outcomeOf(() => {
        // The case is about the proof: the WIT is judged when it was valid.
        const wit = verifyWit(vector.wit, { bundles, now: given.verify_now, profile: 'wimse' })
        return verifyWpt(vector.proof, {
          wit,
          profile: 'wimse',
          audiences: [vector.audience],
          now: vector.verify_now,
          replays: createMemoryReplayStore({ capacity: 1 }),
          method: 'GET',
          target: '/path',
          txnToken: vector.no_txn_token === true ? undefined : vector.txn_token,
          otherTokens: vector.other_tokens ?? {},
        })
      })
  }
  return [
    { id: 'positive', expected: 'accept', run: judge(given) },
    ...given.negative.map(({ id, expect, ...change }): Case => {
      const code = REASONS[expect] ?? `no code for ${expect}`
      return { id, expected: 'reject', code, run: judge({ ...given, ...change }) }
    }),
  ]
})

interface Draft {
  readonly ref: string
  readonly jwk_blocks: readonly { readonly title: string; readonly jwk: JsonObject }[]
  readonly jwt_blocks: readonly { readonly title: string; readonly token: string }[]
  readonly includes: { readonly [file: string]: string }
  readonly http_blocks?: readonly { readonly title: string; readonly text: string }[]
}

interface Keys {
  readonly access_token_for_ath: string
}

const DRAFTS: readonly (readonly [file: string, profile: Profile])[] = [
  ['draft-sheffer-wimse-s2s-protocol-00', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-00', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-01', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-02', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-03', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-04', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-05', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-06', 's2s-03-compat'],
  ['draft-ietf-wimse-s2s-protocol-07', 'wimse-wpt-01'],
  ['draft-ietf-wimse-workload-creds-02', 'wimse-wpt-01'],
  ['draft-ietf-wimse-wpt-00', 'wimse-wpt-01'],
  ['draft-ietf-wimse-wpt-01', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-00', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-01', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-02', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-03', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-04', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-05', 'wimse-wpt-01'],
  ['draft-ietf-wimse-http-signature-06', 'wimse-wpt-01'],
  ['main-20260806-40b1c41', 'wimse-wpt-01'],
]

function issuerOf(draft: Draft): JsonObject {
  const block = draft.jwk_blocks.find(({ title }) => title.includes('Identity Server Key'))
  if (block === undefined) throw new Error(`${draft.ref} prints no key of the identity server`)
  const { d: _, ...jwk } = block.jwk
  return jwk
}

interface Example {
  readonly id: string
  readonly wit: string
  readonly proof: string
}

// Every draft prints a WIT and a proof on their own, and again inside a request.
function examplesOf(name: string, draft: Draft): readonly Example[] {
  const printed = (title: string): string | undefined =>
    draft.jwt_blocks.find((block) => block.title.includes(title))?.token
  const wit = draft.includes['includes/wit.txt'] ?? printed('Identity Token')
  const proof = draft.includes['includes/wpt.txt'] ?? printed('Proof Token')
  // Folded for print.
  const request = (
    draft.includes['includes/wpt-request.txt'] ??
    draft.http_blocks?.find(({ text }) => /^workload-proof-token:/im.test(text))?.text
  )?.replace(/\n +/g, '')
  const field = (header: string): string | undefined =>
    request === undefined ? undefined : new RegExp(`^${header}:\\s*(\\S+)`, 'im').exec(request)?.[1]
  const examples: Example[] = []
  if (wit !== undefined && proof !== undefined)
    examples.push({ id: `${name} printed`, wit: wit.trim(), proof: proof.trim() })
  const [witField, proofField] = [field('Workload-Identity-Token'), field('Workload-Proof-Token')]
  if (witField !== undefined && proofField !== undefined) {
    examples.push({ id: `${name} request`, wit: witField, proof: proofField })
  }
  return examples
}

function claimsOf(token: string): { readonly aud?: unknown; readonly exp?: unknown } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

suite('ietf-drafts-wpt', 'wimse/ietf-drafts', (dir) => {
  const read = <T>(name: string): T => JSON.parse(readFileSync(resolve(dir, `${name}.json`), 'utf8'))
  const keys: Keys = read('keys')
  const cases: Case[] = []
  for (const [name, profile] of DRAFTS) {
    const draft = read<Draft>(name)
    const bundles = trusting(issuerOf(draft), 'June 5', 'wimse')
    for (const { id, wit, proof } of examplesOf(name, draft)) {
      const { aud, exp } = claimsOf(proof)
      const judge = (as: Profile, audience: string, at: number) => () =>
        outcomeOf(() =>
          verifyWpt(proof, {
            wit: verifyWit(wit, { bundles, now: at, profile: as }),
            profile: as,
            audiences: [audience],
            now: at,
            replays: createMemoryReplayStore({ capacity: 1 }),
            method: 'POST',
            target: '/path',
            ...(as === 'wimse' ? {} : { accessToken: keys.access_token_for_ath }),
          }),
        )
      // In the oldest drafts the WIT ends before its proof does.
      const now = Math.min(Number(exp), Number(claimsOf(wit).exp)) - 10
      cases.push({ id, expected: 'accept', run: judge(profile, String(aud), now) })
      cases.push({
        id: `${id}, at another service`,
        expected: 'reject',
        run: judge(profile, 'https://other.example', now),
      })
      cases.push({ id: `${id}, expired`, expected: 'reject', run: judge(profile, String(aud), Number(exp)) })
      // The same typ means another profile only by the field it came in, which is not in question here.
      const other = profile === 's2s-03-compat' ? 'wimse-wpt-01' : 's2s-03-compat'
      cases.push({ id: `${id}, as ${other}`, expected: 'reject', run: judge(other, String(aud), now) })
    }
  }
  return cases
})
