import { isPrincipal, type Principal } from '../authentication/principal.ts'
import { AimsError } from '../base/errors.ts'
import { pathOf, type WorkloadId } from '../identifiers/spiffe-id.ts'
import { type CanonicalPath, canonicalPath } from './path.ts'

/** The HTTP methods that policies can name. */
export type HttpMethod = 'GET' | 'HEAD' | 'OPTIONS' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What the caller wants to do: an HTTP method on a path, or the call of a tool. */
export type Action =
  | { readonly kind: 'http'; readonly method: HttpMethod; readonly path: CanonicalPath }
  | { readonly kind: 'call' }

/** What it wants to do it to. A tool belongs to the server that offers it. */
export type Resource =
  | { readonly kind: 'service'; readonly id: WorkloadId }
  | { readonly kind: 'tool'; readonly server: WorkloadId; readonly name: string }

/** Flat facts about this one request: text, whole numbers, booleans. At most 32, names like `amount` or `ticketId`. */
export interface RequestFacts {
  readonly [name: string]: string | number | boolean
}

/** A person or system on whose behalf the agent acts, as a verified token of `issuer` names it. */
export interface UserReference {
  /** URL without fragment. */
  readonly issuer: string
  readonly subject: string
}

/** One question to the policies. */
export interface AccessRequest {
  /** From `authenticate`, never from the request's own words: any other object is no principal. */
  readonly principal: Principal
  readonly action: Action
  readonly resource: Resource
  /** Only from a token that was verified: it is not checked here. */
  readonly user?: UserReference
  /** Facts that the service itself knows or has checked. Policies see text and booleans as `context.facts`, numbers as `context.numbers`. */
  readonly context?: RequestFacts
}

const METHODS: ReadonlySet<string> = new Set<HttpMethod>(['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'])
const TOOL_NAME = /^[A-Za-z0-9_./-]{1,128}$/
const FACT_NAME = /^[a-z][A-Za-z0-9_]{0,63}$/
const MAX_FACTS = 32
const MAX_TEXT = 1024
const MAX_SEGMENTS = 64

/**
 * The action of an HTTP request.
 *
 * @param method - As on the request line: upper case.
 * @param target - The request target; the query plays no part. Route on `path` of the result.
 * @throws {@link AimsError} `authorization.unknown_method`, `.ambiguous_path`, `.path_too_long`
 */
export function httpAction(method: string, target: string): Extract<Action, { kind: 'http' }> {
  if (!isHttpMethod(method))
    throw new AimsError(
      'authorization.unknown_method',
      'no policy can name this HTTP method: they are in upper case, e.g. GET',
    )
  return { kind: 'http', method, path: canonicalPath(target) }
}

/** The service that is called, by its own identifier, e.g. `spiffe://example.com/service/events-api`. */
export function serviceResource(id: WorkloadId): Extract<Resource, { kind: 'service' }> {
  return { kind: 'service', id }
}

/**
 * The action and the resource of an MCP tool call; spread it into an {@link AccessRequest}.
 *
 * @param server - The MCP server's own identifier.
 * @param tool - As in `tools/call`: letters, digits, `_`, `-`, `.`, `/`, at most 128.
 * @throws {@link AimsError} `authorization.invalid_tool`
 * @see MCP, section "Tools", tool names
 */
export function toolCall(
  server: WorkloadId,
  tool: string,
): { readonly action: Action; readonly resource: Extract<Resource, { kind: 'tool' }> } {
  if (!TOOL_NAME.test(tool)) throw new AimsError('authorization.invalid_tool', 'not a tool name')
  return { action: { kind: 'call' }, resource: { kind: 'tool', server, name: tool } }
}

/**
 * What is wrong with a request that no engine should see, or `undefined`. Types say most of it, but a request may
 * come from code without types, and what is missing, truncated or oversized must deny.
 */
export function findRequestProblem(request: AccessRequest): string | undefined {
  const { principal, action, resource, user, context } = request
  if (!isPrincipal(principal) || typeof principal.id !== 'string') return 'the principal is not authenticated'
  if (pathOf(principal.id).split('/').length > MAX_SEGMENTS)
    return 'the identifier of the principal has too many segments'
  if (action?.kind === 'http') {
    if (!isHttpMethod(action.method) || typeof action.path !== 'string') return 'the action is not known'
    if (resource?.kind !== 'service' || typeof resource.id !== 'string') return 'an HTTP action needs a service'
  } else if (action?.kind === 'call') {
    if (resource?.kind !== 'tool' || typeof resource.server !== 'string') return 'a call needs a tool'
    if (!TOOL_NAME.test(resource.name)) return 'the tool has no proper name'
  } else {
    return 'the action is not known'
  }
  if (user !== undefined && !isUser(user)) return 'the user is not an issuer and a subject'
  return context === undefined ? undefined : findFactProblem(context)
}

function findFactProblem(facts: RequestFacts): string | undefined {
  if (typeof facts !== 'object' || facts === null) return 'the context is not an object'
  const entries = Object.entries(facts)
  if (entries.length > MAX_FACTS) return `more than ${MAX_FACTS} facts`
  for (const [name, value] of entries) {
    if (!FACT_NAME.test(name)) return 'a fact has a name that policies cannot use'
    if (!(isText(value) || typeof value === 'boolean' || Number.isSafeInteger(value))) {
      return 'a fact is not a short text, a whole number or a boolean'
    }
  }
  return undefined
}

function isHttpMethod(method: string): method is HttpMethod {
  return METHODS.has(method)
}

// The issuer has no fragment, so the first # of `issuer#subject` separates the two whatever the subject contains.
function isUser({ issuer, subject }: UserReference): boolean {
  return isText(issuer) && issuer !== '' && !issuer.includes('#') && isText(subject) && subject !== ''
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT && value.isWellFormed()
}
