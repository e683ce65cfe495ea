import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WorkloadKey } from 'aims/base'
import { file, verdict } from '../support/cli.ts'
import { forge } from '../support/tokens.ts'
import { type Case, type Outcome, suite } from './suite.ts'

// Tokens that are no credentials, sound or not, never become one by way of the command line; keys become a bundle.

interface Group {
  readonly public?: object
  readonly private?: object
  readonly tests: readonly { readonly tcId: number; readonly jws?: string; readonly jwe?: string }[]
}

const WYCHEPROOF = ['json_web_signature', 'json_web_key', 'json_web_crypto', 'json_web_encryption']
const trust = ['--trust-domain', 'example.com', '--now', '2026-11-24T00:00:00Z']

suite('cli-wycheproof-jose', 'suites/wycheproof', (dir) =>
  WYCHEPROOF.flatMap((name) => {
    const groups: readonly Group[] = JSON.parse(readFileSync(join(dir, `${name}_test.json`), 'utf8')).testGroups
    return groups.flatMap((group, index) => {
      const keys = file(group.public ?? group.private ?? {})
      return [
        ...group.tests.flatMap(({ tcId, jws, jwe }) => asCredentials(`${name}:${tcId}`, jws ?? jwe ?? '', keys)),
        ...bundles(`${name} group ${index}`, group),
      ]
    })
  }),
)

function asCredentials(id: string, token: string, keys: string): readonly Case[] {
  return [
    ['verify', 'wit', '--bundle', keys, ...trust],
    ['verify', 'jwt-svid', '--bundle', keys, '--audience', 'a', ...trust],
  ].map((args) => ({
    id: `${id} as ${args[1]}`,
    expected: 'reject',
    run: () => verdict(...args, '--token', file(token)),
  }))
}

// A bundle has no private part: a group's public keys may be one, the others never are.
function bundles(id: string, group: Group): readonly Case[] {
  const judge = (keys: object) => () => verdict('verify', 'bundle', '--bundle', file(keys), ...trust)
  return [
    ...(group.private === undefined
      ? []
      : [{ id: `${id} private`, expected: 'reject', code: 'bundle.private_key', run: judge(group.private) } as const]),
    ...(group.public === undefined
      ? []
      : [{ id: `${id} public`, expected: 'either', run: judge(group.public) } as const]),
  ]
}

interface Recipe {
  readonly input: { readonly key?: object }
  readonly output: { readonly compact?: string; readonly json?: object; readonly json_flat?: object }
}

suite('cli-jose-cookbook', 'suites/jose-cookbook', (dir) => [
  ...['jws', 'jwe', 'curve25519', 'rfc7797'].flatMap((folder) =>
    readdirSync(join(dir, folder)).flatMap((name): readonly Case[] => {
      const { input, output }: Recipe = JSON.parse(readFileSync(join(dir, folder, name), 'utf8'))
      const keys = file(input.key ?? { keys: [] })
      const forms = Object.entries({ ...output }).map(([form, token]) => [form, token] as const)
      return forms.flatMap(([form, token]) =>
        asCredentials(`${folder}/${name} ${form}`, typeof token === 'string' ? token : JSON.stringify(token), keys),
      )
    }),
  ),
  ...readdirSync(join(dir, 'jwk')).map((name): Case => {
    const isPublic = name.includes('public')
    return {
      id: name,
      expected: isPublic ? 'accept' : 'reject',
      ...(isPublic ? {} : { code: 'bundle.private_key' }),
      run: () => verdict('verify', 'bundle', '--bundle', join(dir, 'jwk', name), ...trust),
    }
  }),
])

const authority = WorkloadKey.generate()
const issuer = ['--bundle', file({ keys: [{ ...authority.publicKey.export({ format: 'jwk' }), kid: 'i' }] }), ...trust]

// Each document as a bundle, as a member of one, and as the claims of a token with a sound signature.
suite('cli-json-test-suite', 'suites/json-test-suite/test_parsing', (dir) =>
  readdirSync(dir).flatMap((name): readonly Case[] => {
    const document = readFileSync(join(dir, name))
    const kind = name[0] === 'y' ? 'accept' : name[0] === 'n' ? 'reject' : 'either'
    const isBroken = kind === 'reject'
    const member = Buffer.concat([Buffer.from('{"keys":[],"x":'), document, Buffer.from('}')])
    const judge = (content: Uint8Array) => verdict('verify', 'bundle', '--bundle', file(content), ...trust)
    return [
      {
        id: `${name} as a bundle`,
        expected: 'reject',
        ...(isBroken ? { code: 'bundle.malformed' } : {}),
        run: () => judge(document),
      },
      {
        id: `${name} as a member of a bundle`,
        expected: kind,
        ...(isBroken ? { code: 'bundle.malformed' } : {}),
        run: () => judge(member),
      },
      {
        id: `${name} as claims`,
        expected: 'reject',
        ...(isBroken ? { code: 'credential.malformed' } : {}),
        run: () => verdict('verify', 'wit', '--token', file(signed(document)), ...issuer),
      },
    ]
  }),
)

function signed(claims: Uint8Array): string {
  const [header = ''] = forge({ typ: 'wit+jwt', alg: 'ES256', kid: 'i' }, {}, authority).split('.')
  const input = `${header}.${Buffer.from(claims).toString('base64url')}`
  return `${input}.${authority.sign(Buffer.from(input)).toString('base64url')}`
}

// Small and odd points as the key of an issuer: whatever the answer, it is a verdict.
suite('cli-cctv-ed25519', 'suites/cctv', (dir) => {
  const vectors: readonly { readonly key: string }[] = JSON.parse(
    readFileSync(join(dir, 'ed25519vectors.json'), 'utf8'),
  )
  return [...new Set(vectors.map(({ key }) => key))].map((key): Case => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key, 'hex').toString('base64url'), kid: 'k' }
    const run = (): Promise<Outcome> => verdict('verify', 'bundle', '--bundle', file(jwk), ...trust)
    return { id: key, expected: 'either', run }
  })
})
