import type { Authorizer } from '../../authorization/authorizer.ts'
import type { AimsErrorCode } from '../../base/errors.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import type { Caller } from '../admit.ts'
import { isDecided, type ToolRules, toAccessRequest } from './access-request.ts'
import { findCaller } from './caller.ts'
import type { McpEndpoint, McpMessage, McpMessageExtra, McpTransport } from './messages.ts'
import { answerWithTasks, tasksOf } from './tasks.ts'

/** Who the server is, and who decides. */
export interface WithAimsOptions extends ToolRules {
  readonly authorizer: Authorizer
  /**
   * Leave it to the policies who asks about which task: for a store of tasks that other processes fill as well. Default: a
   * task belongs to the caller that it was handed out to by a server with this authorizer.
   */
  readonly acceptTasksOfOthers?: true
}

/**
 * Makes an MCP server of the official SDK (2.x, and 1.x) ask the policies before each call of a tool, and each other
 * request but those that begin a session or list what there is. Returns the same server. Call it before `connect`.
 *
 * Works on messages, in front of all handlers: the order in which tools are registered does not matter. What is denied
 * is answered with an error of JSON-RPC that has an id for `aims explain` and no reason. A message without a principal, as
 * `protectMcp` attaches it, is refused: a server that nobody protects serves nobody.
 *
 * A task belongs to the caller that it was handed out to; for everybody else it is denied, and in no list.
 *
 * Policies see arguments as they were sent, before the tool's schema converts or completes them.
 */
export function withAims<S extends McpEndpoint | { readonly server: McpEndpoint }>(
  server: S,
  options: WithAimsOptions,
): S {
  const endpoint: McpEndpoint = 'server' in server ? server.server : server
  const connect = endpoint.connect
  Object.assign(endpoint, {
    async connect(transport: McpTransport): Promise<void> {
      const connecting: Promise<void> = Reflect.apply(connect, endpoint, [transport])
      // Before the first message: the SDK takes the transport at once, and only starting it takes time.
      const isGuarded = guard(transport, options)
      await connecting
      if (!isGuarded) throw new TypeError('the server did not take its transport at once: this SDK is not supported')
    },
  })
  return server
}

function guard(transport: McpTransport, options: WithAimsOptions): boolean {
  const deliver = transport.onmessage?.bind(transport)
  if (deliver === undefined) return false
  // Requests that are being decided, without those that were cancelled meanwhile.
  const pending = new Set<unknown>()
  // Callers of requests that were not answered yet.
  const callers = new Map<unknown, WorkloadId>()
  const tasks = tasksOf(options.authorizer)
  const send = transport.send.bind(transport)
  transport.send = async (message, ...rest) => {
    const caller = message.method === undefined ? callers.get(message.id) : undefined
    if (caller !== undefined) callers.delete(message.id)
    // Also where a client has given one id to two requests, and so the second answer is to nobody.
    await send(options.acceptTasksOfOthers === true ? message : answerWithTasks(message, caller, tasks), ...rest)
  }
  const decide = async (message: McpMessage, extra: McpMessageExtra | undefined, caller: Caller): Promise<void> => {
    pending.add(message.id)
    const refusal = await findRefusal(message, caller, options)
    if (!pending.delete(message.id)) return
    if (refusal === undefined) {
      callers.set(message.id, caller.principal.id)
      deliver(message, extra)
    } else await refuse(transport, message, refusal, caller.correlationId)
  }
  transport.onmessage = (message, extra) => {
    const caller = findCaller(extra ?? {})
    const { id, method, params } = message
    const isRequest = id !== undefined && method !== undefined
    const settle = (work: Promise<void>): void => void work.catch((error: Error) => transport.onerror?.(error))
    if (caller === undefined) {
      if (isRequest) settle(refuse(transport, message, 'mcp.unauthenticated'))
    } else if (isRequest && isDecided(method)) {
      settle(decide(message, extra, caller))
    } else if (method !== 'notifications/cancelled' || !pending.delete(params?.requestId)) {
      if (method === 'notifications/cancelled') callers.delete(params?.requestId)
      deliver(message, extra)
    }
  }
  return true
}

/** Asks the policies about one request. Why it is refused, or nothing. */
export async function findRefusal(
  message: McpMessage,
  { principal, correlationId }: Caller,
  options: WithAimsOptions,
): Promise<Refusal | undefined> {
  const { authorizer, acceptTasksOfOthers = false } = options
  const ownsTask = (taskId: string): boolean =>
    acceptTasksOfOthers || tasksOf(authorizer).ownerOf(taskId) === principal.id
  try {
    const question = toAccessRequest(message, principal, options, ownsTask)
    const { effect } = await authorizer.authorize(question, correlationId)
    return effect === 'allow' ? undefined : 'mcp.denied'
  } catch {
    // What cannot be decided, or not be recorded, does not happen.
    return 'mcp.undecided'
  }
}

async function refuse(
  transport: McpTransport,
  { id }: McpMessage,
  code: Refusal,
  correlationId?: string,
): Promise<void> {
  const data = { code, ...(correlationId === undefined ? {} : { id: correlationId }) }
  await transport.send({ jsonrpc: '2.0', id, error: { ...REFUSALS[code], data } })
}

type Refusal = Extract<AimsErrorCode, 'mcp.unauthenticated' | 'mcp.denied' | 'mcp.undecided'>

// Of those that JSON-RPC leaves to servers, and MCP does not use.
const REFUSALS: { readonly [code in Refusal]: { readonly code: number; readonly message: string } } = {
  'mcp.unauthenticated': { code: -32_010, message: 'Not authenticated' },
  'mcp.denied': { code: -32_011, message: 'Not permitted' },
  'mcp.undecided': { code: -32_012, message: 'Cannot be decided now' },
}
