import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundleSource, emptyBundle } from '../../packages/aims/src/credentials/bundle/source.ts'
import { decodeUnverifiedX509Svid, parsePemChain } from '../../packages/aims/src/credentials/x509-svid/parse.ts'
import { verifyX509Svid } from '../../packages/aims/src/credentials/x509-svid/verify.ts'
import { parseTrustDomain } from '../../packages/aims/src/identifiers/trust-domain.ts'
import { type Case, type Outcome, outcomeOf, suite } from './suite.ts'

const trustDomain = parseTrustDomain('example.org')

/** What each file is wrong for. */
const CODES: { readonly [file: string]: string } = {
  'corrupt-cert.pem': 'x509.malformed',
  'not-pem': 'pem.malformed',
  'wrong-intermediate-no-ca.pem': 'x509.not_a_ca',
  'wrong-intermediate-no-key-cert-sign.pem': 'x509.not_a_ca',
  'wrong-leaf-ca-true.pem': 'x509.leaf_is_ca',
  'wrong-leaf-cert-sign.pem': 'x509.key_usage',
  'wrong-leaf-crl-sign.pem': 'x509.key_usage',
  'wrong-leaf-empty-id.pem': 'x509.uri_san_count',
  'wrong-leaf-no-digital-signature.pem': 'x509.key_usage',
}

for (const [name, folder] of [
  ['go-spiffe-x509svid', 'spiffe/go-spiffe/x509svid'],
  ['go-spiffe-x509svid-suites', 'suites/spiffe/go-spiffe/svid/x509svid/testdata'],
] as const) {
  suite(name, folder, (dir) =>
    readdirSync(dir)
      .filter((file) => !file.includes('key-pkcs8') && file !== 'corrupt-key.pem')
      .map((file): Case => {
        const code = CODES[file]
        return {
          id: file,
          expected: file.startsWith('good-') ? 'accept' : 'reject',
          run: () => judge(readFileSync(join(dir, file), 'latin1')),
          ...(code === undefined ? {} : { code }),
        }
      }),
  )
}

/**
 * The data has no root, so no file can be verified in full. The good ones must pass every check of the leaf and fail at
 * the missing authority and nowhere before; a chain is verified with its intermediate as the authority.
 */
async function judge(pem: string): Promise<Outcome> {
  const outcome = await outcomeOf(() => {
    const chain = parsePemChain(pem)
    const { leaf } = decodeUnverifiedX509Svid(chain)
    const authorities = chain.length > 1 ? chain.slice(1) : [leaf.raw]
    const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities: authorities })
    verifyX509Svid(chain, { bundles, now: leaf.notBefore + 1, trustDomain })
  })
  const onlyTheRootIsMissing = !outcome.accepted && outcome.code === 'x509.untrusted'
  return onlyTheRootIsMissing ? { accepted: true } : outcome
}
