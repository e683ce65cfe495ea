import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { AUDIENCE, testDomain } from '../../../../test/support/identities.ts'
import { type Authenticator, createAuthenticator } from '../authentication/authenticate.ts'
import { createMemoryReplayStore } from '../authentication/replay/memory.ts'
import { noObserver } from '../base/event.ts'
import { provingFetch } from './fetch.ts'
import { protect } from './node.ts'

const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now })
const wit = await domain.wit()
const closers: (() => unknown)[] = []
after(() => closers.forEach((close) => void close()))

// As createAuthenticator makes it, and counts what it looks after.
function counting(): Authenticator & { readonly begun: () => number; readonly stopped: () => number } {
  const inner = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: noObserver,
  })
  let begun = 0
  let stopped = 0
  return {
    ...inner,
    watch(caller, onEnd) {
      begun += 1
      const watch = inner.watch(caller, onEnd)
      const stop = (): void => {
        stopped += 1
        watch.stop()
      }
      return { look: watch.look, stop }
    },
    begun: () => begun,
    stopped: () => stopped,
  }
}

const HANDLERS: readonly (readonly [what: string, handle: (response: ServerResponse) => unknown, watches: number])[] = [
  ['that is complete at once', (response) => response.end('ok'), 0],
  ['that is complete when its handler has waited for nothing', async (response) => void response.end('ok'), 0],
  [
    'that goes on',
    async (response) => {
      response.write('o')
      await wait(50)
      response.end('k')
    },
    1,
  ],
  [
    'that begins late',
    async (response) => {
      await wait(50)
      response.end('ok')
    },
    1,
  ],
]

for (const [what, handle, watches] of HANDLERS) {
  test(`a response ${what} is looked after ${watches === 0 ? 'by nobody' : 'until it is closed'}`, async () => {
    const authenticator = counting()
    const server = createServer(protect(authenticator, (_, response) => handle(response)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(
      () => server.closeAllConnections(),
      () => server.close(),
    )
    const send = provingFetch({ wit: () => wit }, { audience: AUDIENCE })
    const { port } = server.address() as AddressInfo
    for (let sent = 1; sent <= 3; sent += 1) {
      const response = await send(`http://127.0.0.1:${port}/`)
      assert.deepEqual([response.status, await response.text()], [200, 'ok'])
      // The client may know before the server does.
      while (authenticator.stopped() < sent * watches) await wait(5)
      assert.equal(authenticator.begun(), sent * watches)
    }
  })
}
