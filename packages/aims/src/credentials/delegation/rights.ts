import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'

/**
 * One thing that may be done. Read from text:
 *
 * - `call spiffe://example.com/service/calendar#create_event`: one tool of an MCP server; without `#`, all of them;
 * - `GET spiffe://example.com/service/events-api /api/v1/events`: an HTTP method on a path and what is below it; without
 *   a path, on all of them. `read` stands for GET, HEAD and OPTIONS, `write` for POST, PUT, PATCH and DELETE.
 */
export interface Right {
  readonly action: string
  /** Identifier of the service or MCP server. */
  readonly resource: string
  /** The tool, or the path; absent: all of the resource. */
  readonly within?: string
}

/** Rights of one credential, and the characters they have together: a WIT has to fit into a header field. */
export const MAX_RIGHTS = 32
const MAX_TEXT = 2048

/** The groups of actions, as in the policy schema. */
const GROUPS: { readonly [group: string]: readonly string[] } = {
  read: ['GET', 'HEAD', 'OPTIONS'],
  write: ['POST', 'PUT', 'PATCH', 'DELETE'],
}
const ACTIONS: ReadonlySet<string> = new Set(['call', ...Object.keys(GROUPS), ...Object.values(GROUPS).flat()])
const FORM =
  /^([A-Za-z]{1,8}) ([^ #]{1,512})(?:#([A-Za-z0-9_./-]{1,128})| (\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]{0,512}))?$/
// No request has such a path, and a reader might take it for another one.
const UNCLEAR_PATH = /\/\/|\/\.{1,2}(?:\/|$)/

/** Reads a right. @throws {@link AimsError} `credential.invalid_rights` */
export function parseRight(text: string): Right {
  const [, action = '', resource = '', tool, path] = FORM.exec(text) ?? []
  const isCall = action === 'call'
  if (!ACTIONS.has(action) || (isCall ? path : tool) !== undefined || (path !== undefined && UNCLEAR_PATH.test(path))) {
    throw invalid()
  }
  refuseAs('credential.invalid_rights', 'a right names the identifier of a service', () => parseWimseId(resource))
  const within = tool ?? path
  return { action, resource, ...(within === undefined ? {} : { within }) }
}

/** Reads a list of rights; an empty one allows nothing. @throws {@link AimsError} `credential.invalid_rights` */
export function parseRights(texts: readonly string[]): readonly Right[] {
  if (texts.length > MAX_RIGHTS || texts.reduce((sum, { length }) => sum + length, 0) > MAX_TEXT) {
    throw new AimsError('credential.invalid_rights', `at most ${MAX_RIGHTS} rights of ${MAX_TEXT} characters together`)
  }
  return texts.map(parseRight)
}

/** True when whoever has `right` may do all that `wanted` allows. */
export function coversRight(right: Right, wanted: Right): boolean {
  const isAction = right.action === wanted.action || GROUPS[right.action]?.includes(wanted.action) === true
  if (!isAction || right.resource !== wanted.resource) return false
  const { action, within } = right
  if (within === undefined || within === wanted.within) return true
  if (action === 'call' || wanted.within === undefined) return false
  return wanted.within.startsWith(within.endsWith('/') ? within : `${within}/`)
}

/** True when each of `wanted` is covered by one of `rights`. */
export function areWithin(wanted: readonly Right[], rights: readonly Right[]): boolean {
  return wanted.every((one) => rights.some((right) => coversRight(right, one)))
}

function invalid(): AimsError {
  return new AimsError('credential.invalid_rights', 'a right is an action and a service, with a tool or a path')
}
