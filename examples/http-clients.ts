// undici, axios and got, each with one line that makes it prove who sends a request.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { prove } from 'aims/axios'
import { proving as provingGot } from 'aims/got'
import { protect } from 'aims/node'
import { proving } from 'aims/undici'
import axios from 'axios'
import got from 'got'
import { Agent, request } from 'undici'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const server = createServer(
  protect(authenticator, async (incoming, response, { principal }) =>
    response.end(`${principal.id} says ${await text(incoming)}`),
  ),
)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes`

const dispatcher = new Agent().compose(proving(wits, { audience }))
const first = await request(url, { method: 'POST', body: 'undici', dispatcher })
assert.equal(await first.body.text(), `${agent} says undici`)

const second = await prove(axios.create(), wits, { audience }).post(url, 'axios')
assert.equal(second.data, `${agent} says axios`)

const third = got.extend(provingGot(wits, { audience }))
assert.equal(await third.post(url, { body: 'got' }).text(), `${agent} says got`)

assert.equal((await fetch(url)).status, 401)
await dispatcher.close()
server.close()
server.closeAllConnections()
console.log(`${agent} is known by undici, axios and got; nobody: 401`)
