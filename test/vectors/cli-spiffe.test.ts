import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeUnverifiedX509Svid, parsePemChain } from 'aims/credentials'
import { aims, at, file, type Line, verdict } from '../support/cli.ts'
import { type Case, type Outcome, suite } from './suite.ts'

// The sources name a character class by its place; we have one code for each of theirs.
const ID_CODES: { readonly [reason: string]: string } = {
  bad_path_segment_char: 'bad_path_char',
  trust_domain_too_long: 'too_long',
}

interface IdCase {
  readonly input: string
  /** Or a sentence: the source leaves the answer to the implementation. */
  readonly valid: boolean | string
  readonly trust_domain?: string
  readonly path?: string
  readonly reason?: string
}

suite('cli-spiffe-id', 'suites/spiffe', (dir) => {
  const { cases }: { readonly cases: readonly IdCase[] } = JSON.parse(readFileSync(join(dir, 'spiffe-id.json'), 'utf8'))
  return cases.flatMap((one) => checks(one))
})

suite('cli-spiffe-id-cases', 'spiffe', (dir) => {
  const { accept, reject }: { readonly [kind: string]: readonly { readonly id: string; readonly reason?: string }[] } =
    JSON.parse(readFileSync(join(dir, 'spiffe-id-cases.json'), 'utf8'))
  return [
    ...(accept ?? []).flatMap(({ id, ...rest }) => checks({ input: id, valid: true, ...rest })),
    ...(reject ?? []).flatMap(({ id, ...rest }) => checks({ input: id, valid: false, ...rest })),
  ]
})

// As an argument, with and without --wimse, and as a line of standard input where it fits on one.
function checks({ input, valid, reason = '', trust_domain: trustDomain, path }: IdCase): readonly Case[] {
  const expected = typeof valid === 'string' ? 'either' : valid ? 'accept' : 'reject'
  const code = valid === false ? { code: `identifier.${ID_CODES[reason] ?? reason}` } : {}
  return [[], ['--wimse']].map((options) => ({
    id: `${input.slice(0, 80)} ${options.join()}`,
    expected,
    ...code,
    run: async () => {
      const outcome = await verdict('id', 'check', ...options, '--', input)
      const { result } = outcome
      if (!outcome.accepted) return outcome
      const isSame = result.id === input && (trustDomain ?? result.trustDomain) === result.trustDomain
      return isSame && (path ?? result.path) === result.path ? outcome : { accepted: false, code: 'printed otherwise' }
    },
  }))
}

// File names say what go-spiffe does with them.
for (const [name, folder, folders] of [
  ['cli-go-spiffe-bundles', 'spiffe/go-spiffe', ['bundle', 'jwks', 'witjwks']],
  [
    'cli-go-spiffe-bundles-suites',
    'suites/spiffe/go-spiffe',
    ['bundle/spiffebundle/testdata', 'bundle/jwtbundle/testdata', 'exp/bundle/witbundle/testdata'],
  ],
] as const) {
  suite(name, folder, (dir) =>
    folders.flatMap((under) =>
      readdirSync(join(dir, under)).flatMap((document): readonly Case[] => {
        const bytes = readFileSync(join(dir, under, document))
        const expected = document.includes('valid') ? 'accept' : 'reject'
        const judge = (content: Uint8Array | object) => () => verdict(...bundle(file(content)))
        const cases: Case[] = [
          { id: document, expected, run: judge(bytes) },
          { id: `${document}, cut`, expected: 'reject', code: 'bundle.malformed', run: judge(bytes.subarray(0, -3)) },
        ]
        if (under.startsWith('bundle') && !under.includes('jwtbundle') && expected === 'accept') {
          const map = { trust_domains: { 'example.org': JSON.parse(bytes.toString()) } }
          cases.push({ id: `${document}, in a map`, expected, run: judge(map) })
          const other = { trust_domains: { 'other.example': JSON.parse(bytes.toString()) } }
          const code = 'bundle.wrong_trust_domain'
          cases.push({ id: `${document}, in a map of another`, expected: 'reject', code, run: judge(other) })
        }
        return cases
      }),
    ),
  )
}

function bundle(path: string): readonly string[] {
  return ['verify', 'bundle', '--bundle', path, '--trust-domain', 'spiffe://example.org']
}

const PEM_CODES: { readonly [document: string]: string } = {
  'corrupted.pem': 'x509.malformed',
  'empty.pem': 'bundle.malformed',
  'key.pem': 'x509.no_certificate',
  'not-pem.pem': 'bundle.malformed',
}

for (const [name, folder] of [
  ['cli-go-spiffe-x509bundle', 'spiffe/go-spiffe/x509bundle'],
  ['cli-go-spiffe-x509bundle-suites', 'suites/spiffe/go-spiffe/bundle/x509bundle/testdata'],
] as const) {
  suite(name, folder, (dir) =>
    readdirSync(dir).map((document): Case => {
      const code = PEM_CODES[document]
      return {
        id: document,
        expected: document.startsWith('cert') ? 'accept' : 'reject',
        ...(code === undefined ? {} : { code }),
        run: () => verdict(...bundle(join(dir, document))),
      }
    }),
  )
}

