// The same server with three lines changed: it knows who calls, asks its policies, and says no to everybody else.
import { createServer } from 'node:http'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'
import { connectMcp } from 'aims/mcp'

const inputSchema = fromJsonSchema({
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
})

function buildServer() {
  const server = new McpServer({ name: 'weather', version: '1.0.0' })
  server.registerTool('forecast', { description: 'Weather of the next days', inputSchema }, ({ city, days }) => ({
    content: [{ type: 'text', text: `${days} days of sun in ${city}` }],
  }))
  return server
}

const aims = await connectMcp({ resource: process.env.URL, policies: 'examples/mcp/policies', id: process.env.ID })
const handler = aims.protect(toNodeHandler(createMcpHandler(() => aims.guard(buildServer()))))
createServer(handler).listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'))
