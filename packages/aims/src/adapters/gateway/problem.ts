import type { Authenticator } from '../../authentication/authenticate.ts'
import type { ProblemResponse } from '../../authentication/problem.ts'
import type { RouteRequirements } from '../../authentication/route.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'

/** What a caller may know of a refusal that is not about its proof. */
const ANSWERS: { readonly [code in AimsErrorCode]?: readonly [status: number, title: string] } = {
  'authentication.reserved_field': [400, 'Reserved field'],
  'authentication.target_unsupported': [400, 'Target not supported'],
  'authorization.ambiguous_path': [400, 'Ambiguous path'],
  'authorization.path_too_long': [414, 'Path too long'],
  'authorization.unknown_method': [405, 'Method not known'],
  'authorization.no_route': [403, 'Not allowed'],
  'authorization.rights_unchecked': [403, 'Not allowed'],
  'authorization.denied': [403, 'Not allowed'],
  'operation.service_unreachable': [502, 'Service not reachable'],
  'operation.service_timeout': [504, 'Service did not answer'],
  'operation.shutting_down': [503, 'Shutting down'],
}

/** The answer of a gateway: that of the authenticator, with the id also in a field, and those of its own. */
export function problemOf(
  authenticator: Authenticator,
  error: unknown,
  id: string,
  route?: RouteRequirements,
): ProblemResponse {
  const own = AimsError.is(error) ? ANSWERS[error.code] : undefined
  if (own === undefined || !AimsError.is(error)) return named(authenticator.problem(error, id, route), id)
  const [status, title] = own
  const body = JSON.stringify({ type: 'about:blank', title, status, code: error.code, id })
  return named(
    { status, headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }, body },
    id,
  )
}

function named({ status, headers, body }: ProblemResponse, id: string): ProblemResponse {
  return { status, headers: { ...headers, 'aims-request-id': id }, body }
}
