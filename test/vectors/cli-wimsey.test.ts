import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { at, file, verdict } from '../support/cli.ts'
import { type Case, suite } from './suite.ts'

// The files somebody would make of these vectors, judged by `aims verify`.

type Jwk = { readonly [member: string]: unknown; readonly d?: string }

/** Their reason -> our code. */
const WIT_CODES: { readonly [reason: string]: string } = {
  malformed_token: 'credential.malformed',
  token_too_long: 'credential.too_large',
  unsupported_critical: 'credential.forbidden_header',
  unsupported_confirmation_alg: 'credential.forbidden_confirmation_alg',
}
const PROOF_CODES: { readonly [reason: string]: string } = {
  wit_binding_mismatch: 'proof.wit_mismatch',
  txn_token_binding_mismatch: 'proof.txn_token_mismatch',
  other_token_binding_mismatch: 'proof.other_token_mismatch',
  malformed_token: 'proof.malformed',
  token_too_long: 'proof.too_large',
  unsupported_alg: 'proof.alg_mismatch',
}

/** Every form in which the issuer's key may be at hand. */
const BUNDLES: { readonly [form: string]: (key: Jwk, kid: string) => object } = {
  'a JWK Set': (key, kid) => ({ keys: [{ ...key, kid }] }),
  'a JWK Set with use': (key, kid) => ({ keys: [{ ...key, kid, use: 'sig', key_ops: ['verify'] }] }),
  'a JWK Set without kid': (key) => ({ keys: [key] }),
  'a JWK Set without alg': ({ alg: _, ...key }, kid) => ({ keys: [{ ...key, kid }] }),
  'a JWK': (key, kid) => ({ ...key, kid }),
  'a bare JWK': (key) => key,
  'a SPIFFE bundle': (key, kid) => ({ spiffe_sequence: 1, keys: [{ ...key, kid, use: 'wit-svid' }] }),
  'a bundle map': (key, kid) => ({
    trust_domains: { 'other.example': { keys: [] }, 'example.org': { keys: [{ ...key, kid, use: 'wit-svid' }] } },
  }),
}

const TRUST_DOMAINS = ['example.org', 'spiffe://example.org']

