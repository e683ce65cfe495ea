import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { CallToolRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { fromJsonSchema, InMemoryTransport, McpServer, Server } from '@modelcontextprotocol/server'
import { assumePrincipal, type Principal } from '../../authentication/principal.ts'
import type { Authorizer } from '../../authorization/authorizer.ts'
import { type AccessRequest, findRequestProblem } from '../../authorization/request.ts'
import { AimsError } from '../../base/errors.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { callerOf, delegationChainOf } from './caller.ts'
import { type WithAimsOptions, withAims } from './with-aims.ts'

const id = parseWorkloadSpiffeId('spiffe://example.com/service/bank')
const alice = assumePrincipal({
  id: parseWorkloadSpiffeId('spiffe://example.com/agent/alice'),
  method: 'wit+wpt',
  credential: { type: 'wit', id: 'one' },
  covers: { method: true, target: true, body: true },
  expiresAt: 4_102_444_800,
})
const policySet = 'sha256:test'

interface Asked {
  readonly authorizer: Authorizer
  readonly requests: readonly AccessRequest[]
}

// Allows what is a proper question, and remembers it.
function allowing(wait: Promise<unknown> = Promise.resolve()): Asked {
  const requests: AccessRequest[] = []
  const authorizer: Authorizer = {
    async authorize(request) {
      requests.push(request)
      await wait
      return findRequestProblem(request) === undefined
        ? { effect: 'allow', policies: ['all'], policySet }
        : { effect: 'deny', because: 'invalid-request', policies: [], policySet }
    },
  }
  return { authorizer, requests }
}

interface Answer {
  readonly id?: unknown
  readonly result?: object
  readonly error?: { readonly code: number; readonly data?: object }
}

interface Talk {
  readonly calls: readonly unknown[]
  say(message: object, principal?: unknown): Promise<void>
  answer(messageId: number): Promise<Answer>
  readonly answers: readonly Answer[]
}

type AnyServer = { connect(transport: InMemoryTransport): Promise<void> }

async function talk(server: AnyServer, calls: readonly unknown[]): Promise<Talk> {
  const [here, there] = InMemoryTransport.createLinkedPair()
  const answers: Answer[] = []
  Object.assign(here, { onmessage: (message: Answer) => void answers.push(message) })
  await server.connect(there)
  await here.start()
  return {
    calls,
    answers,
    async say(message, principal = alice) {
      const authInfo = { token: '', clientId: 'x', scopes: [], extra: { principal, correlationId: 'request-1' } }
      // Also what is no message of MCP.
      await Reflect.apply(here.send, here, [{ jsonrpc: '2.0', ...message }, { authInfo }])
    },
    async answer(messageId) {
      for (let tries = 0; tries < 3000; tries++) {
        const found = answers.find((one) => one.id === messageId)
        if (found !== undefined) return found
        await delay(10)
      }
      throw new Error(`no answer to ${messageId}`)
    },
  }
}

const CLIENT = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } }
const call = (messageId: number, name: string, args: object = {}): object => {
  return { id: messageId, method: 'tools/call', params: { name, arguments: args } }
}

// The same tool in the official SDK of today, of before, and below its comfort.
const SERVERS: { readonly [name: string]: (options: WithAimsOptions) => Promise<Talk> } = {
  'McpServer 2.x': async (options) => {
    const calls: unknown[] = []
    const server = withAims(new McpServer({ name: 'bank', version: '1' }), options)
    server.registerTool('transfer', { inputSchema: fromJsonSchema({ type: 'object' }) }, (args, context) => {
      calls.push([
        args,
        callerOf(context).principal.id,
        callerOf(context).correlationId,
        delegationChainOf(callerOf(context).principal),
      ])
      return { content: [] }
    })
    return await talk(server, calls)
  },
  'Server 1.x': async (options) => {
    const calls: unknown[] = []
    const server = withAims(new Server1({ name: 'bank', version: '1' }, { capabilities: { tools: {} } }), options)
    server.setRequestHandler(CallToolRequestSchema, ({ params }, context) => {
      const principal = callerOf(context).principal
      calls.push([params.arguments, principal.id, callerOf(context).correlationId, delegationChainOf(principal)])
      return { content: [] }
    })
    return await talk(server, calls)
  },
  'Server 2.x': async (options) => {
    const calls: unknown[] = []
    const server = withAims(new Server({ name: 'bank', version: '1' }, { capabilities: { tools: {} } }), options)
    server.setRequestHandler('tools/call', ({ params }, context) => {
      const principal = callerOf(context).principal
      calls.push([params.arguments, principal.id, callerOf(context).correlationId, delegationChainOf(principal)])
      return { content: [] }
    })
    return await talk(server, calls)
  },
}

