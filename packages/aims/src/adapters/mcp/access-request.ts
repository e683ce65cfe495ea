import type { Principal } from '../../authentication/principal.ts'
import type { AccessRequest, RequestFacts } from '../../authorization/request.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { isRecord, type McpMessage } from './messages.ts'

/** Tells the policies about the arguments of a call. */
export type ToolFacts = (args: { readonly [name: string]: unknown }) => RequestFacts

/** Whose tools they are, and what policies see of their arguments. */
export interface ToolRules {
  /** The server's own identifier. Its tools are `Tool::"<id>#<name>"`. */
  readonly id: WorkloadId
  /** By tool. Default for a tool: its arguments, each under its own name; those that are no such facts deny the call. */
  readonly facts?: { readonly [tool: string]: ToolFacts }
}

// What everybody may do who may call at all: begin, and see what there is.
const OPEN_METHODS: ReadonlySet<string> = new Set([
  'initialize',
  'server/discover',
  'ping',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
])

/** Begins the names under which policies know the methods that are no tools: `mcp/resources/read`. */
const METHOD_PREFIX = 'mcp/'

/** True for a request that policies decide about. Whatever is not known to be harmless is one. */
export function isDecided(method: string): boolean {
  return !OPEN_METHODS.has(method)
}

/**
 * The question to the policies about one request: `tools/call` is the call of its tool, any other method that of
 * `mcp/<method>`. Never throws for what the caller sends: a name or an argument that policies cannot see makes a request
 * that `authorize` denies as incomplete, and records.
 *
 * @param ownsTask - Whether a task is the caller's. A request about another one is such a request as well.
 */
export function toAccessRequest(
  { method = '', params = {} }: McpMessage,
  principal: Principal,
  rules: ToolRules,
  ownsTask: (taskId: string) => boolean = () => true,
): AccessRequest {
  const isTool = method === 'tools/call'
  const name = isTool ? toolName(params.name) : METHOD_PREFIX + method
  const context = isTool ? toolFacts(name, params.arguments, rules) : methodFacts(params, ownsTask)
  return { principal, action: { kind: 'call' }, resource: { kind: 'tool', server: rules.id, name }, context }
}

// No tool can have the name that policies know a method by. The empty name is none.
function toolName(name: unknown): string {
  return typeof name === 'string' && !name.startsWith(METHOD_PREFIX) ? name : ''
}

function toolFacts(tool: string, args: unknown = {}, { facts = {} }: ToolRules): RequestFacts {
  if (!isRecord(args)) return { arguments: NO_FACT }
  const describe = Object.hasOwn(facts, tool) ? facts[tool] : undefined
  if (describe === undefined) return flatFacts(args)
  try {
    return describe(args)
  } catch {
    // It expected other arguments.
    return { arguments: NO_FACT }
  }
}

// Of a prompt, a resource, a reference to either, or a task.
function methodFacts(
  { ref, taskId, ...params }: { readonly [name: string]: unknown },
  ownsTask: (taskId: string) => boolean,
): RequestFacts {
  const { uri, name } = isRecord(ref) ? ref : params
  const isOwn = typeof taskId === 'string' && ownsTask(taskId)
  return flatFacts({
    ...(uri === undefined ? {} : { uri }),
    ...(name === undefined ? {} : { name }),
    ...(taskId === undefined ? {} : { taskId: isOwn ? taskId : NO_FACT }),
  })
}

function flatFacts(values: { readonly [name: string]: unknown }): RequestFacts {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, isFact(value) ? value : NO_FACT]))
}

// `authorize` denies what has it: a policy must not decide about arguments of which it sees a part.
const NO_FACT = Number.NaN

function isFact(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
