import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { at, file, verdict } from '../support/cli.ts'
import { type Case, readExpectations, suite } from './suite.ts'

// What the drafts print, saved to files and judged by `aims verify` under the profile of the revision.

interface Draft {
  readonly jwt_blocks: readonly { readonly title: string; readonly token: string }[]
  readonly jwk_blocks: readonly { readonly title: string; readonly jwk: Jwk }[]
  readonly includes: { readonly [name: string]: string }
  readonly http_blocks?: readonly { readonly text: string }[]
}

type Jwk = { readonly [member: string]: unknown; readonly d?: string }

const PROFILES: readonly (readonly [files: RegExp, profile: string])[] = [
  [/s2s-protocol-0[0-6]/, 's2s-03-compat'],
  [/./, 'wimse-wpt-01'],
]

const COMPACT = /eyJ[\w-]+\.[\w-]+\.[\w-]+/g

interface Given {
  readonly name: string
  readonly profile: string
  readonly draft: Draft
  /** The options that say whom we trust. */
  readonly trust: readonly string[]
}

function load(dir: string, cases: (given: Given) => readonly Case[]): readonly Case[] {
  return readdirSync(dir)
    .filter((name) => name !== 'keys.json')
    .flatMap((name) => {
      const draft: Draft = JSON.parse(readFileSync(join(dir, name), 'utf8'))
      const { d: _, ...issuer } = draft.jwk_blocks.find(({ title }) => title.includes('Identity Server'))?.jwk ?? {}
      const profile = PROFILES.find(([files]) => files.test(name))?.[1] ?? ''
      const trust = ['--bundle', file({ keys: [issuer] }), '--profile', profile]
      return cases({ name: name.replace('.json', ''), profile, draft, trust })
    })
}

// Of an example that is broken as published, nothing can be made that should be accepted.
function variants(name: string, id: string, cases: readonly Case[]): readonly Case[] {
  return readExpectations(name).deviations[id] === undefined ? cases : cases.filter(({ id: one }) => one === id)
}

function claimsOf(token: string): { readonly [name: string]: unknown } {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  } catch {
    return {}
  }
}

suite('cli-ietf-drafts-wit', 'wimse/ietf-drafts', (dir) =>
  load(dir, ({ name, draft, trust }) => {
    const tokens = [
      ...draft.jwt_blocks.map(({ token }, index) => [`block ${index}`, token] as const),
      ...Object.entries(draft.includes).flatMap(([include, text]) =>
        (text.match(COMPACT) ?? []).map((token, index) => [`${include} ${index}`, token] as const),
      ),
    ]
    return tokens.flatMap(([where, token]) => {
      const { cnf, exp } = claimsOf(token)
      if (cnf === undefined) return []
      const judge = (now: number, ...options: readonly string[]) => {
        return () => verdict('verify', 'wit', '--token', file(`${token}\n`), ...at(now), ...trust, ...options)
      }
      const id = `${name} ${where}`
      const last = Number(exp) - 1
      return variants('cli-ietf-drafts-wit', id, [
        { id, expected: 'accept', run: judge(last, '--trust-domain', 'example.com') },
        { id: `${id}, as an origin`, expected: 'accept', run: judge(last, '--trust-domain', 'wimse://example.com') },
        {
          id: `${id}, under spiffe://`,
          expected: 'reject',
          code: 'credential.untrusted_domain',
          run: judge(last, '--trust-domain', 'spiffe://example.com'),
        },
        { id: `${id}, expired`, expected: 'reject', run: judge(last + 1, '--trust-domain', 'example.com') },
        {
          id: `${id}, as WIT-SVID`,
          expected: 'reject',
          code: 'credential.invalid_subject',
          run: judge(last, '--trust-domain', 'example.com', '--svid'),
        },
      ])
    })
  }),
)

suite('cli-ietf-drafts-wpt', 'wimse/ietf-drafts', (dir) => {
  const { access_token_for_ath: accessToken } = JSON.parse(readFileSync(join(dir, 'keys.json'), 'utf8'))
  return load(dir, ({ name, draft, trust }) => {
    const printed = (title: string) => draft.jwt_blocks.find((block) => block.title.includes(title))?.token
    const wit = draft.includes['includes/wit.txt'] ?? printed('Identity Token')
    const proof = draft.includes['includes/wpt.txt'] ?? printed('Proof Token')
    if (wit === undefined || proof === undefined) return []
    const { aud, exp } = claimsOf(proof)
    // In the oldest drafts the WIT ends before its proof does.
    const now = Math.min(Number(exp), Number(claimsOf(wit).exp)) - 10
    const judge = (audience: unknown, when: number, ...headers: readonly string[]) => {
      return () =>
        verdict(
          ...['verify', 'wpt', '--proof', file(proof), '--wit', file(wit), '--audience', String(audience)],
          ...['--trust-domain', 'example.com', ...at(when), ...trust],
          ...headers.flatMap((line) => ['--header', line]),
        )
    }
    const bearer = `Authorization: Bearer ${accessToken}`
    return variants('cli-ietf-drafts-wpt', name, [
      { id: name, expected: 'accept', run: judge(aud, now, bearer) },
      { id: `${name}, without its access token`, expected: 'reject', run: judge(aud, now) },
      { id: `${name}, with another access token`, expected: 'reject', run: judge(aud, now, `${bearer}x`) },
      { id: `${name}, at another service`, expected: 'reject', run: judge('https://a.example', now, bearer) },
      { id: `${name}, expired`, expected: 'reject', run: judge(aud, Number(exp), bearer) },
    ])
  })
})

