import { type Check, checkOf } from '../../base/check.ts'
import type { AimsError, AimsErrorCode } from '../../base/errors.ts'

/** What a gateway looks at before it asks who calls, by the code of its refusal. */
const CHECK_OF: { readonly [code in AimsErrorCode]?: string } = {
  'authentication.target_unsupported': 'request.target',
  'authentication.reserved_field': 'request.reserved-fields',
  'authentication.duplicate_field': 'request.head',
  'authentication.malformed_field': 'request.head',
  'authorization.ambiguous_path': 'request.path',
  'authorization.path_too_long': 'request.path',
  'authorization.unknown_method': 'request.method',
  'authorization.no_route': 'request.route',
  'authorization.rights_unchecked': 'access.rights',
}

/** The one check that a request did not pass at a gateway, for its record. None for what is no fault of the request. */
export function gateChecks({ code, observed }: AimsError): readonly Check[] {
  const check = CHECK_OF[code]
  return check === undefined ? [] : [checkOf(check, 'failed', observed === undefined ? {} : { observed })]
}
