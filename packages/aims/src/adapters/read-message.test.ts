import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { AimsError } from '../base/errors.ts'
import { type BodyRefusals, readMessage } from './read-message.ts'

const REFUSALS: BodyRefusals = {
  lost: () => new AimsError('proof.body_mismatch', 'the body did not arrive'),
  tooLarge: () => new AimsError('authentication.body_too_large', 'the body is too large'),
}

// Answers with what it has read, and what its handler reads afterwards.
const server = createServer(async (request, response) => {
  // Whoever looks something up first comes after the whole message.
  await delay(Number(request.headers['x-wait']))
  try {
    const body = Buffer.from(await readMessage(request, 10, REFUSALS)).toString()
    response.end(JSON.stringify([body, await text(request)]))
  } catch (error) {
    response.end(JSON.stringify(AimsError.is(error) ? error.code : 'another error'))
  }
}).listen(0)
await once(server, 'listening')
after(() => server.close())

const CASES: readonly (readonly [method: string, body: string | undefined, expected: unknown])[] = [
  ['GET', undefined, ['', '']],
  ['DELETE', undefined, ['', '']],
  ['POST', '', ['', '']],
  ['POST', 'ten bytes.', ['ten bytes.', 'ten bytes.']],
  ['POST', 'and another', 'authentication.body_too_large'],
]

for (const wait of [0, 30]) {
  for (const [method, body, expected] of CASES) {
    test(`${method} with ${body ?? 'nothing'}, read ${wait} ms after it came`, async () => {
      const { port } = server.address() as AddressInfo
      const init = {
        method,
        headers: { 'x-wait': String(wait), connection: 'close' },
        ...(body === undefined ? {} : { body }),
      }
      const response = await fetch(`http://localhost:${port}/`, init)
      assert.deepEqual(await response.json(), expected)
    })
  }
}
