import type { KeyObject } from 'node:crypto'
import type { JwsAlgorithm } from './algorithms.ts'
import { AimsError } from './errors.ts'
import type { PublicMembers, ReadJwk } from './jwk.ts'
import { publicKeyFromSpki } from './spki.ts'

/**
 * A public key that is to get a credential: read from a JWK and checked. Only `importKeyToCertify` makes one.
 *
 * What is signed about it needs its bytes and members. node:crypto gets to see it only when somebody asks for {@link key},
 * e.g. to check that its owner has the private half.
 */
export class KeyToCertify {
  readonly alg: JwsAlgorithm
  readonly kid?: string
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string
  /** Its members, in the order of RFC 7638. */
  readonly members: PublicMembers
  /** The one algorithm of the curve; RS256 for RSA. */
  readonly defaultAlg: JwsAlgorithm
  readonly #spki: Buffer | undefined
  #key: KeyObject | undefined

  /** Use `importKeyToCertify`. */
  constructor(
    { thumbprint, members, defaultAlg, spki, key }: ReadJwk & { readonly key?: KeyObject },
    { alg, kid }: { readonly alg: JwsAlgorithm; readonly kid?: string },
  ) {
    this.alg = alg
    if (kid !== undefined) this.kid = kid
    this.thumbprint = thumbprint
    this.members = members
    this.defaultAlg = defaultAlg
    this.#spki = spki
    this.#key = key
  }

  /** Made on first use. */
  get key(): KeyObject {
    this.#key ??= this.#spki && publicKeyFromSpki(this.#spki)
    if (this.#key === undefined) throw new AimsError('key.malformed', 'the key is not usable')
    return this.#key
  }

  /** SubjectPublicKeyInfo, DER, copied. */
  get spki(): Buffer {
    return this.#spki === undefined ? this.key.export({ type: 'spki', format: 'der' }) : Buffer.from(this.#spki)
  }
}
