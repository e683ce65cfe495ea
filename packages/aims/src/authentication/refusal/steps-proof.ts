import { type CheckFacts, targetText, timeText } from '../../base/check.ts'
import type { JsonObject } from '../../base/json.ts'
import { isLateBody } from '../late-body.ts'
import { PROFILE_RULES } from '../profile-rules.ts'
import { BODY_DIGEST_CLAIM, bodyDigest, LOST_BODY } from '../wpt/body-digest.ts'
import { DEFAULT_MAX_LIFETIME } from '../wpt/verify.ts'
import { audienceDifference, targetDifference } from './differences.ts'
import { type RefusalFacts, type Step, textOf } from './facts.ts'
import { BODY_CODES, IN_TIME_STEP, inTime, unseen } from './steps-body.ts'

/** What comes first for every proof, whatever it is for: that the key of the WIT made it. */
export const PROOF_KEY_STEPS: readonly Step[] = [
  {
    check: 'proof.form',
    codes: ['proof.malformed', 'proof.too_large', 'proof.wrong_type', 'proof.forbidden_header'],
    tell: ({ proof }) => ({ observed: `typ ${textOf(proof?.typ)}, alg ${textOf(proof?.alg)}` }),
  },
  {
    check: 'proof.algorithm',
    codes: ['proof.alg_mismatch'],
    tell: ({ proof, credential }) => ({ expected: confirmedAlg(credential?.claims), observed: textOf(proof?.alg) }),
  },
  { check: 'proof.signature', codes: ['proof.invalid_signature'] },
]

/** Which WIT the proof was made for. */
export const PROOF_WIT_STEP: Step = {
  check: 'proof.wit',
  codes: ['proof.wit_mismatch', 'proof.issuer_mismatch'],
  tell: ({ proof }) => ({
    expected: 'the hash of the WIT beside it',
    observed: `wth ${textOf(proof?.claims.wth)}`,
  }),
}

/** Whether it has an identifier that can be used up. */
export const PROOF_ID_STEP: Step = {
  check: 'proof.id',
  codes: ['proof.invalid_claim'],
  isIt: ({ proof }) => lengthOf(proof?.claims.jti) < 16 || lengthOf(proof?.claims.jti) > 256,
  tell: ({ proof }) => ({
    expected: 'jti of 16 to 256 characters',
    observed: `${lengthOf(proof?.claims.jti)} characters`,
  }),
}

/** When the proof was made and ends, as its caller says, against what counts here. */
export function proofTimes({ proof, credential, now, options }: RefusalFacts): CheckFacts {
  const { maxLifetime = DEFAULT_MAX_LIFETIME } = options
  const { iat, exp } = proof?.claims ?? {}
  return {
    expected: `valid at ${timeText(now, now)}, for at most ${maxLifetime} s`,
    observed: `iat ${timeText(iat, now)}; exp ${timeText(exp, now)}`,
    ...timeDifference(iat, credential?.claims.iat, now),
  }
}

/** Whether a claim is there and of another type. */
export function isOdd(value: unknown, type: 'string' | 'number'): boolean {
  return value !== undefined && typeof value !== type
}

