import type { Clock } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import { requireLiveWit } from '../credentials/revocation/require.ts'
import type { VerifiedWit } from '../credentials/wit/wit.ts'
import { compatUseOf } from './audit.ts'
import { type RawHeaders, singleField } from './carriage.ts'
import { makePrincipal, type Principal, type PrincipalFacts } from './principal.ts'
import { DEFAULT_PROFILES, requireProfile, requireProfileFor } from './profile-policy.ts'
import { type AuthenticatorOptions, type Judge, judgeAfter, readBody, timeAfter } from './request.ts'
import type { SharedState } from './shared-state.ts'
import { type CheckedProof, checkBody, checkProof, consumeProof, type ProofExpectations } from './wpt/verify.ts'

/** Judges by a WIT and the proof that its key made for this request. */
export function proofJudge(options: AuthenticatorOptions, { verifyWit, marks }: SharedState, clock: Clock): Judge {
  const { profiles = DEFAULT_PROFILES, observer, contextTokens = [], replays, revocations } = options
  const rules = rulesOf(options)

  return ({ request, carried, binding, now, id }) => {
    if (carried.kind !== 'proof') throw new TypeError('the request carries no proof')
    const { profile, accessToken, txnToken } = carried
    requireProfile(profiles, profile)
    const wit = verifyWit(profile, carried.wit, now)
    requireProfileFor(profiles, profile, wit, now)
    const { headers } = request
    const proof = checkProof(carried.proof, {
      ...rules,
      requireBinding: binding,
      wit,
      profile,
      now,
      method: request.method,
      target: request.target,
      accessToken,
      txnToken,
      otherTokens: contextTokensOf(headers, contextTokens),
      findField: (field) => singleField(headers, field),
    })
    const needsBody = proof.bodyDigest !== undefined || binding.body === true

    const conclude = (coversBody: boolean, later: number): Principal | Promise<Principal> => {
      const consuming = consumeProof(proof, replays, later)
      const finish = (): Principal => {
        // Last of all, because the body may have taken its time.
        requireLiveWit(revocations, wit, later)
        const facts = factsOf(wit, proof, coversBody)
        return makePrincipal(facts, (at) => requireLiveWit(revocations, verifyWit(profile, carried.wit, at), at))
      }
      return consuming === undefined ? finish() : consuming.then(finish)
    }
    const waitAndConclude = async (): Promise<Principal> => {
      const coversBody = needsBody && checkBody(proof, await readBody(request, proof.bodyDigest !== undefined), binding)
      const later = needsBody ? timeAfter({ now, expiresAt: proof.expiresAt }, clock, 'proof.expired') : now
      if (needsBody) judgeAfter(later - now, () => verifyWit(profile, carried.wit, later))
      if (marks !== undefined && (await marks.admit(wit.subject, profile)) !== true) {
        throw new AimsError('authentication.downgrade', 'the caller has used a stronger profile before')
      }
      const principal = await conclude(coversBody, later)
      if (profile !== 'wimse') await observer.record(compatUseOf(request, principal, id))
      return principal
    }
    // Most requests wait for nothing, and promises would cost them as much as the checks of the claims.
    const waits = needsBody || marks !== undefined || profile !== 'wimse'
    return waits ? waitAndConclude() : conclude(false, now)
  }
}

function factsOf(wit: VerifiedWit, proof: CheckedProof, coversBody: boolean): PrincipalFacts {
  return {
    id: wit.subject,
    method: 'wit+wpt',
    profile: proof.profile,
    credential: { type: 'wit', id: wit.id ?? wit.confirmation.thumbprint },
    covers: { method: proof.coversMethod, target: proof.coversTarget, body: coversBody },
    expiresAt: wit.expiresAt,
    ...(wit.attested === undefined ? {} : { attested: wit.attested }),
    ...(wit.delegation === undefined ? {} : { delegation: wit.delegation }),
  }
}

// What is the same for every request.
function rulesOf({
  audiences,
  origins,
  maxLifetime,
  clockSkew,
}: AuthenticatorOptions): Pick<ProofExpectations, 'audiences' | 'origins' | 'maxLifetime' | 'clockSkew'> {
  return {
    audiences,
    ...(origins === undefined ? {} : { origins }),
    ...(maxLifetime === undefined ? {} : { maxLifetime }),
    ...(clockSkew === undefined ? {} : { clockSkew }),
  }
}

const NO_TOKENS = {}

function contextTokensOf(headers: RawHeaders, fields: readonly string[]): { readonly [field: string]: string } {
  if (fields.length === 0) return NO_TOKENS
  const tokens: Record<string, string> = {}
  for (const [name, value] of headers) {
    const field = name.toLowerCase()
    if (!fields.includes(field)) continue
    if (Object.hasOwn(tokens, field)) {
      throw new AimsError('authentication.duplicate_field', 'a field with a token occurs more than once')
    }
    tokens[field] = value
  }
  return tokens
}
