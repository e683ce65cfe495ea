// The server of the official MCP SDK that the tests protect: two tools, a resource, both ways of Streamable HTTP.
import { randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, fromJsonSchema, isInitializeRequest, McpServer } from '@modelcontextprotocol/server'
import { callerOf, delegationChainOf } from '../../packages/aims/src/adapters/mcp/caller.ts'
import type { McpHttpHandler } from '../../packages/aims/src/adapters/mcp/protect.ts'

/** A server with the tools `transfer` (to, amount), `search` (a nested filter) and `read_mail`, and the resource `notes://all`. */
export function buildServer(): McpServer {
  const server = new McpServer({ name: 'bank', version: '1.0.0' })
  server.registerTool(
    'transfer',
    {
      inputSchema: fromJsonSchema<{ to: string; amount: number }>({
        type: 'object',
        properties: { to: { type: 'string' }, amount: { type: 'number' } },
        required: ['to', 'amount'],
      }),
    },
    ({ to, amount }, context) => {
      const principal = callerOf(context).principal
      const said = {
        to,
        amount,
        caller: principal.id,
        chain: delegationChainOf(principal),
        id: callerOf(context).correlationId,
      }
      return { content: [{ type: 'text', text: JSON.stringify(said) }] }
    },
  )
  server.registerTool(
    'search',
    { inputSchema: fromJsonSchema<{ filter: object }>({ type: 'object', properties: { filter: { type: 'object' } } }) },
    () => ({ content: [{ type: 'text', text: 'found' }] }),
  )
  server.registerTool('read_mail', {}, () => ({ content: [{ type: 'text', text: 'mail' }] }))
  server.registerResource('notes', 'notes://all', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }))
  return server
}

/** One server for each request, for clients of 2026-07-28 and, without sessions, of before. */
export function statelessHandler(make: () => McpServer): McpHttpHandler {
  return toNodeHandler(createMcpHandler(make))
}

/** Sessions, as in version 2025-11-25: a server each, with its stream. */
export function sessionHandler(make: () => McpServer): McpHttpHandler {
  const transports = new Map<string, NodeStreamableHTTPServerTransport>()
  return async (request, response) => {
    const session = request.headers['mcp-session-id']
    const known = typeof session === 'string' ? transports.get(session) : undefined
    if (known !== undefined) return await known.handleRequest(request, response)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body: unknown = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString())
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void transports.set(id, transport),
      onsessionclosed: (id) => void transports.delete(id),
    })
    if (isInitializeRequest(body)) await make().connect(transport)
    return await transport.handleRequest(request, response, body)
  }
}

/** The same without anybody in front. */
export function unprotected(handler: McpHttpHandler): RequestListener {
  return (request, response) => {
    const { method = '', url = '' } = request
    void handler(Object.assign(request, { method, url }), response)
  }
}
