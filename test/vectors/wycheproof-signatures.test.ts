import { createPublicKey, type KeyObject } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type JwsAlgorithm, verifyBytes } from '../../packages/aims/src/base/algorithms.ts'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { importPublicJwk, verificationKey } from '../../packages/aims/src/base/keys.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Group {
  readonly sha?: string
  readonly mgfSha?: string
  readonly sLen?: number
  readonly publicKeyPem?: string
  readonly publicKeyJwk?: JsonObject
  readonly keyJwk?: JsonObject
  readonly tests: readonly { tcId: number; result: 'valid' | 'invalid' | 'acceptable'; msg: string; sig: string }[]
}

const HASH_BYTES: { readonly [sha: string]: number } = { 'SHA-256': 32, 'SHA-384': 48, 'SHA-512': 64 }

signatures('wycheproof-ecdsa-p1363', /^ecdsa_.*_p1363_test\.json$/, ({ sha }) => algorithm('ES', sha))
signatures('wycheproof-ed25519', /^ed25519_test\.json$/, () => 'EdDSA')
signatures('wycheproof-rsa-pkcs1', /^rsa_signature_.*_test\.json$/, ({ sha }) => algorithm('RS', sha))
signatures('wycheproof-rsa-pss', /^rsa_pss_.*_test\.json$/, ({ sha }) => algorithm('PS', sha))

function signatures(name: string, files: RegExp, algorithmOf: (group: Group) => JwsAlgorithm | undefined): void {
  suite(name, 'suites/wycheproof', (dir) =>
    readdirSync(dir)
      .filter((file) => files.test(file))
      .flatMap((file) => {
        const { testGroups } = JSON.parse(readFileSync(join(dir, file), 'utf8')) as { testGroups: readonly Group[] }
        return testGroups.flatMap((group) => casesOf(file.replace('_test.json', ''), group, algorithmOf(group)))
      }),
  )
}

// Hashes that no JWS algorithm uses (SHA-1, SHA-224, SHA-512/256 ...) leave nothing to run.
function casesOf(file: string, group: Group, alg: JwsAlgorithm | undefined): readonly Case[] {
  if (alg === undefined) return []
  return group.tests.map(
    (one): Case => ({
      id: `${file}:${one.tcId}`,
      expected: isOutOfScope(file) ? 'reject' : expectation(group, one.result),
      run: () => outcomeOf(() => check(alg, group, one)),
    }),
  )
}

// No algorithm of ours takes these keys: a curve we do not support, and RSA keys that are for PSS alone, which a JWK
// cannot say.
function isOutOfScope(file: string): boolean {
  return file.startsWith('ecdsa_secp256k1') || file.endsWith('_params')
}

// RFC 7518 section 3.5 fixes the parameters of PSS; a signature made with others is no PS256 signature.
function expectation({ sha = '', mgfSha = sha, sLen }: Group, result: string): Case['expected'] {
  if (mgfSha !== sha || (sLen !== undefined && sLen !== HASH_BYTES[sha])) return 'reject'
  return result === 'valid' ? 'accept' : result === 'invalid' ? 'reject' : 'either'
}

function check(alg: JwsAlgorithm, group: Group, { msg, sig }: { msg: string; sig: string }): void {
  const { key } = verificationKey(keyOf(group), { alg })
  if (!verifyBytes(alg, key, Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex'))) {
    throw new AimsError('credential.invalid_signature', 'the signature does not verify')
  }
}

function keyOf({ publicKeyJwk, keyJwk, publicKeyPem = '' }: Group): KeyObject {
  const jwk = publicKeyJwk ?? keyJwk
  return jwk === undefined ? createPublicKey(publicKeyPem) : importPublicJwk(jwk)
}

function algorithm(family: 'ES' | 'RS' | 'PS', sha = ''): JwsAlgorithm | undefined {
  const bytes = HASH_BYTES[sha]
  return bytes === undefined ? undefined : (`${family}${bytes * 8}` as JwsAlgorithm)
}
