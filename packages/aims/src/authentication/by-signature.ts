import { AimsError } from '../base/errors.ts'
import { requireLiveWit } from '../credentials/revocation/require.ts'
import { compatUseOf } from './audit.ts'
import { checkSignedBody } from './http-signature/check.ts'
import { type ResponseSigner, responseSigner } from './http-signature/responses.ts'
import { SIGNATURE_SHAPES } from './http-signature/shapes.ts'
import {
  checkRequestSignature,
  consumeNonce,
  type RequestSignatureExpectations,
} from './http-signature/verify-request.ts'
import { makePrincipal, type Principal, type PrincipalFacts } from './principal.ts'
import { DEFAULT_PROFILES, requireProfile, requireProfileFor } from './profile-policy.ts'
import { type AuthenticatorOptions, type Judge, judgeAfter, readBody, timeAfter } from './request.ts'
import type { SharedState } from './shared-state.ts'

/** Judges by a WIT and the signature that its key made over this request. */
export function signatureJudge(
  options: AuthenticatorOptions,
  { verifyWit, marks }: SharedState,
  clock: () => number,
  signers: WeakMap<Principal, ResponseSigner>,
): Judge {
  const { profiles = DEFAULT_PROFILES, observer, replays, revocations, responses } = options
  const rules = rulesOf(options)

  return async ({ request, carried, binding, now, id }) => {
    if (carried.kind !== 'signature') throw new TypeError('the request carries no signature')
    const { profile, signature } = carried
    requireProfile(profiles, profile)
    const wit = verifyWit('wimse', carried.wit, now)
    requireProfileFor(profiles, profile, wit, now)
    const checked = checkRequestSignature(request, signature, { ...rules, wit, now })
    const { method, target } = request
    const answered = { method, target, nonce: checked.nonce, profile }
    // Before the nonce is used up: a caller that is told no here may ask again without the demand.
    const demand = { demanded: checked.demandsResponse, possible: request.answersUnsigned !== true }
    const signer = responseSigner(responses, demand, answered, clock)
    const seen = await readBody(request, checked.contentDigest !== undefined)
    if (seen === undefined && binding.body === true) {
      throw new AimsError('proof.binding_missing', 'the body that the signature is to cover is not seen')
    }
    const body = checkSignedBody(checked, seen)
    const later = timeAfter({ now, expiresAt: checked.expiresAt }, clock, 'signature.expired')
    judgeAfter(later - now, () => verifyWit('wimse', carried.wit, later))
    if (marks !== undefined && (await marks.admit(wit.subject, SIGNATURE_SHAPES[profile].generation)) !== true) {
      throw new AimsError('authentication.downgrade', 'the caller has used a stronger profile before')
    }
    const consuming = consumeNonce(checked, replays, later)
    if (consuming !== undefined) await consuming
    // Last of all, because the body may have taken its time.
    requireLiveWit(revocations, wit, later)
    const facts: PrincipalFacts = {
      id: wit.subject,
      method: 'http-signature',
      profile,
      credential: { type: 'wit', id: wit.id ?? wit.confirmation.thumbprint },
      covers: { method: true, target: true, body, response: signer !== undefined },
      expiresAt: wit.expiresAt,
      ...(wit.attested === undefined ? {} : { attested: wit.attested }),
      ...(wit.delegation === undefined ? {} : { delegation: wit.delegation }),
    }
    const principal = makePrincipal(facts, (at) => requireLiveWit(revocations, verifyWit('wimse', carried.wit, at), at))
    if (signer !== undefined) signers.set(principal, signer)
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
  contextTokens,
}: AuthenticatorOptions): Omit<RequestSignatureExpectations, 'wit' | 'now'> {
  return {
    audiences,
    ...(origins === undefined ? {} : { origins }),
    ...(maxLifetime === undefined ? {} : { maxLifetime }),
    ...(clockSkew === undefined ? {} : { clockSkew }),
    ...(contextTokens === undefined ? {} : { contextTokens }),
  }
}
