import { AimsError } from '../base/errors.ts'
import type { Profile } from '../credentials/profile.ts'
import type { VerifiedWit } from '../credentials/wit/wit.ts'
import type { TrustDomain, WorkloadId } from '../identifiers/spiffe-id.ts'
import type { SignatureProfile } from './http-signature/shapes.ts'

/** A generation of proofs: of tokens, or of HTTP signatures where that is another. */
export type ProofProfile = Profile | SignatureProfile

/** Switches a profile on for some callers. */
export type ProfileRule = CurrentProfileRule | CompatProfileRule

/** The current drafts, for every caller. */
export interface CurrentProfileRule {
  readonly profile: 'wimse'
}

/** An older shape, for callers that cannot do better yet. Whose, has to be said; until when, should be. */
export interface CompatProfileRule {
  readonly profile: Exclude<ProofProfile, 'wimse'>
  readonly trustDomains: readonly TrustDomain[]
  /** Default: all workloads of the trust domains. */
  readonly subjects?: readonly WorkloadId[]
  /** Seconds since the epoch: the profile is refused from then on. Default: no end. */
  readonly until?: number
}

/** What is switched on. Everything else is refused. */
export type ProfilePolicy = readonly ProfileRule[]

/** Only the current drafts. */
export const DEFAULT_PROFILES: ProfilePolicy = [{ profile: 'wimse' }]

/** Refuses a profile that is on for nobody, before anything is verified. @throws {@link AimsError} `authentication.profile_disabled` */
export function requireProfile(policy: ProfilePolicy, profile: ProofProfile): void {
  if (!policy.some((rule) => rule.profile === profile)) refuseProfile()
}

/**
 * Refuses a caller for which the profile of its proof is not on, or not any more.
 *
 * @throws {@link AimsError} `authentication.profile_disabled`, `authentication.profile_expired`
 */
export function requireProfileFor(policy: ProfilePolicy, profile: ProofProfile, wit: VerifiedWit, now: number): void {
  const rules = policy.filter((rule) => rule.profile === profile && isFor(rule, wit))
  if (rules.length === 0) refuseProfile()
  if (!rules.some((rule) => rule.profile === 'wimse' || rule.until === undefined || now < rule.until)) {
    throw new AimsError('authentication.profile_expired', 'the end date of the profile has passed')
  }
}

function isFor(rule: ProfileRule, { trustDomain, subject }: VerifiedWit): boolean {
  if (rule.profile === 'wimse') return true
  return rule.trustDomains.includes(trustDomain) && (rule.subjects?.includes(subject) ?? true)
}

function refuseProfile(): never {
  throw new AimsError('authentication.profile_disabled', 'the profile is not enabled for this caller')
}