for (const [name, start] of Object.entries(SERVERS)) {
  test(`${name}: a call that is allowed reaches its handler, which knows who calls [authorization.mcp.02]`, async () => {
    const { authorizer, requests } = allowing()
    const { say, answer, calls } = await start({ id, authorizer })
    await say({ id: 1, method: 'initialize', params: CLIENT })
    assert.ok((await answer(1)).result)
    assert.equal(requests.length, 0)
    await say(call(2, 'transfer', { to: 'bob', amount: 5, urgent: true }))
    assert.ok((await answer(2)).result)
    assert.deepEqual(calls, [[{ to: 'bob', amount: 5, urgent: true }, alice.id, 'request-1', [alice.id]]])
    const [asked] = requests
    assert.deepEqual(asked, {
      principal: alice,
      action: { kind: 'call' },
      resource: { kind: 'tool', server: id, name: 'transfer' },
      context: { to: 'bob', amount: 5, urgent: true },
    })
  })

  test(`${name}: nobody, and who only looks like somebody, is refused [authorization.mcp.03]`, async () => {
    const { authorizer, requests } = allowing()
    const { say, answer, calls } = await start({ id, authorizer })
    const copies: readonly unknown[] = [
      undefined,
      { ...alice },
      structuredClone(alice),
      JSON.parse(JSON.stringify(alice)),
    ]
    for (const [index, principal] of copies.entries()) {
      await say({ id: index, method: 'initialize', params: CLIENT }, principal ?? null)
      await say(call(100 + index, 'transfer'), principal ?? null)
      for (const messageId of [index, 100 + index]) {
        const { error } = await answer(messageId)
        assert.deepEqual([error?.code, error?.data], [-32_010, { code: 'mcp.unauthenticated' }])
      }
    }
    assert.deepEqual([calls, requests], [[], []])
  })

  test(`${name}: what cannot be decided or recorded does not happen [authorization.mcp.05]`, async () => {
    const authorizer: Authorizer = {
      authorize: async () => {
        throw new AimsError('storage.full', 'the disk is full')
      },
    }
    const { say, answer, calls } = await start({ id, authorizer })
    await say(call(1, 'transfer'))
    const { error } = await answer(1)
    const data = { code: 'mcp.undecided', id: 'request-1' }
    assert.deepEqual(error, { code: -32_012, message: 'Cannot be decided now', data })
    assert.deepEqual(calls, [])
  })

  test(`${name}: a call that is cancelled while it is decided is not done`, async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { authorizer, requests } = allowing(promise)
    const { say, answer, answers, calls } = await start({ id, authorizer })
    await say(call(1, 'transfer', { cancelled: true }))
    await say({ method: 'notifications/cancelled', params: { requestId: 1 } })
    await say(call(2, 'transfer', { cancelled: false }))
    resolve()
    assert.ok((await answer(2)).result)
    assert.equal(requests.length, 2)
    assert.deepEqual(
      calls.map((one) => JSON.stringify(one).includes('"cancelled":true')),
      [false],
    )
    assert.equal(answers.length, 1)
  })
}

