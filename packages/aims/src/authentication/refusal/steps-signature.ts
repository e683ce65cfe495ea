import { targetText, timeText } from '../../base/check.ts'
import { DEFAULT_MAX_LIFETIME } from '../http-signature/verify-request.ts'
import { isLateBody } from '../late-body.ts'
import { integerParameter, stringParameter } from '../message-signatures/signature.ts'
import { audienceDifference } from './differences.ts'
import { attempt, type RefusalFacts, type Step } from './facts.ts'
import { BODY_CODES, IN_TIME_STEP, inTime, unseen } from './steps-body.ts'

/** The checks of an HTTP signature in the order in which they are made. */
export const SIGNATURE_STEPS: readonly Step[] = [
  {
    check: 'signature.target',
    codes: ['signature.target_unsupported'],
    tell: ({ request: { target } }) => ({ expected: 'a path, with or without a query', observed: targetText(target) }),
  },
  {
    check: 'signature.parameters',
    codes: [
      'signature.missing_parameter',
      'signature.invalid_parameter',
      'signature.forbidden_parameter',
      'signature.too_large',
    ],
    tell: ({ carried }) => ({
      expected: 'created, expires, nonce, tag and wimse-aud',
      observed: carried?.kind === 'signature' ? [...carried.signature.parameters.keys()].join(', ') : 'none',
    }),
  },
  {
    check: 'signature.times',
    codes: ['signature.expired', 'signature.not_yet_valid', 'signature.lifetime_too_long'],
    isIt: ({ error }) => !isLateBody(error),
    tell: (facts) => {
      const { now, credential, options } = facts
      const created = integerOf(facts, 'created')
      const issued = credential?.claims.iat
      const isEarly = created !== undefined && typeof issued === 'number' && created < issued - SLACK
      return {
        expected: `valid at ${timeText(now, now)}, for at most ${options.maxLifetime ?? DEFAULT_MAX_LIFETIME} s`,
        observed: `created ${timeText(created, now)}; expires ${timeText(integerOf(facts, 'expires'), now)}`,
        difference: isEarly ? 'before-its-wit' : created !== undefined && created > now ? 'ahead' : 'late',
      }
    },
  },
  {
    check: 'signature.coverage',
    codes: ['signature.not_covered', 'signature.invalid_component', 'signature.missing_component'],
    tell: ({ carried }) => ({
      expected: 'method, path, query, WIT, and each of the fields that count which is there',
      observed:
        carried?.kind === 'signature' ? carried.signature.components.map(({ name }) => name).join(', ') : 'none',
    }),
  },
  {
    check: 'signature.bytes',
    codes: ['signature.invalid_signature', 'signature.alg_mismatch', 'signature.malformed'],
    isIt: ({ error, carried }) => error.code !== 'signature.malformed' || carried?.kind === 'signature',
    tell: ({ request: { method, target } }) => ({ expected: `a signature of ${method} ${targetText(target)}` }),
  },
  {
    check: 'signature.audience',
    codes: ['signature.audience_mismatch'],
    tell: (facts) => {
      const { audiences, origins = [] } = facts.options
      const own = [...audiences, ...origins]
      const given = stringOf(facts, 'wimse-aud') ?? 'none'
      return { expected: own.join(' or '), observed: given, difference: audienceDifference(given, own) }
    },
  },
  {
    check: 'signature.response',
    codes: ['signature.cannot_sign'],
    tell: () => ({ expected: 'nothing, or that this service can sign its responses' }),
  },
  {
    check: 'signature.body',
    codes: [
      'signature.digest_missing',
      'signature.digest_unsupported',
      'signature.digest_mismatch',
      'proof.binding_missing',
      ...BODY_CODES,
    ],
    tell: ({ request, error }) => ({ expected: digestIn(request.headers), ...unseen(error) }),
  },
  {
    ...IN_TIME_STEP,
    tell: (facts) => inTime(facts, integerOf(facts, 'expires')),
  },
]

const SLACK = 30

/** The nonce of the signature. */
export function nonceOf(facts: RefusalFacts): string {
  return `nonce ${stringOf(facts, 'nonce') ?? 'none'}`
}

function stringOf({ carried }: RefusalFacts, name: string): string | undefined {
  return carried?.kind === 'signature' ? attempt(() => stringParameter(carried.signature, name)) : undefined
}

function integerOf({ carried }: RefusalFacts, name: string): number | undefined {
  return carried?.kind === 'signature' ? attempt(() => integerParameter(carried.signature, name)) : undefined
}

function digestIn(headers: RefusalFacts['request']['headers']): string {
  return headers.find(([name]) => name.toLowerCase() === 'content-digest')?.[1] ?? 'no Content-Digest'
}
