import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocketServer } from 'ws'
import type { Authenticator } from '../authentication/authenticate.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import type { AimsErrorCode } from '../base/errors.ts'
import { type Caller as AdmittedCaller, rememberCaller } from './admit.ts'
import { answerOnSocket } from './answer-socket.ts'
import { type AdapterOptions, toIncomingRequest } from './incoming.ts'

export { type Caller, callerOf } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/**
 * A listener for `upgrade` of a node:http or node:https server that authenticates who opens a WebSocket, and hands it to a
 * `WebSocketServer` made with `noServer: true`. In `connection`, `callerOf(request)` says who it is. Refused requests get an answer of
 * HTTP and no WebSocket.
 *
 * The proof is for the opening: what is sent over the WebSocket later is protected by the connection. It is closed, with 1008 and
 * `authentication.ended`, when the credential of its caller expires or was revoked.
 */
export function authenticatedUpgrade(
  authenticator: Authenticator,
  sockets: Pick<WebSocketServer, 'handleUpgrade' | 'emit'>,
  options: AdapterOptions = {},
): (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void> {
  return async (request, socket, head) => {
    const correlationId = createCorrelationId()
    // Nobody else listens yet, and a client may go away meanwhile.
    const onError = (): void => void socket.destroy()
    socket.on('error', onError)
    let caller: AdmittedCaller
    try {
      const incoming = {
        ...toIncomingRequest(request, correlationId, options),
        body: new Uint8Array(),
        answersUnsigned: true,
      }
      const principal = await authenticator.authenticate(incoming, options)
      caller = rememberCaller(request, { principal, correlationId })
    } catch (error) {
      return answerOnSocket(socket, authenticator.problem(error, correlationId, options))
    }
    socket.off('error', onError)
    if (socket.destroyed) return
    sockets.handleUpgrade(request, socket, head, (opened) => {
      const { stop } = authenticator.watch(caller, () => {
        opened.close(POLICY_VIOLATION, 'authentication.ended' satisfies AimsErrorCode)
        // It has been told, and may not go on for as long as it does not answer.
        opened.terminate()
      })
      opened.once('close', stop)
      sockets.emit('connection', opened, request)
    })
  }
}

// RFC 6455 section 7.4.1.
const POLICY_VIOLATION = 1008
