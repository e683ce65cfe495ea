import { type CheckFacts, timeText } from '../../base/check.ts'
import type { AimsError, AimsErrorCode } from '../../base/errors.ts'
import { isLateBody } from '../late-body.ts'
import type { RefusalFacts, Step } from './facts.ts'

/** What can be wrong with a body, however it is named. */
export const BODY_CODES: readonly AimsErrorCode[] = [
  'authentication.body_too_large',
  'authentication.body_read_before',
  'authentication.body_unseen',
]

/** What a refusal says when there was no body to look at. */
export function unseen({ code }: AimsError): CheckFacts {
  return code === 'authentication.body_unseen'
    ? { observed: 'no body is shown to this verifier', difference: 'unseen' }
    : {}
}

/** Whether proof and WIT were still good when the body was there. */
export const IN_TIME_STEP: Step = {
  check: 'request.body-in-time',
  codes: ['proof.expired', 'signature.expired', 'credential.expired'],
  isIt: ({ error }) => isLateBody(error),
}

/** @param expiresAt - Of the proof or signature, as the caller says. */
export function inTime({ credential, error, now }: RefusalFacts, expiresAt: unknown): CheckFacts {
  const ends = [expiresAt, credential?.claims.exp].filter((end) => typeof end === 'number')
  return {
    expected: `the body by ${timeText(Math.min(...ends), now)}`,
    ...(isLateBody(error) && error.observed !== undefined ? { observed: error.observed, difference: 'slow-body' } : {}),
  }
}
