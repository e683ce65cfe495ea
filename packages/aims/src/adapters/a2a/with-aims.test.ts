import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentCard, SendMessageRequest, Task } from '@a2a-js/sdk'
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  InMemoryTaskStore,
  ServerCallContext,
} from '@a2a-js/sdk/server'
import { agentCard } from '../../../../../test/support/agent-card.ts'
import { assumePrincipal } from '../../authentication/principal.ts'
import type { Authorizer } from '../../authorization/authorizer.ts'
import type { AccessRequest } from '../../authorization/request.ts'
import { AimsError } from '../../base/errors.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { rememberCaller } from '../admit.ts'
import { callerOf, userBuilder } from './user.ts'
import { withAims } from './with-aims.ts'

const id = parseWorkloadSpiffeId('spiffe://example.com/agent/booker')
const alice = assumePrincipal({
  id: parseWorkloadSpiffeId('spiffe://example.com/agent/alice'),
  method: 'wit+wpt',
  credential: { type: 'wit', id: 'one' },
  covers: { method: true, target: true, body: true },
  expiresAt: 4_102_444_800,
})
const request = {}
rememberCaller(request, { principal: alice, correlationId: 'request-1' })
const user = await userBuilder(request)
const context = new ServerCallContext({ user, requestedVersion: '1.0' })

async function all<T>(stream: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = []
  for await (const one of stream) found.push(one)
  return found
}

const executed: string[] = []
const executor: AgentExecutor = {
  async execute({ taskId, contextId, context }, bus) {
    executed.push(callerOf(context).principal.id)
    bus.publish(AgentEvent.task(Task.fromJSON({ id: taskId, contextId, status: { state: 'TASK_STATE_COMPLETED' } })))
    bus.finished()
  },
  async cancelTask() {},
}
const card = { ...agentCard(), capabilities: { streaming: true } }
const asked: AccessRequest[] = []

/** @param permitted - The operations that are permitted, or what deciding ends with. */
function handler(permitted: readonly string[] | Error): DefaultRequestHandler {
  const inner = new DefaultRequestHandler(AgentCard.fromJSON(card), new InMemoryTaskStore(), executor)
  const authorizer: Authorizer = {
    async authorize(access) {
      asked.push(access)
      if (permitted instanceof Error) throw permitted
      const policySet = 'sha256:test'
      return access.resource.kind === 'tool' && permitted.includes(access.resource.name)
        ? { effect: 'allow', policies: ['all'], policySet }
        : { effect: 'deny', because: 'no-policy', policies: [], policySet }
    },
  }
  return withAims(inner, { id, authorizer })
}

const message = SendMessageRequest.fromJSON({
  message: { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'hello' }] },
})
const task = { tenant: '', id: 'one' }

test('an operation that is permitted is done, and its question was about it [authorization.a2a.01]', async () => {
  const permitted = handler(['a2a/SendMessage', 'a2a/SendStreamingMessage'])
  assert.ok('status' in (await permitted.sendMessage(message, context)))
  assert.deepEqual(asked.at(-1), {
    principal: alice,
    action: { kind: 'call' },
    resource: { kind: 'tool', server: id, name: 'a2a/SendMessage' },
  })
  const events = await all(permitted.sendMessageStream(message, context))
  assert.equal(events.length, 1)
  assert.deepEqual(executed, [alice.id, alice.id])
  assert.equal((await permitted.getAgentCard()).name, 'Planner')
})

const denying = handler([])
const config = { ...task, taskId: 'one', url: 'https://example.com', token: '', authentication: undefined }
// One row per operation.
const OPERATIONS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['SendMessage', () => denying.sendMessage(message, context)],
  ['SendStreamingMessage', () => all(denying.sendMessageStream(message, context))],
  ['GetTask', () => denying.getTask(task, context)],
  ['CancelTask', () => denying.cancelTask({ ...task, metadata: undefined }, context)],
  ['SubscribeToTask', () => all(denying.resubscribe(task, context))],
  ['CreateTaskPushNotificationConfig', () => denying.createTaskPushNotificationConfig(config, context)],
  ['GetTaskPushNotificationConfig', () => denying.getTaskPushNotificationConfig({ ...task, taskId: 'one' }, context)],
  [
    'DeleteTaskPushNotificationConfig',
    () => denying.deleteTaskPushNotificationConfig({ ...task, taskId: 'one' }, context),
  ],
  ['GetExtendedAgentCard', () => denying.getAuthenticatedExtendedAgentCard({ tenant: '' }, context)],
]

for (const [operation, call] of OPERATIONS) {
  test(`${operation} is denied, with an id and no reason [authorization.a2a.01] [authorization.a2a.02]`, async () => {
    const before = executed.length
    await assert.rejects(call(), { code: 'a2a.denied', message: 'not permitted (request-1)' })
    const last = asked.at(-1)?.resource
    assert.equal(last?.kind === 'tool' && last.name, `a2a/${operation}`)
    assert.equal(executed.length, before)
  })
}

test('a message that brings along where to tell of its task needs the permission for that [authorization.a2a.01]', async () => {
  const telling = SendMessageRequest.fromJSON({
    message: { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'hello' }] },
    configuration: { taskPushNotificationConfig: { url: 'http://169.254.169.254/latest' } },
  })
  const sending = handler(['a2a/SendMessage', 'a2a/SendStreamingMessage'])
  const before = executed.length
  await assert.rejects(sending.sendMessage(telling, context), { code: 'a2a.denied' })
  await assert.rejects(all(sending.sendMessageStream(telling, context)), { code: 'a2a.denied' })
  assert.equal(executed.length, before)
  const last = asked.at(-1)?.resource
  assert.equal(last?.kind === 'tool' && last.name, 'a2a/CreateTaskPushNotificationConfig')
  const both = handler(['a2a/SendMessage', 'a2a/CreateTaskPushNotificationConfig'])
  assert.ok('status' in (await both.sendMessage(telling, context)))
})

test('what cannot be decided or recorded is not done [authorization.a2a.02]', async () => {
  const failing = handler(new AimsError('storage.full', 'the disk is full'))
  const before = executed.length
  await assert.rejects(failing.sendMessage(message, context), { code: 'a2a.undecided' })
  await assert.rejects(all(failing.sendMessageStream(message, context)), { code: 'a2a.undecided' })
  assert.equal(executed.length, before)
})

test('nobody is nobody, and not a user of the SDK', async () => {
  const permitted = handler(['a2a/SendMessage'])
  for (const user of [undefined, { isAuthenticated: true, userName: alice.id }]) {
    const given = new ServerCallContext({ requestedVersion: '1.0', ...(user === undefined ? {} : { user }) })
    await assert.rejects(permitted.sendMessage(message, given), TypeError)
  }
  await assert.rejects(userBuilder({}), TypeError)
})

test('what is not known is not passed on [authorization.a2a.01]', async () => {
  const inner = { version: 1, deleteEverything: async (): Promise<string> => 'done' }
  const authorizer: Authorizer = { authorize: async () => ({ effect: 'allow', policies: ['all'], policySet: 'x' }) }
  const guarded = withAims(inner, { id, authorizer })
  await assert.rejects(guarded.deleteEverything(), TypeError)
  assert.equal(guarded.version, 1)
})
