// A server that its client starts and talks to over stdin and stdout. It gets no secret from there: who it is, it learns from
// the Workload API, and proves it to the services that it calls.
import { McpServer } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { connect } from 'aims/provisioning'

const me = await connect()
serveStdio(() => {
  const server = new McpServer({ name: 'notes', version: '1.0.0' })
  server.registerTool('who_are_you', {}, () => {
    const environment = Object.keys(process.env).sort()
    const { subject } = me.wit.wit()
    return { content: [{ type: 'text', text: JSON.stringify({ subject, environment }) }] }
  })
  return server
})
process.stdin.once('close', () => me.close())
