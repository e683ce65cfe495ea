// Services, proxies and clients of plain HTTP on this machine, for tests of what happens between them.
import { once } from 'node:events'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after } from 'node:test'

const servers: Server[] = []
after(() => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
})

/** Starts a server until the tests of this file are over. */
export async function listening(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A request as it is sent, its fields in their order and with every repetition. */
export interface Sent {
  readonly method: string
  readonly target: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body?: string
}

export interface Received {
  readonly status: number
  readonly body: string
}

export async function exchange(port: number, { method, target, fields, body = '' }: Sent): Promise<Received> {
  const length = body === '' ? [] : ['content-length', `${Buffer.byteLength(body)}`]
  const headers = ['host', 'api.example.com', ...fields.flat(), ...length, 'connection', 'close']
  // No connection is used again: the agent does not see `close` in a list, and not every server repeats it.
  const outgoing = request({ port, host: '127.0.0.1', method, path: target, headers, agent: false })
  outgoing.end(body)
  const [response] = await once(outgoing, 'response')
  return { status: response.statusCode, body: await text(response) }
}

/** A proxy in front of a server that passes requests on with a change. */
export function proxyTo(port: number, change: (sent: Sent) => Partial<Sent>): Promise<number> {
  return listening(async (incoming, outgoing) => {
    const { method = '', url: target = '' } = incoming
    const fields: [string, string][] = []
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
      const name = incoming.rawHeaders[at] ?? ''
      if (!HOP.has(name.toLowerCase())) fields.push([name, incoming.rawHeaders[at + 1] ?? ''])
    }
    const sent = { method, target, fields, body: await text(incoming) }
    const { status, body } = await exchange(port, { ...sent, ...change(sent) })
    outgoing.writeHead(status).end(body)
  })
}

const HOP = new Set(['host', 'connection', 'content-length', 'transfer-encoding'])
