import type { JwsAlgorithm } from '../../base/algorithms.ts'

/**
 * What RFC 9421 calls our algorithms in `alg`. The others have no name there: a signature with such a key has no `alg`.
 *
 * @see RFC 9421 sections 3.3 and 6.2.2
 */
export const SIGNATURE_ALGORITHMS: { readonly [alg in JwsAlgorithm]?: string } = {
  ES256: 'ecdsa-p256-sha256',
  ES384: 'ecdsa-p384-sha384',
  EdDSA: 'ed25519',
  Ed25519: 'ed25519',
  RS256: 'rsa-v1_5-sha256',
  PS512: 'rsa-pss-sha512',
}
