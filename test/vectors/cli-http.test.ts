import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WorkloadKey } from 'aims/base'
import { at, file, verdict } from '../support/cli.ts'
import { forge } from '../support/tokens.ts'
import { readParserCases } from './llhttp.ts'
import { type Case, type Outcome, suite } from './suite.ts'

// Whole messages of others, judged by `aims verify request`.

const NOW = 1_700_000_000
const AUDIENCE = 'https://api.example.com/v1'
const authority = WorkloadKey.generate()
const agent = WorkloadKey.generate()
const bundle = file({ keys: [{ ...authority.publicKey.export({ format: 'jwk' }), kid: 'i' }] })
const cnf = { jwk: { ...agent.publicKey.export({ format: 'jwk' }), alg: 'ES256' } }
const sub = 'spiffe://example.com/agent/bot'
const wit = forge({ typ: 'wit+jwt', alg: 'ES256', kid: 'i' }, { sub, exp: NOW + 3600, cnf }, authority)
const wth = createHash('sha256').update(wit).digest('base64url')

function proofFor(aud: string): string {
  return forge({ typ: 'wpt+jwt', alg: 'ES256' }, { aud, exp: NOW + 60, jti: '0123456789abcdef', wth }, agent)
}

function judge(message: Uint8Array | string, ...options: readonly string[]): ReturnType<typeof verdict> {
  return verdict(
    ...['verify', 'request', '--message', file(message), '--bundle', bundle, '--trust-domain', 'example.com'],
    ...['--audience', AUDIENCE, ...at(NOW), ...options],
  )
}

// As it is, and with a sound proof in its header: then only the message itself can be refused.
suite('cli-http-parsing', 'suites/http-parsing', (dir) => {
  const cases = readParserCases(dir)
  return cases.flatMap(({ file: source, title, type, input_b64, strict_error: error }, index): readonly Case[] => {
    if (type?.startsWith('request') !== true) return []
    const message = Buffer.from(input_b64, 'base64').toString('latin1')
    const id = `${index} ${source} ${title}`
    const fields = `Authorization: WPT ${proofFor(AUDIENCE)}\r\nWorkload-Identity-Token: ${wit}\r\n`
    const proven = Buffer.from(message.replace(/^([^\n]*\n)/, `$1${fields}`), 'latin1')
    const isError = error !== null
    return [
      { id, expected: 'reject', run: () => judge(Buffer.from(message, 'latin1')) },
      {
        id: `${id}, with a proof`,
        expected: isError ? 'reject' : 'either',
        ...(isError ? { code: 'http' } : {}),
        run: async () => layerOf(await judge(proven)),
      },
    ]
  })
})

function layerOf(outcome: Outcome): Outcome {
  return outcome.accepted ? outcome : { accepted: false, code: outcome.code.split('.')[0] ?? '' }
}

interface Signed {
  readonly request: {
    readonly method: string
    readonly path?: string
    readonly target?: string
    readonly query?: string | null
    readonly headers: readonly (readonly [name: string, value: string])[]
    readonly body?: string
  }
  readonly body?: string
  readonly signature_input: string
  readonly signature: string
}

// A signed message has no proof token, and is not taken for one that has: a WIMSE signature of a profile that is off is
// refused as that, and a signature of another kind is none.
for (const [name, folder] of [
  ['cli-wimsey-httpsig06-as-proof', 'wimse/wimsey-httpsig06'],
  ['cli-rfc9421', 'wimse/rfc9421'],
] as const) {
  suite(name, folder, (dir) =>
    readdirSync(dir).flatMap((document) => {
      const { request, body, ...given }: Signed = JSON.parse(readFileSync(join(dir, document), 'utf8'))
      const lines = [
        `${request.method} ${request.target ?? `${request.path ?? '/'}${request.query ?? ''}`} HTTP/1.1`,
        ...request.headers.map(([field, value]) => `${field}: ${value}`),
        `Signature-Input: ${given.signature_input}`,
        `Signature: ${given.signature}`,
      ]
      const hasWit = request.headers.some(([field]) => field.toLowerCase() === 'workload-identity-token')
      const code = hasWit ? 'authentication.profile_disabled' : 'authentication.missing'
      return ['wimse', 'wimse-wpt-01', 's2s-03-compat'].flatMap((profile) =>
        ['\r\n', '\n'].map((end): Case => {
          const message = `${lines.join(end)}${end}${end}${request.body ?? body ?? ''}`
          const run = (): Promise<Outcome> => judge(message, '--profile', profile)
          return { id: `${document} as ${profile} ${JSON.stringify(end)}`, expected: 'reject', code, run }
        }),
      )
    }),
  )
}

