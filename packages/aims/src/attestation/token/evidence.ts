import type { AttestationResult, AttestationType } from '../attestor.ts'
import { type Authenticated, authenticatedEvidence } from '../evidence.ts'
import type { PlatformToken } from './platform-token.ts'

/** What one platform's verifier adds to a token that it has verified. */
export interface TokenStatement<Claims extends object> {
  readonly type: AttestationType
  readonly claims: Claims
  readonly attested: string
  readonly selectors: readonly string[]
  readonly attributes: AttestationResult['attributes']
  readonly warnings?: readonly string[]
  /** The audience carries nonce and key. */
  readonly isBound: boolean
  /** The platform gives the same token again until it ends, so that it cannot be good for one use. */
  readonly isReused?: boolean
  readonly now: number
}

/** A verified token as authenticated evidence. For verifiers, as the last thing they do. */
export function tokenEvidence<Claims extends object>(
  token: PlatformToken,
  {
    type,
    claims,
    attested,
    selectors,
    attributes,
    warnings = [],
    isBound,
    isReused = false,
    now,
  }: TokenStatement<Claims>,
): Authenticated<Claims> {
  return authenticatedEvidence<Claims>({
    claims,
    attested,
    ...(isReused ? {} : { statement: token.statement }),
    result: {
      type,
      selectors,
      verifiedAt: now,
      evidenceNotAfter: token.expiresAt,
      binding: isBound ? 'audience' : 'none',
      freshness: isBound ? 'nonce' : 'window',
      debug: false,
      attributes,
      warnings,
    },
  })
}

/** Selectors for what is known; `undefined` values are left out. */
export function selectorsOf(prefix: string, pairs: { readonly [key: string]: string | undefined }): readonly string[] {
  return Object.entries(pairs).flatMap(([key, value]) => (value === undefined ? [] : [`${prefix}:${key}:${value}`]))
}

/** Attributes for what is known. */
export function attributesOf(pairs: { readonly [name: string]: string | undefined }): AttestationResult['attributes'] {
  return Object.fromEntries(Object.entries(pairs).filter((pair): pair is [string, string] => pair[1] !== undefined))
}
