// node:http and node:http2 behind the same function. The client knows both ways to prove itself.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import {
  connect,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { proofHeaders } from 'aims/authentication'
import { protect, provingRequest } from 'aims/node'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()

const server = createServer(
  protect(authenticator, async (request, response, { principal }) =>
    response.end(`${principal.id} says ${await text(request)}`),
  ),
)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes`
const response = await provingRequest(url, { wits, audience, method: 'POST', body: 'hello' })
assert.equal(await text(response), `${agent} says hello`)
assert.equal((await fetch(url, { method: 'POST', body: 'hello' })).status, 401)
server.close()
server.closeAllConnections()

const http2 = createHttp2Server(
  protect<Http2ServerRequest, Http2ServerResponse>(authenticator, (_request, answer, { principal }) =>
    answer.end(principal.id),
  ),
)
http2.listen(0, '127.0.0.1')
await once(http2, 'listening')
const client = connect(`http://127.0.0.1:${(http2.address() as AddressInfo).port}`)
const proof = proofHeaders(wits.wit(), { method: 'GET', target: '/notes', audience }, { now: Date.now() / 1000 })
assert.equal(await text(client.request({ ':path': '/notes', ...proof })), agent)
// For another path the same proof is none.
const [headers] = await once(client.request({ ':path': '/secrets', ...proof }), 'response')
assert.equal(headers[':status'], 401)
client.destroy()
http2.close()
console.log(`${agent} is known over HTTP/1.1 and HTTP/2; nobody: 401`)