// One row per question that policies must not be asked: what is called, and why it is denied.
const UNDECIDABLE: readonly (readonly [string, object, string])[] = [
  [
    'a nested argument',
    call(1, 'transfer', { to: { name: 'bob' } }),
    'a fact is not a short text, a whole number or a boolean',
  ],
  ['a list', call(1, 'transfer', { to: ['bob'] }), 'a fact is not a short text, a whole number or a boolean'],
  ['null', call(1, 'transfer', { to: null }), 'a fact is not a short text, a whole number or a boolean'],
  ['a fraction', call(1, 'transfer', { amount: 0.5 }), 'a fact is not a short text, a whole number or a boolean'],
  [
    'a long text',
    call(1, 'transfer', { to: 'b'.repeat(1025) }),
    'a fact is not a short text, a whole number or a boolean',
  ],
  [
    'a name that policies cannot say',
    call(1, 'transfer', { 'To!': 'bob' }),
    'a fact has a name that policies cannot use',
  ],
  [
    'too many',
    call(1, 'transfer', Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`a${n}`, n]))),
    'more than 32 facts',
  ],
  [
    'arguments that are none',
    { id: 1, method: 'tools/call', params: { name: 'transfer', arguments: 'bob' } },
    'a fact is not a short text, a whole number or a boolean',
  ],
  ['a tool without a name', { id: 1, method: 'tools/call', params: {} }, 'the tool has no proper name'],
  ['a tool whose name is none', call(1, 'a tool'), 'the tool has no proper name'],
  ['a tool with the name of a method', call(1, 'mcp/resources/read'), 'the tool has no proper name'],
  ['a method whose name is none', { id: 1, method: 'a b', params: {} }, 'the tool has no proper name'],
]

for (const [name, message, problem] of UNDECIDABLE) {
  test(`policies do not decide about what they cannot see: ${name} [authorization.mcp.01]`, async () => {
    const { authorizer, requests } = allowing()
    const start = SERVERS['Server 2.x']
    assert.ok(start)
    const { say, answer, calls } = await start({ id, authorizer })
    await say(message)
    const { error } = await answer(1)
    assert.deepEqual([error?.code, error?.data], [-32_011, { code: 'mcp.denied', id: 'request-1' }])
    const [asked] = requests
    assert.ok(asked)
    assert.equal(findRequestProblem(asked), problem)
    assert.deepEqual(calls, [])
  })
}

test('a tool says itself what policies see of its arguments, and what it cannot read is denied', async () => {
  const { authorizer, requests } = allowing()
  const facts = {
    transfer: ({ to }: { readonly [name: string]: unknown }) => {
      if (!Array.isArray(to)) throw new TypeError('to is a list')
      return { count: to.length }
    },
  }
  const start = SERVERS['McpServer 2.x']
  assert.ok(start)
  const { say, answer, calls } = await start({ id, authorizer, facts })
  await say(call(1, 'transfer', { to: ['bob', 'carol'] }))
  assert.ok((await answer(1)).result)
  assert.deepEqual(requests[0]?.context, { count: 2 })
  await say(call(2, 'transfer', {}))
  assert.equal((await answer(2)).error?.code, -32_011)
  // Of the names of objects, none is a tool's.
  await say(call(3, 'constructor', { to: ['bob'] }))
  assert.equal((await answer(3)).error?.code, -32_011)
  assert.equal(calls.length, 1)
})

test('a handler without a caller is a mistake of the program', () => {
  for (const context of [{}, { http: {} }, { authInfo: { extra: { principal: { ...alice }, correlationId: 'x' } } }]) {
    assert.throws(() => callerOf(context), TypeError)
  }
})

test('the chain of a sub-agent names everybody up to the agent that was attested', () => {
  const of = (subject: string, parent: string): Principal =>
    assumePrincipal({
      id: parseWorkloadSpiffeId(subject),
      method: 'wit+wpt',
      credential: { type: 'wit', id: 'one' },
      covers: { method: true, target: true, body: true },
      expiresAt: 4_102_444_800,
      delegation: { parent: parseWorkloadSpiffeId(parent), rights: [] },
    })
  const deep = of('spiffe://example.com/agent/a/sub/b/sub/c', 'spiffe://example.com/agent/a/sub/b')
  assert.deepEqual(delegationChainOf(deep), [
    'spiffe://example.com/agent/a/sub/b/sub/c',
    'spiffe://example.com/agent/a/sub/b',
    'spiffe://example.com/agent/a',
  ])
})

test('an SDK that takes its transport in another way is refused', async () => {
  const { authorizer } = allowing()
  const server = withAims({ connect: async (_: object): Promise<void> => undefined }, { id, authorizer })
  const [, there] = InMemoryTransport.createLinkedPair()
  await assert.rejects(Reflect.apply(server.connect, server, [there]), TypeError)
})
