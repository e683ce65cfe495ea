import { isPrincipal, type Principal } from '../../authentication/principal.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf } from '../../identifiers/sub-agent-id.ts'
import type { Caller } from '../admit.ts'

/**
 * What the SDK hands from HTTP to the handlers of a request. Its members are those of an access token; there is none, and
 * `token` is empty, so that no handler can pass one on.
 */
export interface McpAuthInfo {
  token: ''
  /** The caller's identifier. */
  clientId: string
  scopes: string[]
  /** Seconds since the epoch, of the caller's credential. */
  expiresAt: number
  resource: URL
  extra: Caller & Record<string, unknown>
}

/** What the handlers of the SDK get as context, of version 2 (`ctx.http.authInfo`) or 1 (`extra.authInfo`). */
export interface McpContext {
  readonly http?:
    | { readonly authInfo?: { readonly extra?: Record<string, unknown> | undefined } | undefined }
    | undefined
  readonly authInfo?: { readonly extra?: Record<string, unknown> | undefined } | undefined
}

/** Says who calls in the words of the SDK. */
export function toAuthInfo(principal: Principal, correlationId: string, resource: URL): McpAuthInfo {
  return {
    token: '',
    clientId: principal.id,
    scopes: [],
    expiresAt: principal.expiresAt,
    resource,
    extra: { principal, correlationId },
  }
}

/**
 * Who calls, in a handler of a tool, a resource or a prompt, and what ties the records of its request together.
 *
 * @throws TypeError where `protectMcp` was forgotten
 */
export function callerOf(context: McpContext): Caller {
  const caller = findCaller(context)
  if (caller === undefined) throw new TypeError('put protectMcp() in front of this server')
  return caller
}

/**
 * Who acts for whom: the caller, its parent when it is a sub-agent, and so on to the agent that was attested. Each has
 * given the one before it some of its own rights; `principal.delegation` says which.
 */
export function delegationChainOf({ id, delegation }: Principal): readonly WorkloadId[] {
  return delegation === undefined ? [id] : [id, ...ancestorsOf(id).toReversed()]
}

/** Who calls, or nobody. What looks like a principal and was not made by `authenticate` is nobody. */
export function findCaller({ http, authInfo = http?.authInfo }: McpContext): Caller | undefined {
  const { principal, correlationId } = authInfo?.extra ?? {}
  return isPrincipal(principal) && typeof correlationId === 'string' ? { principal, correlationId } : undefined
}