interface UrlCase {
  readonly input: string
  readonly failure?: true
  readonly href?: string
  readonly username?: string
  readonly password?: string
  readonly port?: string
  readonly search?: string
  readonly hash?: string
}

function urlCases(dir: string): readonly UrlCase[] {
  const all: readonly (UrlCase | string)[] = JSON.parse(readFileSync(join(dir, 'urltestdata.json'), 'utf8'))
  return all.filter((one) => typeof one !== 'string')
}

// What a URL parser would make of an identifier does not matter: what it would refuse, drop or rewrite is refused.
suite('cli-wpt-url-id', 'suites/wpt-url', (dir) =>
  urlCases(dir).flatMap((one, index): readonly Case[] => {
    const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(one.input) ?? []
    if (scheme === undefined || rest === undefined) return []
    const isSpecial = /^(?:https?|wss?|ftp|file)$/i.test(scheme)
    const hasMore = [one.username, one.password, one.port, one.search, one.hash].some((part) => (part ?? '') !== '')
    const isRewritten = !isSpecial && one.href !== one.input
    // Hosts that only the web refuses: of digits, but no address; of punycode, but no name.
    const isWebHost = isSpecial && /^[a-z0-9.-]+(?:\/[a-z]+)*$/.test(rest)
    const fails = one.failure === true && !isWebHost
    const expected = fails || hasMore || isRewritten ? 'reject' : 'either'
    return [
      { id: `${index} spiffe://${rest}`, expected, run: () => verdict('id', 'check', '--', `spiffe://${rest}`) },
      {
        id: `${index} wimse://${rest}`,
        expected,
        run: () => verdict('id', 'check', '--wimse', '--', `wimse://${rest}`),
      },
    ]
  }),
)

// An audience is compared as it is written: the address that a URL parser makes of it is another one.
suite('cli-wpt-url-audience', 'suites/wpt-url', (dir) =>
  urlCases(dir).flatMap(({ input, href }, index): readonly Case[] => {
    const own = input.replace(/[?#].*$/s, '')
    if (href === undefined || own === '' || own.startsWith('-')) return []
    const target = href.replace(/[?#].*$/s, '')
    const isSame = target === own || href === input
    const witFile = file(wit)
    return [
      {
        id: `${index} ${input} -> ${href}`,
        expected: isSame ? 'accept' : 'reject',
        ...(isSame ? {} : { code: 'proof.audience_mismatch' }),
        run: () =>
          verdict(
            ...['verify', 'wpt', '--proof', file(proofFor(href)), '--wit', witFile, '--bundle', bundle],
            ...['--trust-domain', 'example.com', '--audience', input, ...at(NOW)],
          ),
      },
    ]
  }),
)

interface WithWit {
  readonly id: string
  readonly wit: string
  readonly issuer_verifying_key: object
  readonly verify_now: number
}

// The WIT beside a signature is a WIT like any other.
suite('cli-wimsey-httpsig06-wit', 'wimse/wimsey-httpsig06', (dir) =>
  readdirSync(dir).flatMap((document): readonly Case[] => {
    const given: WithWit = JSON.parse(readFileSync(join(dir, document), 'utf8'))
    const { id, wit: token, verify_now: now } = given
    const keys = file({ ...given.issuer_verifying_key, kid: 'issuer-key-1' })
    const judgeAt = (seconds: number, domain: string) => () =>
      verdict(...['verify', 'wit', '--token', file(token), '--bundle', keys, '--trust-domain', domain, ...at(seconds)])
    return [
      { id, expected: 'accept', run: judgeAt(now, 'example.org') },
      { id: `${id} years later`, expected: 'reject', code: 'credential.expired', run: judgeAt(1.8e9, 'example.org') },
      {
        id: `${id} of another`,
        expected: 'reject',
        code: 'credential.wrong_trust_domain',
        run: judgeAt(now, 'other.example'),
      },
    ]
  }),
)
