// A WebSocket is opened by a request of HTTP: that one carries the proof.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { proofHeaders } from 'aims/authentication'
import { authenticatedUpgrade, callerOf } from 'aims/ws'
import { WebSocket, WebSocketServer } from 'ws'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const sockets = new WebSocketServer({ noServer: true })
sockets.on('connection', (socket, request) => socket.send(callerOf(request).principal.id))
const server = createServer().on('upgrade', authenticatedUpgrade(authenticator, sockets))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/chat`

const proof = proofHeaders(wits.wit(), { method: 'GET', target: '/chat', audience }, { now: Date.now() / 1000 })
const socket = new WebSocket(url, { headers: { ...proof } })
const [greeting] = await once(socket, 'message')
assert.equal(String(greeting), agent)
const [, refusal] = await once(
  new WebSocket(url).on('error', () => undefined),
  'unexpected-response',
)
assert.equal(refusal.statusCode, 401)
refusal.destroy()
socket.terminate()
server.close()
console.log(`${agent} has a WebSocket; nobody: 401`)