/** The checks of a WPT in the order in which they are made. */
export const PROOF_STEPS: readonly Step[] = [
  ...PROOF_KEY_STEPS,
  {
    check: 'proof.claims',
    codes: ['proof.missing_claim'],
    tell: (facts) => ({ expected: requiredOf(facts).join(', '), observed: missingOf(facts) }),
  },
  {
    check: 'proof.audience',
    codes: ['proof.audience_mismatch', 'proof.invalid_claim'],
    isIt: ({ error, proof }) => isMismatch(error.code) || typeof proof?.claims.aud !== 'string',
    tell: ({ proof, options: { audiences, origins = [] } }) => {
      const aud = textOf(proof?.claims.aud)
      const own = [...audiences, ...origins]
      return { expected: own.join(' or '), observed: aud, difference: audienceDifference(aud, own) }
    },
  },
  {
    check: 'proof.times',
    codes: ['proof.expired', 'proof.not_yet_valid', 'proof.lifetime_too_long', 'proof.invalid_claim'],
    isIt: ({ error, proof }) =>
      error.code === 'proof.invalid_claim'
        ? ['exp', 'nbf', 'iat'].some((name) => isOdd(proof?.claims[name], 'number'))
        : !isLateBody(error),
    tell: proofTimes,
  },
  PROOF_WIT_STEP,
  PROOF_ID_STEP,
  {
    check: 'proof.method',
    codes: ['proof.method_mismatch', 'proof.binding_missing', 'proof.invalid_claim'],
    isIt: ({ error, proof, binding }) =>
      isMismatch(error.code) ||
      isOdd(proof?.claims.htm, 'string') ||
      (lacks(proof?.claims, 'htm') && binding.method === true),
    tell: ({ proof, request }) => ({
      expected: request.method,
      observed: `htm ${textOf(proof?.claims.htm)}`,
      difference: textOf(proof?.claims.htm).toUpperCase() === request.method.toUpperCase() ? 'case' : 'method',
    }),
  },
  {
    check: 'proof.target',
    codes: ['proof.target_mismatch', 'proof.binding_missing', 'proof.invalid_claim'],
    isIt: ({ error, proof, binding }) =>
      isMismatch(error.code) ||
      isOdd(proof?.claims.htu, 'string') ||
      (lacks(proof?.claims, 'htu') && binding.target === true),
    tell: ({ proof, request: { target }, options }) => {
      const htu = proof?.claims.htu
      return {
        expected: targetText(target),
        observed: `htu ${targetText(textOf(htu))}`,
        ...(typeof htu === 'string' ? { difference: targetDifference(htu, target, options.origins) } : {}),
      }
    },
  },
  {
    check: 'proof.tokens',
    codes: [
      'proof.access_token_mismatch',
      'proof.txn_token_mismatch',
      'proof.other_token_mismatch',
      'authentication.duplicate_field',
    ],
    tell: ({ proof, options: { contextTokens = [] } }) => ({
      expected: contextTokens.length === 0 ? 'the tokens that the proof names' : contextTokens.join(', '),
      observed: ['ath', 'tth', 'oth'].filter((name) => proof?.claims[name] !== undefined).join(', '),
    }),
  },
  {
    check: 'proof.body',
    codes: ['proof.body_mismatch', 'proof.binding_missing', 'proof.invalid_claim', ...BODY_CODES],
    tell: ({ proof, error }) => ({
      expected: textOf(proof?.claims[BODY_DIGEST_CLAIM]),
      ...unseen(error),
      ...(error.observed === undefined || isLateBody(error)
        ? {}
        : { observed: error.observed, difference: bodyDifference(error.observed) }),
    }),
  },
  {
    ...IN_TIME_STEP,
    // Without a body that counts nothing is waited for.
    isMade: ({ proof, binding }) => proof?.claims[BODY_DIGEST_CLAIM] !== undefined || binding.body === true,
    tell: (facts) => inTime(facts, facts.proof?.claims.exp),
  },
]

const EMPTY = bodyDigest(new Uint8Array())

function bodyDifference(observed: string): string {
  if (observed === LOST_BODY) return 'lost'
  return observed === EMPTY ? 'empty' : 'content'
}

function isMismatch(code: string): boolean {
  return code.endsWith('_mismatch')
}

function lacks(claims: JsonObject | undefined, name: string): boolean {
  return claims?.[name] === undefined
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}

function requiredOf({ carried }: RefusalFacts): readonly string[] {
  return carried?.kind === 'proof' ? PROFILE_RULES[carried.profile].required : []
}

function missingOf(facts: RefusalFacts): string {
  const missing = requiredOf(facts).filter((name) => facts.proof?.claims[name] === undefined)
  return missing.length === 0 ? 'all of them' : `no ${missing.join(', no ')}`
}

function confirmedAlg(claims: JsonObject | undefined): string {
  const cnf = claims?.cnf
  const jwk = typeof cnf === 'object' && cnf !== null && 'jwk' in cnf ? cnf.jwk : undefined
  return typeof jwk === 'object' && jwk !== null && 'alg' in jwk ? `${textOf(jwk.alg)}, of cnf` : 'the one in cnf'
}

// Nobody proves with a WIT before it is issued: then it is the prover's clock, and not the way that took long.
function timeDifference(iat: unknown, issued: unknown, now: number): { readonly difference?: string } {
  if (typeof iat !== 'number') return {}
  if (typeof issued === 'number' && iat < issued - SLACK) return { difference: 'before-its-wit' }
  return { difference: iat > now + SLACK ? 'ahead' : 'late' }
}

/** Issuers write whole seconds, and a little may be wrong everywhere. */
const SLACK = 30
