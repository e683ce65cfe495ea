import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocketServer } from 'ws'
import type { Authenticator } from '../authentication/authenticate.ts'
import { rememberCaller } from './admit.ts'
import { answerOnSocket } from './answer-socket.ts'
import { type AdapterOptions, toIncomingRequest } from './incoming.ts'

export { type Caller, callerOf } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * A listener for `upgrade` of a node:http or node:https server that authenticates who opens a WebSocket, and hands it to a
 * `WebSocketServer` made with `noServer: true`. In `connection`, `callerOf(request)` says who it is. Refused requests get an answer of
 * HTTP and no WebSocket.
 *
 * The proof is for the opening: what is sent over the WebSocket later is protected by the connection. Close it when the
 * credential expires (`caller.principal.expiresAt`).
 */
export function authenticatedUpgrade(
  authenticator: Authenticator,
  sockets: Pick<WebSocketServer, 'handleUpgrade' | 'emit'>,
  options: AdapterOptions = {},
): (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void> {
  return async (request, socket, head) => {
    const correlationId = randomUUID()
    // Nobody else listens yet, and a client may go away meanwhile.
    const onError = (): void => void socket.destroy()
    socket.on('error', onError)
    try {
      const incoming = {
        ...toIncomingRequest(request, correlationId, options),
        body: new Uint8Array(),
        answersUnsigned: true,
      }
      const principal = await authenticator.authenticate(incoming, options)
      rememberCaller(request, { principal, correlationId })
    } catch (error) {
      return answerOnSocket(socket, authenticator.problem(error, correlationId, options))
    }
    socket.off('error', onError)
    if (socket.destroyed) return
    sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit('connection', opened, request))
  }
}
