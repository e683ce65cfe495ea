import type { Profile } from '../../credentials/profile.ts'
import { type Component, component } from '../message-signatures/components.ts'
import type { UnverifiedSignature } from '../message-signatures/signature.ts'

/**
 * A generation of WIMSE HTTP message signatures.
 *
 * - `wimse`: http-signature-07. The default, and the only one that is on unless configured.
 * - `wimse-http-signature-06`: http-signature-03 to -06, which cover `@request-target`.
 */
export type SignatureProfile = 'wimse' | 'wimse-http-signature-06'

/** What one generation says about its signatures. Code reads this table and never branches on a profile's name. */
export interface SignatureShape {
  readonly profile: SignatureProfile
  /** The generation of proofs that it belongs with: who has used a newer one does not go back. */
  readonly generation: Profile
  /** What every request covers. */
  readonly request: readonly Component[]
  /** What every response covers. */
  readonly response: readonly Component[]
}

/** @see draft-ietf-wimse-http-signature-07; draft-ietf-wimse-http-signature-06 */
export const SIGNATURE_SHAPES: { readonly [profile in SignatureProfile]: SignatureShape } = {
  wimse: shape('wimse', 'wimse', ['@path', '@query']),
  'wimse-http-signature-06': shape('wimse-http-signature-06', 'wimse-wpt-01', ['@request-target']),
}

function shape(profile: SignatureProfile, generation: Profile, target: readonly string[]): SignatureShape {
  const names = ['@method', ...target]
  return {
    profile,
    generation,
    request: names.map((name) => component(name)),
    response: [component('@status'), ...names.map((name) => component(name, { req: true }))],
  }
}

/** Which generation a signature is of follows from what it covers of the target, never from which checks pass. */
export function shapeOf({ components }: UnverifiedSignature): SignatureShape {
  const covers = (name: string): boolean => components.some((covered) => covered.name === name)
  const isOlder = covers('@request-target') && !covers('@path') && !covers('@query')
  return SIGNATURE_SHAPES[isOlder ? 'wimse-http-signature-06' : 'wimse']
}

/** Marks the one signature of a message that WIMSE means. */
export const SIGNATURE_TAG = 'wimse-workload-to-workload'

/** Fields that a signature covers whenever the message has them. */
export const COVERED_FIELDS: readonly Component[] = [
  'content-type',
  'content-digest',
  'authorization',
  'txn-token',
  'workload-identity-token',
].map((field) => component(field))
