import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isJwsAlgorithm, signBytes } from '../../packages/aims/src/base/algorithms.ts'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import { decodeUnverifiedCompactJws, verifyJws } from '../../packages/aims/src/base/jose.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { importPublicJwk, importVerificationKey } from '../../packages/aims/src/base/keys.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Recipe {
  readonly title: string
  readonly reproducible?: boolean
  readonly input: { readonly key: JsonObject; readonly alg: string }
  readonly signing: { readonly 'sig-input': string; readonly sig: string }
  readonly output: { readonly compact?: string }
}

suite('jose-cookbook', 'suites/jose-cookbook', (dir) => [
  ...tokens(join(dir, 'jws')),
  ...tokens(join(dir, 'curve25519')),
  ...tokens(join(dir, 'rfc7797')),
  ...readdirSync(join(dir, 'jwk')).map((file) => jwk(join(dir, 'jwk', file), file)),
])

// Compact serialisations only: the JSON serialisations and JWE are not read here at all (rules J2, J7).
function tokens(dir: string): readonly Case[] {
  return readdirSync(dir).flatMap((file) => {
    const recipe = read<Recipe>(join(dir, file))
    const token = recipe.output.compact
    if (token === undefined || !('signing' in recipe)) return []
    const verifies: Case = {
      id: file,
      expected: isJwsAlgorithm(recipe.input.alg) ? 'accept' : 'reject',
      run: () => outcomeOf(() => check(token, { ...recipe.input.key, alg: recipe.input.alg })),
    }
    return recipe.reproducible === true && isJwsAlgorithm(recipe.input.alg)
      ? [verifies, reproduces(file, recipe)]
      : [verifies]
  })
}

function check(token: string, key: JsonObject): void {
  const { d, p, q, dp, dq, qi, ...publicPart } = key
  if (!verifyJws(decodeUnverifiedCompactJws(token), importVerificationKey(publicPart))) {
    throw new AimsError('credential.invalid_signature', 'the signature does not verify')
  }
}

function reproduces(file: string, { input, signing }: Recipe): Case {
  return {
    id: `${file} signed again`,
    expected: 'accept',
    run: () =>
      outcomeOf(() => {
        if (!isJwsAlgorithm(input.alg)) throw new TypeError('not one of ours')
        const key = createPrivateKey({ key: input.key as JsonWebKey, format: 'jwk' })
        const signature = signBytes(input.alg, key, Buffer.from(signing['sig-input']))
        if (signature.toString('base64url') !== signing.sig) throw new Error('the signature differs')
      }),
  }
}

function jwk(path: string, file: string): Case {
  const key = read<JsonObject>(path)
  const isPublic = !('d' in key) && !('k' in key)
  return {
    id: file,
    expected: isPublic ? 'accept' : 'reject',
    ...(isPublic ? {} : { code: 'key.private' }),
    run: () => outcomeOf(() => importPublicJwk(key)),
  }
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8'))
}
