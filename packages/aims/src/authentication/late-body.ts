import type { AimsError } from '../base/errors.ts'

const LATE = 'the body came '

/** What was observed, for the record of a refusal, when something had expired before the body was there. */
export function lateBody(seconds: number): string {
  return `${LATE}${Math.ceil(seconds)} s after the head`
}

/** Whether an error is about a body that took its time. */
export function isLateBody({ observed }: AimsError): boolean {
  return observed?.startsWith(LATE) === true
}
