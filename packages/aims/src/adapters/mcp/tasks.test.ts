import assert from 'node:assert/strict'
import { test } from 'node:test'
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

/** A server without sessions: one for each request, and one store for all of them. */
function stateless(options: Partial<WithAimsOptions> = {}) {
  const taskStore = new InMemoryTaskStore()
  const authorizer = allowing()
  const capabilities = { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  return async (principal: Principal, method: string, params: object): Promise<Answer> => {
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
    const answered = new Promise<Answer>((resolve) => Object.assign(here, { onmessage: resolve }))
    await server.connect(there)
    await here.start()
    const authInfo = { token: '', clientId: 'x', scopes: [], extra: { principal, correlationId: 'request-1' } }
    await Reflect.apply(here.send, here, [{ jsonrpc: '2.0', id: 1, method, params }, { authInfo }])
    const answer = await answered
    await server.close()
    return answer
  }
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