/** What each file is wrong for. */
const SVID_CODES: { readonly [document: string]: string } = {
  'corrupt-cert.pem': 'x509.malformed',
  'not-pem': 'x509.malformed',
  'wrong-intermediate-no-ca.pem': 'x509.not_a_ca',
  'wrong-intermediate-no-key-cert-sign.pem': 'x509.not_a_ca',
  'wrong-leaf-ca-true.pem': 'x509.leaf_is_ca',
  'wrong-leaf-cert-sign.pem': 'x509.key_usage',
  'wrong-leaf-crl-sign.pem': 'x509.key_usage',
  'wrong-leaf-empty-id.pem': 'x509.uri_san_count',
  'wrong-leaf-no-digital-signature.pem': 'x509.key_usage',
}

for (const [name, folder] of [
  ['cli-go-spiffe-x509svid', 'spiffe/go-spiffe/x509svid'],
  ['cli-go-spiffe-x509svid-suites', 'suites/spiffe/go-spiffe/svid/x509svid/testdata'],
] as const) {
  suite(name, folder, (dir) =>
    readdirSync(dir)
      .filter((document) => !document.includes('key-pkcs8') && document !== 'corrupt-key.pem')
      .flatMap((document): readonly Case[] => {
        const pem = readFileSync(join(dir, document))
        const expected = document.startsWith('good-') ? 'accept' : 'reject'
        const code = SVID_CODES[document]
        const codes = code === undefined ? {} : { code }
        const chain = chainOf(pem)
        const cases: Case[] = [{ id: document, expected, ...codes, run: () => svid(pem, chain, 'pem') }]
        if (chain.length === 0) return cases
        const der = Buffer.concat(chain)
        return [
          ...cases,
          { id: `${document} as DER`, expected, ...codes, run: () => svid(der, chain, 'der') },
          { id: `${document}, cut`, expected: 'reject', run: () => svid(der.subarray(0, -1), chain, 'der') },
          {
            id: `${document} of another trust domain`,
            expected: 'reject',
            run: () => svid(der, chain, 'der', ['--trust-domain', 'other.example']),
          },
        ]
      }),
  )
}

// Certificates as a tool would take them from a PEM file, or none when it could not.
function chainOf(pem: Buffer): readonly Uint8Array[] {
  try {
    const chain = parsePemChain(pem.toString('latin1'))
    decodeUnverifiedX509Svid(chain)
    return chain
  } catch {
    return []
  }
}

/**
 * The data has no root, so no file can be verified in full: a chain is judged with its intermediate as the authority. A
 * leaf alone must pass every check of its own and fail at the missing authority.
 */
async function svid(
  content: Uint8Array,
  chain: readonly Uint8Array[],
  form: 'pem' | 'der',
  options: readonly string[] = ['--trust-domain', 'example.org'],
): Promise<Outcome> {
  const authorities = chain.length > 1 ? chain.slice(1) : chain
  const pem = authorities.map((der) => `-----BEGIN CERTIFICATE-----\n${lines(der)}\n-----END CERTIFICATE-----\n`)
  const anchors = file(form === 'der' || authorities.length === 0 ? Buffer.concat(authorities) : pem.join(''))
  const now = chain.length === 0 ? 1_585_000_000 : decodeUnverifiedX509Svid(chain).leaf.notBefore + 1
  const outcome = await verdict(
    ...['verify', 'x509-svid', '--chain', file(content), '--bundle', anchors, ...at(now), ...options],
  )
  return !outcome.accepted && outcome.code === 'x509.untrusted' ? { accepted: true } : outcome
}

function lines(der: Uint8Array): string {
  return (
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')
}

// The issuer key of this example was never published: its shape is all that can be checked.
suite('cli-spiffe-wit-svid', 'spiffe/wit-svid', (dir) => {
  const { token }: { readonly token: string } = JSON.parse(readFileSync(join(dir, 'example.json'), 'utf8'))
  const { sub, exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const trustDomain = String(sub).split('/')[2] ?? ''
  const judge = (code: string, ...options: readonly string[]): Case => ({
    id: `${code} ${options.join(' ')}`,
    expected: 'reject',
    code,
    run: () =>
      verdict(
        ...['verify', 'wit', '--token', file(token), '--bundle', file({ keys: [] }), ...at(Number(exp) - 60)],
        ...['--trust-domain', trustDomain, ...options],
      ),
  })
  return [
    judge('credential.unknown_key', '--svid'),
    judge('credential.unknown_key'),
    judge('credential.wrong_type', '--profile', 's2s-03-compat'),
  ]
})

suite('cli-spiffe-id-many', 'suites/spiffe', (dir) => {
  const { cases }: { readonly cases: readonly IdCase[] } = JSON.parse(readFileSync(join(dir, 'spiffe-id.json'), 'utf8'))
  const expected = cases.filter(({ valid }) => typeof valid === 'boolean').slice(0, 200)
  return [
    {
      id: 'several arguments give one result each, in order',
      expected: 'accept',
      run: async () => {
        const { exit, results } = await aims('id', 'check', '--', ...expected.map(({ input }) => input))
        const isRight = results.every((result: Line, index) => result.ok === expected[index]?.valid)
        const isNegative = exit === (expected.every(({ valid }) => valid === true) ? 0 : 1)
        return isRight && isNegative && results.length === expected.length
          ? { accepted: true }
          : { accepted: false, code: 'other results' }
      },
    },
  ]
})