// The ends of line that a file may have.
const ENDS = { 'with LF': '\n', 'with CRLF': '\r\n' }

suite('cli-ietf-drafts-request', 'wimse/ietf-drafts', (dir) =>
  load(dir, ({ name, draft, trust, profile }) => {
    const printed = draft.http_blocks?.find(({ text }) => /^workload-proof-token:/im.test(text))?.text
    const text = draft.includes['includes/wpt-request.txt'] ?? printed
    const signed = draft.includes['includes/sigs-request.txt']
    const judge = (message: string, audience: string, now: number) => {
      const options = ['--trust-domain', 'example.com', '--audience', audience, ...at(now), ...trust]
      return () => verdict('verify', 'request', '--message', file(message), ...options)
    }
    const cases: Case[] = []
    // A signature is no proof token.
    if (signed !== undefined) {
      cases.push({ id: `${name} signed`, expected: 'reject', run: judge(signed, 'https://example.com', 1_785_155_800) })
    }
    if (text === undefined) return cases
    const [wit = '', proof = ''] = text.replace(/\n +/g, '').match(COMPACT) ?? []
    const { aud, exp } = claimsOf(proof)
    const now = Math.min(Number(exp), Number(claimsOf(wit).exp)) - 10
    if (/\n +/.test(text)) {
      const run = judge(text, String(aud), now)
      cases.push({ id: `${name} folded`, expected: 'reject', code: 'http.malformed', run })
    }
    for (const [what, end] of Object.entries(ENDS)) {
      const message = text.replace(/\n +/g, '').replaceAll('\n', end)
      const id = `${name} ${what}`
      const origin = /^https:\/\/[^/]+/.exec(String(aud))?.[0] ?? ''
      const other = profile === 's2s-03-compat' ? 'wimse-wpt-01' : 's2s-03-compat'
      const changed = (from: string | RegExp, to: string) => judge(message.replace(from, to), String(aud), now)
      const all: readonly Case[] = [
        { id, expected: 'accept', run: judge(message, String(aud), now) },
        { id: `${id}, at our origin`, expected: 'accept', run: judge(message, origin, now) },
        { id: `${id}, without Host`, expected: 'accept', run: changed(/Host: [^\n]*\n/, '') },
        { id: `${id}, in absolute form`, expected: 'accept', run: changed('POST /path', `POST ${origin}/path`) },
        { id: `${id}, with a long body`, expected: 'accept', run: changed('please', 'please, and more') },
        {
          id: `${id}, at another path of our origin`,
          expected: 'reject',
          run: judge(message.replace('/path', '/p'), origin, now),
        },
        { id: `${id}, at another service`, expected: 'reject', run: judge(message, 'https://a.example', now) },
        { id: `${id}, with another access token`, expected: 'reject', run: changed('Bearer ', 'Bearer x') },
        { id: `${id}, without its WIT`, expected: 'reject', run: changed(/Workload-Identity-Token: [^\n]*\n/, '') },
        { id: `${id}, without its proof`, expected: 'reject', run: changed(/Workload-Proof-Token: [^\n]*\n/, '') },
        {
          id: `${id}, with its WIT twice`,
          expected: 'reject',
          run: changed(/(Workload-Identity-Token: [^\n]*\n)/, '$1$1'),
        },
        { id: `${id}, expired`, expected: 'reject', run: judge(message, String(aud), Number(exp)) },
        { id: `${id}, as wimse`, expected: 'reject', run: as('wimse', message, String(aud), now, trust) },
        { id: `${id}, as ${other}`, expected: 'reject', run: as(other, message, String(aud), now, trust) },
      ]
      cases.push(...variants('cli-ietf-drafts-request', id, all))
    }
    return cases
  }),
)

function as(profile: string, message: string, audience: string, now: number, trust: readonly string[]): Case['run'] {
  const options = ['--trust-domain', 'example.com', '--audience', audience, ...at(now)]
  // The last --profile counts.
  return () => verdict('verify', 'request', '--message', file(message), ...options, ...trust, '--profile', profile)
}
