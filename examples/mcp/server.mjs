// A server of the MCP SDK as it is on the day before: whoever reaches it may call it.
import { createServer } from 'node:http'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server'

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

const handler = toNodeHandler(createMcpHandler(buildServer))
createServer(handler).listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'))
