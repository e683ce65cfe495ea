import { AimsError, type Signer } from 'aims/base'
import { createX509Authority, type X509Authority } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'

/** A CA, and the way from it up to the root. */
export interface CaPath {
  readonly authority: X509Authority
  /** DER: the CA first, the root last. */
  readonly path: readonly Uint8Array[]
}

/**
 * Completes a chain of CA certificates with the root that it leads to, unless that is in it. `signer` holds the key of the first.
 *
 * @returns `undefined` when it leads to none of `roots`
 * @throws {@link AimsError} what `createX509Authority` throws for the chain
 */
export function completePath(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  signer: Signer,
  trustDomain: TrustDomain,
): CaPath | undefined {
  const [certificate, ...above] = chain
  if (certificate === undefined) return undefined
  const make = (extra: readonly Uint8Array[]): X509Authority =>
    createX509Authority({ trustDomain, signer, certificate, chain: [...above, ...extra] })
  const authority = make([])
  // What is left out of issued chains is the root: then nothing more is needed.
  if (authority.chain.length < chain.length) return { authority, path: chain }
  for (const root of roots) {
    const complete = attempt(() => make([root]))
    // The root of the bundle must be one: another intermediate would be sent in every chain.
    if (complete?.chain.length === chain.length) return { authority: complete, path: [...chain, root] }
  }
  return undefined
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}
