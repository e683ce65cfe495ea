import type { Authenticator } from '../authentication/authenticate.ts'
import type { Watch } from '../authentication/watch.ts'
import type { Caller } from './admit.ts'

const EVENT_STREAM = /^text\/event-stream\s*(?:;|$)/i

/**
 * A response of the web as it goes out to a caller: a stream of events breaks off when the credential of the caller counts no
 * more. Any other response is returned as it is, because nobody can tell a stream from a text there.
 */
export function endEventsWith(response: Response, authenticator: Authenticator, caller: Caller): Response {
  const { body, headers, status, statusText } = response
  if (body === null || !EVENT_STREAM.test(headers.get('content-type') ?? '')) return response
  const reader = body.getReader()
  let watch: Watch | undefined
  const events = new ReadableStream<Uint8Array>({
    start(controller) {
      watch = authenticator.watch(caller, (reason) => {
        controller.error(reason)
        reader.cancel(reason).catch(() => undefined)
      })
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        // Before each piece, too: on Workers nobody looks in between.
        if (watch?.look() !== true) return
        if (!done) return controller.enqueue(value)
        watch.stop()
        controller.close()
      } catch (error) {
        watch?.stop()
        throw error
      }
    },
    async cancel(reason) {
      watch?.stop()
      await reader.cancel(reason)
    },
  })
  return new Response(events, { status, statusText, headers })
}
