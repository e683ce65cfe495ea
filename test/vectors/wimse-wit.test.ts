import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundleSource, type Profile, parseJwks, verifyWit, type WitExpectations } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { decodeUnverifiedWit } from '../../packages/aims/src/credentials/wit/decode.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const COMPACT = /eyJ[\w-]+\.[\w-]+\.[\w-]+/g

/** Their reason -> our code. */
const CODES: { readonly [reason: string]: string } = {
  malformed_token: 'credential.malformed',
  token_too_long: 'credential.too_large',
  unsupported_critical: 'credential.forbidden_header',
  unsupported_confirmation_alg: 'credential.forbidden_confirmation_alg',
}

interface Wimsey {
  readonly id: string
  readonly issuer_signing_key: Jwk
  readonly kid: string
  readonly verify_now: number
  readonly claims: { readonly iss: string; readonly sub: string }
  readonly token: string
  readonly negative: readonly {
    readonly id: string
    readonly expect: string
    readonly verify_now?: number
    readonly token?: string
    readonly issuer_verifying_key?: Jwk
    readonly expected_iss?: string
  }[]
}

type Jwk = { readonly [member: string]: unknown; readonly d?: string; readonly kid?: string }

// Clocks agree in these vectors, so the leeway for an issuer whose clock is ahead is set to none.
suite('wimsey-creds02', 'wimse/wimsey-creds02', (dir) =>
  readdirSync(dir).flatMap((file) => {
    const vector: Wimsey = JSON.parse(readFileSync(join(dir, file), 'utf8'))
    const { id, token, kid, verify_now: now, issuer_signing_key: key, claims } = vector
    const good = { now, profile: 'wimse', clockSkew: 0, issuer: claims.iss } as const
    return [
      // As JWK Sets come: with the kid, and with a sole key that has none.
      judge(`${id}: good`, token, { ...good, ...trust({ ...key, kid }, claims.sub) }),
      judge(`${id}: good, key without kid`, token, { ...good, ...trust(key, claims.sub) }),
      judge(
        `${id}: as the older profile`,
        token,
        { ...good, ...trust(key, claims.sub), profile: 's2s-03-compat' },
        'wrong_type',
      ),
      ...vector.negative.map((one) => {
        const verifyingKey = { ...(one.issuer_verifying_key ?? key), kid }
        const expected = {
          ...good,
          ...trust(verifyingKey, claims.sub),
          now: one.verify_now ?? now,
          issuer: one.expected_iss ?? claims.iss,
        }
        return judge(`${id}: ${one.id}`, one.token ?? token, expected, one.expect)
      }),
    ]
  }),
)

const PROFILES: readonly (readonly [RegExp, Profile])[] = [
  [/s2s-protocol-0[0-6]/, 's2s-03-compat'],
  [/s2s-protocol-07|wimse-wpt-0[01]/, 'wimse-wpt-01'],
  [/./, 'wimse'],
]

interface Draft {
  readonly jwt_blocks: readonly { readonly token: string }[]
  readonly jwk_blocks: readonly { readonly title: string; readonly jwk: Jwk }[]
  readonly includes: { readonly [file: string]: string }
}

// Every WIT that a draft shows, at the last second of its life, under the issuer key the same draft shows.
// [credentials.wit.08]
suite('ietf-drafts-wit', 'wimse/ietf-drafts', (dir) =>
  readdirSync(dir)
    .filter((file) => file !== 'keys.json')
    .flatMap((file) => {
      const draft: Draft = JSON.parse(readFileSync(join(dir, file), 'utf8'))
      const profile = PROFILES.find(([files]) => files.test(file))?.[1] ?? 'wimse'
      const issuer = draft.jwk_blocks.find(({ title }) => title.includes('Identity Server'))?.jwk ?? {}
      return witsOf(draft).flatMap(([where, token]) => {
        const { sub, exp } = decodeUnverifiedWit(token).claims
        const expected = { profile, now: Number(exp) - 1, ...trust(issuer, String(sub)) }
        const id = `${file.replace('.json', '')} ${where}`
        return [
          judge(id, token, expected),
          judge(`${id}, expired`, token, { ...expected, now: Number(exp) }, 'any'),
          judge(
            `${id}, as aims-00`,
            token,
            { ...expected, profile: 'aims-00', issuers: {}, audience: 'https://a.example' },
            'any',
          ),
        ]
      })
    }),
)

function witsOf({ jwt_blocks: blocks, includes }: Draft): readonly (readonly [string, string])[] {
  const shown = [
    ...blocks.map(({ token }, index) => [`block ${index}`, token] as const),
    ...Object.entries(includes).flatMap(([file, text]) =>
      (text.match(COMPACT) ?? []).map((token, index) => [`${file} ${index}`, token] as const),
    ),
  ]
  return shown.filter(([, token]) => isWit(token))
}

// Proofs and other tokens have no cnf; some placeholders are not even JSON.
function isWit(token: string): boolean {
  try {
    return 'cnf' in decodeUnverifiedWit(token).claims
  } catch {
    return false
  }
}

function trust(key: Jwk, subject: string): Pick<WitExpectations, 'bundles' | 'trustDomain'> {
  const { d, ...publicKey } = key
  const trustDomain = parseTrustDomain(subject.split('/')[2] ?? '')
  const scheme = subject.startsWith('wimse:') ? 'wimse' : 'spiffe'
  const bundle = parseJwks(JSON.stringify({ keys: [publicKey] }), trustDomain)
  return { bundles: bundleSource({ ...bundle, scheme }), trustDomain }
}

function judge(id: string, token: string, expected: WitExpectations, reason?: string): Case {
  const code = reason === undefined || reason === 'any' ? undefined : (CODES[reason] ?? `credential.${reason}`)
  return {
    id,
    expected: reason === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code }),
    run: () => outcomeOf(() => verifyWit(token, expected)),
  }
}
