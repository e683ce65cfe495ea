import { timeText } from '../../base/check.ts'
import { DEFAULT_PROFILES } from '../profile-policy.ts'
import { type RefusalFacts, type Step, textOf } from './facts.ts'
import { subjectOf } from './steps-credential.ts'

/** Before anything of a proof is verified: whether its generation is on for anybody. */
export const PROFILE_STEP: Step = {
  check: 'profile.enabled',
  codes: ['authentication.profile_disabled'],
  isIt: (facts) => !enabled(facts).includes(profileOf(facts)),
  tell: (facts) => ({ expected: [...new Set(enabled(facts))].join(' or '), observed: profileOf(facts) }),
}

/** Once the caller is known: whether it is on for this one, now. */
export const PROFILE_OF_CALLER_STEP: Step = {
  check: 'profile.of-caller',
  codes: ['authentication.profile_disabled', 'authentication.profile_expired'],
  tell: (facts) => ({
    observed: `${profileOf(facts)} by ${subjectOf(facts) ?? 'nobody'}`,
    ...endOf(facts),
  }),
}

/** Whether the caller goes back to something weaker. */
export const DOWNGRADE_STEP: Step = {
  check: 'profile.not-weaker',
  codes: ['authentication.downgrade'],
  tell: (facts) => ({ expected: 'the strongest that this caller has used', observed: profileOf(facts) }),
}

/** Whether the proof is used for the first time. */
export function onceStep(check: string, replayed: 'proof.replayed' | 'signature.replayed', idOf: Observed): Step {
  return {
    check,
    codes: [
      replayed,
      'proof.replay_store_full',
      'proof.replay_store_unavailable',
      'proof.replay_store_secret_mismatch',
    ],
    tell: (facts) => {
      const { code } = facts.error
      return {
        expected: 'one that was not used before',
        observed: code.startsWith('proof.replay_store') ? 'the store has no answer' : idOf(facts),
      }
    },
  }
}

type Observed = (facts: RefusalFacts) => string

/** Whether the credential was revoked. */
export function revocationStep(idOf: Observed): Step {
  return {
    check: 'credential.not-revoked',
    codes: ['credential.revoked', 'credential.revocation_unknown'],
    tell: (facts) => ({
      expected: facts.options.revocations === undefined ? 'nothing: revocations are not followed' : 'not revoked',
      observed: idOf(facts),
    }),
  }
}

/** Whether the caller is one that is expected. */
export function peerStep(idOf: Observed): Step {
  return {
    check: 'caller.expected',
    codes: ['authentication.peer_unexpected'],
    tell: (facts) => ({ expected: 'a caller that peer of the service or route matches', observed: idOf(facts) }),
  }
}

/** The identifier of a token: what revocations name it by. */
export function tokenIdOf(facts: RefusalFacts): string {
  return `jti ${textOf(facts.credential?.claims.jti)} of ${subjectOf(facts) ?? 'nobody'}`
}

/** Whom a token names. */
export function callerOf(facts: RefusalFacts): string {
  return subjectOf(facts) ?? 'nobody'
}

function enabled({ options: { profiles = DEFAULT_PROFILES } }: RefusalFacts): readonly string[] {
  return profiles.map(({ profile }) => profile)
}

function profileOf({ carried }: RefusalFacts): string {
  return carried?.kind === 'proof' || carried?.kind === 'signature' ? carried.profile : 'none'
}

function endOf(facts: RefusalFacts): { readonly expected?: string } {
  const { profiles = DEFAULT_PROFILES } = facts.options
  const rules = profiles.filter(({ profile }) => profile === profileOf(facts))
  const ends = rules.flatMap((rule) => (rule.profile === 'wimse' || rule.until === undefined ? [] : [rule.until]))
  const [end] = ends
  return end === undefined ? {} : { expected: `until ${timeText(end, facts.now)}` }
}
