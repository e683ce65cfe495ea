import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { CallToolRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { InMemoryTransport } from '@modelcontextprotocol/server'
import { assumePrincipal, type Principal } from '../../authentication/principal.ts'
import type { Authorizer } from '../../authorization/authorizer.ts'
import { findRequestProblem } from '../../authorization/request.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { type WithAimsOptions, withAims } from './with-aims.ts'

const id = parseWorkloadSpiffeId('spiffe://example.com/service/bank')
const caller = (name: string): Principal =>
  assumePrincipal({
    id: parseWorkloadSpiffeId(`spiffe://example.com/agent/${name}`),
    method: 'wit+wpt',
    credential: { type: 'wit', id: name },
    covers: { method: true, target: true, body: true },
    expiresAt: 4_102_444_800,
  })
const [alice, eve] = [caller('alice'), caller('eve')]

// The policies allow everybody everything that is a proper question.
const allowing = (): Authorizer => ({
  authorize: async (request) =>
    findRequestProblem(request) === undefined
      ? { effect: 'allow', policies: ['all'], policySet: 'sha256:test' }
      : { effect: 'deny', because: 'invalid-request', policies: [], policySet: 'sha256:test' },
})

interface Answer {
  readonly id?: unknown
  readonly result?: { readonly task?: { readonly taskId: string }; readonly tasks?: readonly { taskId: string }[] }
  readonly error?: { readonly code: number }
}

const stores: InMemoryTaskStore[] = []
// Their timers would keep the process for as long as tasks live.
after(() => stores.forEach((store) => void store.cleanup()))

/** A server without sessions: one for each request, and one store for all of them. */
function stateless(options: Partial<WithAimsOptions> = {}) {
  const taskStore = new (class extends InMemoryTaskStore {
    // As stores on other machines: more requests come before this one is answered.
    override async listTasks(...asked: Parameters<InMemoryTaskStore['listTasks']>) {
      await sleep(50)
      return await super.listTasks(...asked)
    }
  })()
  stores.push(taskStore)
  const authorizer = allowing()
  const capabilities = { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  /** What is answered to some messages that come one after the other. */
  const askAll = async (principal: Principal, messages: readonly object[], answers: number): Promise<Answer[]> => {
    const server = withAims(new Server({ name: 'bank', version: '1' }, { capabilities, taskStore }), {
      id,
      authorizer,
      ...options,
    })
    server.setRequestHandler(CallToolRequestSchema, async (_, { taskStore: tasks }) => {
      const task = await tasks?.createTask({ ttl: 60_000 })
      return { task, content: [] }
    })
    const [here, there] = InMemoryTransport.createLinkedPair()
    const found: Answer[] = []
    const answered = new Promise<void>((resolve) => {
      const onmessage = (answer: Answer): void => {
        if (found.push(answer) === answers) resolve()
      }
      Object.assign(here, { onmessage })
    })
    await server.connect(there)
    await here.start()
    const authInfo = { token: '', clientId: 'x', scopes: [], extra: { principal, correlationId: 'request-1' } }
    for (const message of messages) {
      await Reflect.apply(here.send, here, [{ jsonrpc: '2.0', ...message }, { authInfo }])
      // Each is decided before the next one comes.
      await new Promise(setImmediate)
    }
    await answered
    await server.close()
    return found
  }
  const ask = async (principal: Principal, method: string, params: object): Promise<Answer> => {
    const [answer] = await askAll(principal, [{ id: 1, method, params }], 1)
    assert.ok(answer)
    return answer
  }
  return Object.assign(ask, { askAll })
}

const CALL = { name: 'transfer', arguments: {}, task: { ttl: 60_000 } }

test("a task is its caller's [authorization.mcp.02]", async () => {
  const ask = stateless()
  const { result } = await ask(alice, 'tools/call', CALL)
  const taskId = result?.task?.taskId
  assert.ok(taskId)
  assert.ok((await ask(alice, 'tasks/get', { taskId })).result)
  assert.deepEqual(
    (await ask(alice, 'tasks/list', {})).result?.tasks?.map((task) => task.taskId),
    [taskId],
  )
  assert.ok((await ask(alice, 'tasks/cancel', { taskId })).result)
})

test('for everybody else it is denied, and in no list, although the policies allow the method', async () => {
  const ask = stateless()
  const taskId = (await ask(alice, 'tools/call', CALL)).result?.task?.taskId
  assert.ok(taskId)
  for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
    assert.equal((await ask(eve, method, { taskId })).error?.code, -32_011, method)
    assert.equal((await ask(eve, method, { taskId: [taskId] })).error?.code, -32_011, method)
  }
  assert.deepEqual((await ask(eve, 'tasks/list', {})).result?.tasks, [])
  assert.ok((await ask(alice, 'tasks/get', { taskId })).result)
})

test('a store that other processes fill is left to the policies where that was asked for', async () => {
  const ask = stateless({ acceptTasksOfOthers: true })
  const taskId = (await ask(alice, 'tools/call', CALL)).result?.task?.taskId
  assert.ok((await ask(eve, 'tasks/get', { taskId })).result)
  assert.equal((await ask(eve, 'tasks/list', {})).result?.tasks?.length, 1)
})

// One row per way to make an answer one to nobody.
const LIST = { id: 1, method: 'tasks/list', params: {} }
const CANCEL = { method: 'notifications/cancelled', params: { requestId: 1 } }
for (const [what, messages, answers] of [
  ['two requests have one id', [LIST, LIST], 2],
  ['one of them is cancelled', [LIST, LIST, CANCEL], 1],
] as const) {
  test(`tasks of others are in no answer, also when ${what} [authorization.mcp.02]`, async () => {
    const ask = stateless()
    assert.ok((await ask(alice, 'tools/call', CALL)).result?.task)
    const found = await ask.askAll(eve, messages, answers)
    assert.deepEqual(
      found.map(({ result }) => result?.tasks),
      found.map(() => []),
    )
  })
}
