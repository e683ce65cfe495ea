import { AimsError } from '../base/errors.ts'
import type { Profile } from '../credentials/profile.ts'
import { requireNotRevoked } from '../credentials/revocation/require.ts'
import { cachingWitVerifier } from '../credentials/wit/cache.ts'
import type { VerifiedWit } from '../credentials/wit/wit.ts'
import { compatUseOf } from './audit.ts'
import { type RawHeaders, singleField } from './carriage.ts'
import { createMemoryHighWaterMark } from './high-water/high-water-mark.ts'
import { makePrincipal } from './principal.ts'
import { DEFAULT_PROFILES, requireProfile, requireProfileFor } from './profile-policy.ts'
import { PROFILE_RULES } from './profile-rules.ts'
import type { AuthenticatorOptions, IncomingRequest, Judge } from './request.ts'
import { checkBody, checkProof, consumeProof, type ProofExpectations } from './wpt/verify.ts'

/** Judges by a WIT and the proof that its key made for this request. */
export function proofJudge(options: AuthenticatorOptions): Judge {
  const { profiles = DEFAULT_PROFILES, observer, contextTokens = [], replays, revocations } = options
  const enabled = new Set(profiles.map(({ profile }) => profile))
  const marks = options.highWaterMarks ?? (enabled.size > 1 ? createMemoryHighWaterMark() : undefined)
  const rules = rulesOf(options)
  const verifiers = new Map<Profile, WitVerifier>()
  for (const profile of enabled) verifiers.set(profile, witVerifier(profile, options))

  return async ({ request, carried, binding, now, id }) => {
    if (carried.kind !== 'proof') throw new TypeError('the request carries no proof')
    const { profile, accessToken, txnToken } = carried
    requireProfile(profiles, profile)
    const wit = verifiers.get(profile)?.(carried.wit, now)
    if (wit === undefined) throw new TypeError('no verifier for an enabled profile')
    requireProfileFor(profiles, wit, now)
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
    const coversBody = needsBody && checkBody(proof, await readBody(request), binding)
    if (marks !== undefined && (await marks.admit(wit.subject, profile)) !== true) {
      throw new AimsError('authentication.downgrade', 'the caller has used a stronger profile before')
    }
    const consuming = consumeProof(proof, replays, now)
    if (consuming !== undefined) await consuming
    // Last of all, because the body may have taken its time.
    const { subject, issuedAt, confirmation } = wit
    const keyThumbprint = () => confirmation.thumbprint
    requireNotRevoked(revocations, { kind: 'wit', subject, issuedAt, id: wit.id, keyThumbprint }, now)
    const principal = makePrincipal({
      id: wit.subject,
      method: 'wit+wpt',
      profile,
      credential: { type: 'wit', id: wit.id ?? wit.confirmation.thumbprint },
      covers: { method: proof.coversMethod, target: proof.coversTarget, body: coversBody },
      expiresAt: wit.expiresAt,
      ...(wit.attested === undefined ? {} : { attested: wit.attested }),
      ...(wit.delegation === undefined ? {} : { delegation: wit.delegation }),
    })
    if (profile !== 'wimse') await observer.record(compatUseOf(request, principal, id))
    return principal
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

type WitVerifier = (token: string, now: number) => VerifiedWit

function witVerifier(profile: Profile, options: AuthenticatorOptions): WitVerifier {
  const { bundles, clockSkew, issuers, confirmationKeys, audiences, witAudience = audiences[0] ?? '' } = options
  const rules = { bundles, profile, ...(clockSkew === undefined ? {} : { clockSkew }) }
  if (!PROFILE_RULES[profile].namesMaker) return cachingWitVerifier(rules)
  if (issuers === undefined) throw new TypeError(`profile ${profile} needs issuers`)
  const keys = confirmationKeys === undefined ? {} : { confirmationKeys }
  return cachingWitVerifier({ ...rules, ...keys, issuers, audience: witAudience })
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

const NO_BODY = new Uint8Array()

function readBody({ body = NO_BODY }: IncomingRequest): Uint8Array | Promise<Uint8Array> {
  return typeof body === 'function' ? body() : body
}