interface WitSuite {
  readonly id: string
  readonly issuer_signing_key: Jwk
  readonly kid: string
  readonly verify_now: number
  readonly claims: { readonly iss: string }
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

suite('cli-wimsey-creds02', 'wimse/wimsey-creds02', (dir) =>
  readdirSync(dir).flatMap((name) => {
    const vector: WitSuite = JSON.parse(readFileSync(join(dir, name), 'utf8'))
    const { id, kid, token, verify_now: now, claims, negative, issuer_signing_key: signing } = vector
    const issuerKey = withoutPrivate(signing)
    const judge =
      (change: Partial<WitSuite['negative'][number]>, text: string, bundle: object, trustDomain = 'example.org') =>
      () =>
        verdict(
          ...['verify', 'wit', '--token', file(text), '--bundle', file(bundle), '--trust-domain', trustDomain],
          ...['--issuer', change.expected_iss ?? claims.iss, ...at(change.verify_now ?? now)],
        )
    const plain = { keys: [{ ...issuerKey, kid }] }
    return [
      ...Object.entries(BUNDLES).flatMap(([form, make]) =>
        TRUST_DOMAINS.map((trustDomain): Case => {
          const run = judge({}, token, make(issuerKey, kid), trustDomain)
          return { id: `${id} under ${form} of ${trustDomain}`, expected: 'accept', run }
        }),
      ),
      accept(`${id} with a final line end`, judge({}, `${token}\n`, plain)),
      accept(`${id} with a final CRLF`, judge({}, `${token}\r\n`, plain)),
      refuse(`${id} with a blank before`, 'credential.malformed', judge({}, ` ${token}`, plain)),
      refuse(`${id} with a blank behind`, 'credential.malformed', judge({}, `${token} \n`, plain)),
      refuse(`${id} with two line ends`, 'credential.malformed', judge({}, `${token}\n\n`, plain)),
      refuse(`${id} as a header`, 'credential.malformed', judge({}, `Workload-Identity-Token: ${token}`, plain)),
      refuse(`${id} under the private key`, 'bundle.private_key', judge({}, token, { keys: [{ ...signing, kid }] })),
      refuse(
        `${id} under another kid`,
        'credential.unknown_key',
        judge({}, token, { keys: [{ ...issuerKey, kid: 'k' }] }),
      ),
      refuse(
        `${id} for another trust domain`,
        'credential.wrong_trust_domain',
        judge({}, token, plain, 'other.example'),
      ),
      refuse(
        `${id} for the same name as wimse://`,
        'credential.untrusted_domain',
        judge({}, token, plain, 'wimse://example.org'),
      ),
      ...negative.flatMap((one) => {
        const code = WIT_CODES[one.expect] ?? `credential.${one.expect}`
        const key = withoutPrivate(one.issuer_verifying_key ?? signing)
        return Object.entries(BUNDLES).map(([form, make]) =>
          refuse(`${id} ${one.id} under ${form}`, code, judge(one, one.token ?? token, make(key, kid))),
        )
      }),
    ]
  }),
)

interface WptSuite {
  readonly id: string
  readonly issuer_verifying_key: Jwk
  readonly verify_now: number
  readonly audience: string
  readonly wit: string
  readonly proof: string
  readonly txn_token?: string
  readonly other_tokens?: { readonly [field: string]: string }
}

interface WptNegative extends Partial<WptSuite> {
  readonly id: string
  readonly expect: string
  readonly no_txn_token?: boolean
}

suite('cli-wimsey-wpt02', 'wimse/wimsey-wpt02', (dir) =>
  readdirSync(dir).flatMap((name) => {
    const vector: WptSuite & { readonly negative: readonly WptNegative[] } = JSON.parse(
      readFileSync(join(dir, name), 'utf8'),
    )
    const { id, negative } = vector
    const all = Object.entries(FORMS)
    return [
      ...all.map(([form, judge]) => accept(`${id}, ${form}`, () => judge(vector))),
      accept(`${id}, with fields that are no tokens`, () => asFiles(vector, ['Host: h', 'Content-Type: text/plain'])),
      accept(`${id}, to our URI with a query`, () => asFiles({ ...vector, audience: `${vector.audience}?a=b#c` })),
      refuse(`${id}, with a token that oth does not name`, 'proof.other_token_mismatch', () =>
        asFiles(vector, ['Another-Token: abc']),
      ),
      refuse(`${id}, with a token twice`, 'authentication.duplicate_field', () =>
        asFiles(vector, ['CTX-TOKEN: ctx-token-0123456789abcdef']),
      ),
      refuse(`${id}, with a bearer token too`, 'authentication.duplicate_field', () =>
        asFiles(vector, ['Authorization: Bearer abc']),
      ),
      refuse(`${id}, with a bearer token too, in a message`, 'authentication.duplicate_field', () =>
        asMessage({ ...vector, other_tokens: { ...vector.other_tokens, authorization: 'Bearer abc' } }, '\r\n'),
      ),
      refuse(`${id}, as an older profile`, 'authentication.profile_disabled', () =>
        asMessage(vector, '\n', ['--profile', 'wimse-wpt-01']),
      ),
      refuse(`${id}, at the origin alone`, 'proof.audience_mismatch', () =>
        asFiles({ ...vector, audience: 'https://workload.example.com' }),
      ),
      // In a message, the target is known: our origin and the target make the URI the proof is for.
      accept(`${id}, at the origin alone, in a message`, () =>
        asMessage({ ...vector, audience: 'https://workload.example.com' }, '\n'),
      ),
      ...negative.flatMap(({ id: what, expect, ...change }) =>
        all.map(([form, judge]) =>
          refuse(`${id} ${what}, ${form}`, PROOF_CODES[expect] ?? `proof.${expect}`, () =>
            judge({ ...vector, ...change }),
          ),
        ),
      ),
    ]
  }),
)

type WptCase = WptSuite & { readonly no_txn_token?: boolean }

const FORMS: { readonly [form: string]: (vector: WptCase) => ReturnType<typeof verdict> } = {
  'as files': (vector) => asFiles(vector),
  'as a message': (vector) => asMessage(vector, '\r\n'),
  'as a message with LF': (vector) => asMessage(vector, '\n'),
  'as a message in absolute form': (vector) => asMessage(vector, '\r\n', [], 'https://workload.example.com/path'),
}

function common({ issuer_verifying_key: key, verify_now: now, audience }: WptCase): readonly string[] {
  const bundle = file({ keys: [{ ...key, kid: 'issuer-key-1' }] })
  return ['--bundle', bundle, '--trust-domain', 'example.org', '--audience', audience, ...at(now)]
}

function fieldsOf({ txn_token: txnToken, no_txn_token: none, other_tokens: others = {} }: WptCase): readonly string[] {
  return [
    ...(txnToken === undefined || none === true ? [] : [`Txn-Token: ${txnToken}`]),
    ...Object.entries(others).map(([name, value]) => `${name}: ${value}`),
  ]
}

function asFiles(vector: WptCase, more: readonly string[] = []): ReturnType<typeof verdict> {
  const headers = [...fieldsOf(vector), ...more].flatMap((line) => ['--header', line])
  const tokens = ['--proof', file(`${vector.proof}\n`), '--wit', file(vector.wit)]
  return verdict('verify', 'wpt', ...tokens, ...headers, ...common(vector))
}

function asMessage(
  vector: WptCase,
  end: string,
  options: readonly string[] = [],
  target = '/path',
): ReturnType<typeof verdict> {
  const lines = [
    `GET ${target} HTTP/1.1`,
    ...(end === '\n' ? [] : ['Host: workload.example.com']),
    `Authorization: WPT ${vector.proof}`,
    `Workload-Identity-Token: ${vector.wit}`,
    ...fieldsOf(vector),
  ]
  const tokens = Object.keys(vector.other_tokens ?? {}).flatMap((name) => ['--context-token', name])
  const message = file(`${lines.join(end)}${end}${end}`)
  return verdict('verify', 'request', '--message', message, ...tokens, ...options, ...common(vector))
}

function withoutPrivate({ d: _, ...key }: Jwk): Jwk {
  return key
}

function accept(id: string, run: Case['run']): Case {
  return { id, expected: 'accept', run }
}

function refuse(id: string, code: string, run: Case['run']): Case {
  return { id, expected: 'reject', code, run }
}
