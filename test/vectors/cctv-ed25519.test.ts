import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verifyBytes } from '../../packages/aims/src/base/algorithms.ts'
import { encodeBase64url } from '../../packages/aims/src/base/bytes.ts'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import { importPublicJwk } from '../../packages/aims/src/base/keys.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Vector {
  readonly number: number
  readonly key: string
  readonly sig: string
  readonly msg: string
  readonly flags: readonly string[] | null
}

// The vectors name edge cases, not answers. This pins the rule set of node:crypto, which is the one known as
// verify_strict: points of low order and points not in canonical form are refused, and the equation is the one without
// cofactor. A Node or OpenSSL that changed it would change which signatures are valid, so it must not go unnoticed.
const HARMLESS: ReadonlySet<string> = new Set(['low_order_component_A', 'low_order_component_R'])

suite('cctv-ed25519', 'suites/cctv', (dir) => {
  const vectors: readonly Vector[] = JSON.parse(readFileSync(join(dir, 'ed25519vectors.json'), 'utf8'))
  return vectors.map(
    ({ number, key, sig, msg, flags }): Case => ({
      id: String(number),
      expected: flags === null || flags.every((flag) => HARMLESS.has(flag)) ? 'accept' : 'reject',
      run: () =>
        outcomeOf(() => {
          const publicKey = importPublicJwk({ kty: 'OKP', crv: 'Ed25519', x: encodeBase64url(Buffer.from(key, 'hex')) })
          if (!verifyBytes('EdDSA', publicKey, Buffer.from(msg), Buffer.from(sig, 'hex'))) {
            throw new AimsError('credential.invalid_signature', 'the signature does not verify')
          }
        }),
    }),
  )
})
