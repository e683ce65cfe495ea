import { AimsError } from '../base/errors.ts'

/** The path of a request that has one spelling only, e.g. `/api/v1/events`. Only {@link canonicalPath} makes one. */
export type CanonicalPath = string & { readonly __brand: 'CanonicalPath' }

const MAX_PATH = 2048
// RFC 3986 pchar without the semicolon, the slash, and percent escapes in upper case. Raw backslash, control and non-ASCII
// are outside. Servers disagree about `admin;x`: to some it is a name, to others `admin` with a parameter.
const WELL_FORMED = /^(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-F]{2})*$/
// Escapes of characters that need none (a second spelling), and of / \ % ; and control characters.
const AMBIGUOUS_ESCAPE = /%(?:[01][0-9A-F]|2[5DEF]|3[0-9B]|4[1-9A-F]|5[0-9ACF]|6[1-9A-F]|7[0-9AEF])/
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/

/**
 * Takes the path out of an HTTP request target, e.g. `/api/v1/events?limit=3` gives `/api/v1/events`.
 *
 * It accepts or refuses and never rewrites, so the path a decision is about is the path that was received. Route on
 * the returned value. A trailing slash and upper case are kept: `/admin/` is not `/admin`, also where a router treats
 * them alike, so write permits for the paths you mean rather than forbids for those you do not. A semicolon is refused, also
 * as `%3B`: what stands behind it is a part of the name to one server, and nothing to the next.
 *
 * @param target - Origin form only: starts with one slash. The query is cut off and plays no part in the decision.
 * @throws {@link AimsError} `authorization.ambiguous_path`, `authorization.path_too_long`
 * @see RFC 3986 sections 3.3 and 6.2.2; RFC 9112 section 3.2.1
 */
export function canonicalPath(target: string): CanonicalPath {
  const query = target.indexOf('?')
  const path = query === -1 ? target : target.slice(0, query)
  if (path.length > MAX_PATH) {
    throw new AimsError('authorization.path_too_long', `the path is longer than ${MAX_PATH} characters`)
  }
  if (!path.startsWith('/')) throw new AimsError('authorization.ambiguous_path', 'the path does not start with a slash')
  if (path.includes('//')) throw new AimsError('authorization.ambiguous_path', 'the path has an empty segment')
  if (DOT_SEGMENT.test(path)) throw new AimsError('authorization.ambiguous_path', 'the path has a dot segment')
  if (!WELL_FORMED.test(path)) {
    throw new AimsError('authorization.ambiguous_path', 'the path has a character or escape that is not allowed')
  }
  if (AMBIGUOUS_ESCAPE.test(path) || !decodes(path)) {
    throw new AimsError('authorization.ambiguous_path', 'the path has an escape that servers read differently')
  }
  return path as CanonicalPath
}

// False for escapes that are not UTF-8, among them the overlong forms of slash and dot.
function decodes(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
