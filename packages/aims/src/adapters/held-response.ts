import { type ClientRequest, IncomingMessage } from 'node:http'
import { requireFewFields } from '../authentication/carriage.ts'
import { toRawHeaders } from './incoming.ts'
import { RESPONSE_REFUSALS, type SignedExchange } from './signed-exchange.ts'

/**
 * Makes a request of node:http tell of its response when all of it is there and was judged, and of an error in place of one
 * that is not what was asked for. For clients that read responses of node:http in their own way.
 */
export function holdResponse(request: ClientRequest, exchange: SignedExchange): ClientRequest {
  const emit = request.emit.bind(request)
  const fail = (error: unknown): void => {
    // Whoever has given up listens no more, and an error that nobody listens to would end the process.
    if (request.listenerCount('error') > 0) emit('error', error)
    request.destroy()
  }
  return Object.assign(request, {
    emit(event: string | symbol, ...given: readonly unknown[]): boolean {
      if (event !== 'response') return emit(event, ...given)
      const [response] = given
      if (response instanceof IncomingMessage) hold(response, exchange, (held) => void emit('response', held), fail)
      else fail(RESPONSE_REFUSALS.lost())
      return true
    },
  })
}

// The parser pushes the pieces of a body, and then null. They are kept until that, and pushed again for the reader.
function hold(
  response: IncomingMessage,
  exchange: SignedExchange,
  pass: (response: IncomingMessage) => void,
  fail: (error: unknown) => void,
): void {
  const push = response.push.bind(response)
  const chunks: Uint8Array[] = []
  let length = 0
  const refuse = (error: unknown): void => {
    response.off('close', onClose)
    Object.assign(response, { push: () => true })
    fail(error)
  }
  const onClose = (): void => refuse(RESPONSE_REFUSALS.lost())
  const finish = (): void => {
    const body = Buffer.concat(chunks)
    try {
      const headers = requireFewFields(toRawHeaders(response.rawHeaders))
      exchange.verify({ status: response.statusCode ?? 0, headers, body })
    } catch (error) {
      refuse(error)
      return
    }
    response.off('close', onClose)
    Object.assign(response, { push })
    pass(response)
    if (length > 0) push(body)
    push(null)
  }
  response.once('close', onClose)
  Object.assign(response, {
    push(chunk: Uint8Array | null): boolean {
      if (chunk === null) finish()
      else {
        length += chunk.length
        if (length > exchange.maxBody) refuse(RESPONSE_REFUSALS.tooLarge(exchange.maxBody))
        else chunks.push(chunk)
      }
      return true
    },
  })
}
