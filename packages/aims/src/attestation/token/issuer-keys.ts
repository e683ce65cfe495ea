import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'
import type { VerificationKey } from '../../base/keys.ts'
import { readSignatureKeys } from '../../credentials/bundle/jwks.ts'
import { pickAuthority } from '../../credentials/token.ts'
import type { CollateralSource } from '../collateral.ts'

/** The keys of one issuer of tokens, by `kid`. */
export type IssuerKeys = ReadonlyMap<string, VerificationKey>

// Importing keys costs more than checking a signature, and a source returns the same bytes until it is refreshed.
const read = new WeakMap<Uint8Array, IssuerKeys>()

/**
 * Reads the pinned JWK Set of an issuer. It comes by a name that the configuration chose, never by what a token says.
 *
 * @throws {@link AimsError} `attestation.collateral_missing`, `attestation.collateral_malformed`
 */
export function issuerKeys(source: CollateralSource, name: string): IssuerKeys {
  const bytes = source.get(name)
  if (bytes === undefined) throw new AimsError('attestation.collateral_missing', `${name} is not at hand`)
  const known = read.get(bytes)
  if (known !== undefined) return known
  const keys = refuseAs('attestation.collateral_malformed', `${name} is not a usable JWK Set`, () =>
    readSignatureKeys(parseJsonObject(bytes)),
  )
  const byKid = new Map([...keys].map(([kid, { key }]) => [kid, key] as const))
  read.set(bytes, byKid)
  return byKid
}

/**
 * The one key that may have signed: that of the token's `kid`, or the only one there is. An empty `kid` is none.
 *
 * @throws {@link AimsError} `attestation.key_unknown`
 */
export function pickIssuerKey(keys: IssuerKeys, kid: string | undefined): VerificationKey {
  return refuseAs('attestation.key_unknown', 'the issuer has no such key in the set at hand', () =>
    pickAuthority(keys, kid === '' ? undefined : kid),
  )
}
