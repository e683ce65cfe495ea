import { AimsError, refuseAs } from '../../base/errors.ts'
import { decodeUnverifiedJws, signJws, verifyJws } from '../../base/jose.ts'
import type { Signer, VerificationKey } from '../../base/keys.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'

/** What a proof that somebody holds a key is about. */
export interface KeyProofSubject {
  /** Of the challenge, base64url. */
  readonly nonce: string
  readonly trustDomain: TrustDomain
  /** RFC 7638 thumbprint of the key to be certified: a former key that vouches for its successor names it too. */
  readonly thumbprint: string
}

const TYP = 'aims-key-proof+jwt'

/** Proves that the caller holds a key: its signature over the server's nonce, for this trust domain and key alone. */
export function signKeyProof({ nonce, trustDomain, thumbprint }: KeyProofSubject, key: Signer): Promise<string> {
  return signJws({ typ: TYP }, { aud: trustDomain, nonce, jkt: thumbprint }, key)
}

/**
 * Checks a proof made by {@link signKeyProof}.
 *
 * Does not check that the nonce is fresh: whoever gave it out does.
 *
 * @throws {@link AimsError} `provisioning.key_proof_invalid`
 */
export function verifyKeyProof(proof: string, subject: KeyProofSubject, key: VerificationKey): void {
  const jws = refuseAs('provisioning.key_proof_invalid', 'the proof of the key is malformed', () =>
    decodeUnverifiedJws(proof, { typ: [TYP], maxLength: 4096 }),
  )
  const { aud, nonce, jkt } = jws.claims
  const isAboutThis = aud === subject.trustDomain && nonce === subject.nonce && jkt === subject.thumbprint
  if (!verifyJws(jws, key) || !isAboutThis) {
    throw new AimsError('provisioning.key_proof_invalid', 'the proof was not made by this key for this challenge')
  }
}
