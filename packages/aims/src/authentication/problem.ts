import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import type { AuthenticationMethod } from './principal.ts'

/** An HTTP answer that says no. */
export interface ProblemResponse {
  readonly status: number
  /** Lower-case field names. */
  readonly headers: { readonly [field: string]: string }
  /** RFC 9457, JSON. */
  readonly body: string
}

/**
 * What a caller is told when its request is refused: a status, a challenge, and an id for the operator to look up. Which
 * check failed is in the audit record with this id, and nowhere else.
 *
 * @param error - What `authenticate` threw. Anything but a refusal becomes 500.
 * @see draft-ietf-wimse-wpt-02 and draft-ietf-wimse-http-signature-07, on errors; RFC 9110 section 11.6.1; RFC 9457
 */
export function problemFor(error: unknown, id: string, methods: readonly AuthenticationMethod[]): ProblemResponse {
  const { status, code, title } = answerTo(error, methods)
  const challenge = challengeOf(methods)
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(status === 401 ? { 'www-authenticate': challenge } : {}),
      ...(status === 503 ? { 'retry-after': '1' } : {}),
    },
    body: JSON.stringify({ type: 'about:blank', title, status, code, id }),
  }
}

interface Answer {
  readonly status: number
  readonly code: AimsErrorCode | 'internal'
  readonly title: string
}

const UNAVAILABLE = ['proof.replay_store_full', 'proof.replay_store_unavailable', 'proof.replay_store_secret_mismatch']
/** What a store, a log or a server of ours could not do: no fault of a caller. */
const OURS = /^(?:storage|audit|operation)\./
const NOT_ABOUT_PROOFS = [
  'authentication.duplicate_field',
  'authentication.malformed_field',
  'authentication.mixed_profiles',
]

function answerTo(error: unknown, methods: readonly AuthenticationMethod[]): Answer {
  if (!AimsError.is(error) || error.code === 'authentication.body_read_before')
    return { status: 500, code: 'internal', title: 'Internal error' }
  const { code } = error
  const refused = (status: number): Answer => ({ status, code: 'authentication.refused', title: 'Not authenticated' })
  if (UNAVAILABLE.includes(code) || OURS.test(code)) {
    return { status: 503, code: 'authentication.unavailable', title: 'Proofs cannot be checked now' }
  }
  if (code === 'authentication.body_too_large') return { status: 413, code, title: 'Body too large' }
  if (code === 'signature.cannot_sign') return { status: 501, code, title: 'Responses cannot be signed here' }
  if (NOT_ABOUT_PROOFS.includes(code) || code.startsWith('signature.')) return refused(400)
  // A faulty WIT is a faulty request (workload-creds); a faulty bearer token is not.
  const takesWits = methods.includes('wit+wpt') || methods.includes('http-signature')
  if (code.startsWith('credential.') && takesWits) return refused(400)
  const canTryAgain = challengeOf(methods) !== '' && code !== 'authentication.peer_unexpected'
  if (code === 'authentication.missing') return { ...refused(canTryAgain ? 401 : 403), code }
  return refused(canTryAgain ? 401 : 403)
}

// No parameters: the draft defines none, and reasons do not belong there.
function challengeOf(methods: readonly AuthenticationMethod[]): string {
  const schemes: string[] = []
  if (methods.includes('wit+wpt')) schemes.push('WPT')
  if (methods.includes('jwt-svid')) schemes.push('Bearer')
  return schemes.join(', ')
}
