import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { testCa } from '../../../../test/support/x509-identities.ts'
import { listenHttps } from './https-listener.ts'

test('a client that connects and says nothing is not waited for', async () => {
  const svid = await (await testCa()).svid('/server')
  const listener = await listenHttps(() => undefined, { host: '127.0.0.1', port: 0, handshakeTimeout: 100 }, svid)
  const socket = connect(listener.port, '127.0.0.1')
  socket.on('error', () => undefined).resume()
  await once(socket, 'close', { signal: AbortSignal.timeout(30_000) })
  listener.server.close()
})
