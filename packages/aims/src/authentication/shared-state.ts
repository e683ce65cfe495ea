import type { Profile } from '../credentials/profile.ts'
import { cachingWitVerifier } from '../credentials/wit/cache.ts'
import type { VerifiedWit } from '../credentials/wit/wit.ts'
import { createMemoryHighWaterMark, type HighWaterMark } from './high-water/high-water-mark.ts'
import { DEFAULT_PROFILES, type ProofProfile } from './profile-policy.ts'
import { PROFILE_RULES } from './profile-rules.ts'
import type { AuthenticatorOptions } from './request.ts'

/** What the judges of proofs and of signatures remember together: a caller may use either. */
export interface SharedState {
  /** As `verifyWit`, under a profile that is on. */
  verifyWit(profile: Profile, token: string, now: number): VerifiedWit
  /** Absent where there is nothing to go back to. */
  readonly marks: HighWaterMark | undefined
}

/** @throws TypeError for a profile that lacks what it needs */
export function sharedState(options: AuthenticatorOptions): SharedState {
  const { profiles = DEFAULT_PROFILES } = options
  const enabled = new Set(profiles.map(({ profile }) => profile))
  const verifiers = new Map<Profile, WitVerifier>()
  for (const profile of enabled) {
    const ofWit = witProfileOf(profile)
    if (!verifiers.has(ofWit)) verifiers.set(ofWit, witVerifier(ofWit, options))
  }
  return {
    marks: options.highWaterMarks ?? (enabled.size > 1 ? createMemoryHighWaterMark() : undefined),
    verifyWit(profile, token, now) {
      const verify = verifiers.get(profile)
      if (verify === undefined) throw new TypeError('no verifier for an enabled profile')
      return verify(token, now)
    },
  }
}

// All generations of signatures come with the WIT of today.
function witProfileOf(profile: ProofProfile): Profile {
  return profile === 'wimse-http-signature-06' ? 'wimse' : profile
}

type WitVerifier = (token: string, now: number) => VerifiedWit

function witVerifier(profile: Profile, options: AuthenticatorOptions): WitVerifier {
  const { bundles, clockSkew, issuers, confirmationKeys, audiences, witAudience = audiences[0] ?? '' } = options
  const rules = { bundles, profile, ...(clockSkew === undefined ? {} : { clockSkew }) }
  if (!PROFILE_RULES[profile].namesMaker) return cachingWitVerifier(rules)
  if (issuers === undefined) throw new TypeError(`profile ${profile} needs issuers`)
  const keys = confirmationKeys === undefined ? {} : { confirmationKeys }
  return cachingWitVerifier({ ...rules, ...keys, issuers, audience: witAudience })
}
