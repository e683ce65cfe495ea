import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTrustDomain } from 'aims/identifiers'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import { decodeUnverifiedCompactJws, verifyJws } from '../../packages/aims/src/base/jose.ts'
import { parseJwks } from '../../packages/aims/src/credentials/bundle/jwks.ts'
import { pickAuthority } from '../../packages/aims/src/credentials/token.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Group {
  readonly comment: string
  readonly public?: object
  readonly private?: object
  readonly tests: readonly { tcId: number; result: string; jws?: string; jwe?: string; comment: string }[]
}

const trustDomain = parseTrustDomain('example.com')
const FILES = ['json_web_signature', 'json_web_key', 'json_web_crypto']

// The way of every token: a JWK Set becomes a bundle, the kid picks the key, the key's algorithm decides.
// [credentials.jws.01] [credentials.jws.07]
suite('wycheproof-jose', 'suites/wycheproof', (dir) => FILES.flatMap((file) => cases(dir, file)))

function cases(dir: string, file: string): readonly Case[] {
  const groups: readonly Group[] = JSON.parse(readFileSync(join(dir, `${file}_test.json`), 'utf8')).testGroups
  return groups.flatMap((group) =>
    group.tests.map(
      (one): Case => ({
        id: `${file}:${one.tcId}`,
        expected: isOutOfScope(group) ? 'reject' : one.result === 'valid' ? 'accept' : 'reject',
        run: () => outcomeOf(() => check(one.jws ?? one.jwe ?? '', group.public ?? group.private ?? {})),
      }),
    ),
  )
}

// Rule J7: no symmetric keys and no encryption, so valid cases of those are refused on purpose.
function isOutOfScope(group: Group): boolean {
  return group.public === undefined || group.comment.startsWith('jwe')
}

function check(token: string, keys: object): void {
  const jwks = 'keys' in keys ? keys : { keys: [keys] }
  const { witAuthorities } = parseJwks(JSON.stringify(jwks), trustDomain)
  const jws = decodeUnverifiedCompactJws(token)
  if (!verifyJws(jws, pickAuthority(witAuthorities, jws.kid))) {
    throw new AimsError('credential.invalid_signature', 'the signature does not verify')
  }
}
