import type { Authorizer } from '../../authorization/authorizer.ts'
import { AimsError } from '../../base/errors.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { callerOf } from './user.ts'

/** Who the agent is, and who decides. */
export interface WithAimsOptions {
  /** The agent's own identifier. Its operations are `Tool::"<id>#a2a/<operation>"`. */
  readonly id: WorkloadId
  readonly authorizer: Authorizer
}

// The methods of the SDK, and the operations they are in A2A.
const OPERATIONS: ReadonlyMap<PropertyKey, string> = new Map([
  ['sendMessage', 'SendMessage'],
  ['getTask', 'GetTask'],
  ['listTasks', 'ListTasks'],
  ['cancelTask', 'CancelTask'],
  ['createTaskPushNotificationConfig', 'CreateTaskPushNotificationConfig'],
  ['getTaskPushNotificationConfig', 'GetTaskPushNotificationConfig'],
  ['listTaskPushNotificationConfigs', 'ListTaskPushNotificationConfigs'],
  ['deleteTaskPushNotificationConfig', 'DeleteTaskPushNotificationConfig'],
  ['getAuthenticatedExtendedAgentCard', 'GetExtendedAgentCard'],
])
const STREAMS: ReadonlyMap<PropertyKey, string> = new Map([
  ['sendMessageStream', 'SendStreamingMessage'],
  ['resubscribe', 'SubscribeToTask'],
])
const OPEN: ReadonlySet<PropertyKey> = new Set(['getAgentCard'])

/**
 * Makes a request handler of the official A2A SDK ask the policies before each operation. What it does not know, it does
 * not pass on; the card is for everybody. Returns another handler: give no server the one inside.
 *
 * A message that also sets where its task is to be told of needs the permission for that, too.
 *
 * What is denied is answered with an error that has an id for `aims explain` and no reason (`a2a.denied`); what cannot be
 * decided or recorded is not done (`a2a.undecided`).
 *
 * @see A2A 1.0, section on authorization
 */
export function withAims<Handler extends object>(handler: Handler, options: WithAimsOptions): Handler {
  return new Proxy(handler, {
    get(target, name): unknown {
      const method: unknown = Reflect.get(target, name)
      if (typeof method !== 'function' || OPEN.has(name))
        return typeof method === 'function' ? method.bind(target) : method
      const operation = OPERATIONS.get(name)
      const stream = STREAMS.get(name)
      if (operation !== undefined) {
        return async (params: unknown, context: Context): Promise<unknown> => {
          for (const one of operationsIn(operation, params)) await requirePermission(one, context, options)
          return await Reflect.apply(method, target, [params, context])
        }
      }
      if (stream !== undefined) {
        return async function* (params: unknown, context: Context): AsyncGenerator {
          for (const one of operationsIn(stream, params)) await requirePermission(one, context, options)
          yield* Reflect.apply(method, target, [params, context])
        }
      }
      return () => Promise.reject(new TypeError('this operation is not one of A2A 1.0, and nobody decides about it'))
    },
  })
}

// A message may bring along where its task is to be told of, which is an operation of its own otherwise: the agent then calls
// a URL that the sender has chosen.
function operationsIn(operation: string, params: unknown): readonly string[] {
  const { configuration } = (params ?? {}) as { readonly configuration?: Configuration }
  return configuration?.taskPushNotificationConfig === undefined || operation === NOTIFY
    ? [operation]
    : [operation, NOTIFY]
}

const NOTIFY = 'CreateTaskPushNotificationConfig'

interface Configuration {
  readonly taskPushNotificationConfig?: unknown
}

interface Context {
  readonly user?: object | undefined
}

async function requirePermission(
  operation: string,
  context: Context,
  { id, authorizer }: WithAimsOptions,
): Promise<void> {
  const { principal, correlationId } = callerOf(context)
  let isAllowed: boolean
  try {
    const resource = { kind: 'tool', server: id, name: `a2a/${operation}` } as const
    const { effect } = await authorizer.authorize({ principal, action: { kind: 'call' }, resource }, correlationId)
    isAllowed = effect === 'allow'
  } catch (cause) {
    throw new AimsError('a2a.undecided', `cannot be decided now (${correlationId})`, { cause })
  }
  if (!isAllowed) throw new AimsError('a2a.denied', `not permitted (${correlationId})`)
}
