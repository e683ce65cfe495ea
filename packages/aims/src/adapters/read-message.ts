import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { AimsError } from '../base/errors.ts'

/** What to say when a body does not come as it should. */
export interface BodyRefusals {
  readonly lost: () => AimsError
  readonly tooLarge: (limit: number) => AimsError
}

/** Reads the body of a request or response of Node whole, and no further than a limit. It is there again afterwards. */
export function readMessage(
  message: IncomingMessage | Http2ServerRequest,
  limit: number,
  { lost, tooLarge }: BodyRefusals,
): Promise<Uint8Array> {
  if (message.readableDidRead) throw readBefore()
  // It says so once, and that may have been before we listen.
  if (message.destroyed) return Promise.reject(lost())
  // In HTTP/2 a message is complete when its reader has seen the end, and then the body cannot be put back.
  const stream = 'stream' in message ? message.stream : undefined
  // A stream without a byte that has ended already says nothing any more.
  if (stream === undefined && message.complete && message.readableLength === 0) return Promise.resolve(new Uint8Array())
  const isWhole = (): boolean => (stream === undefined ? message.complete : stream.readableEnded && !stream.aborted)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    let isBusy = false
    const settle = (finish: () => void): void => {
      message.off('readable', onReadable).off('close', onClose)
      stream?.off('end', onReadable)
      finish()
    }
    const onReadable = (): void => {
      // Called again while it reads, and by HTTP/2 also when it is done: what it puts back must not be read here.
      if (isBusy) return
      isBusy = true
      for (let chunk: Buffer | null = message.read(); chunk !== null; chunk = message.read()) {
        length += chunk.length
        chunks.push(chunk)
      }
      if (length > limit) {
        settle(() => reject(tooLarge(limit)))
      } else if (isWhole()) {
        const body = Buffer.concat(chunks)
        settle(() => resolve(body))
        // Before the stream says that it has ended: to whoever reads next, nothing was read yet.
        if (length > 0) message.unshift(body)
      } else isBusy = false
    }
    const onClose = (): void => settle(() => reject(lost()))
    message.on('readable', onReadable).on('close', onClose)
    stream?.on('end', onReadable)
    if (stream !== undefined && isWhole()) onReadable()
  })
}

/** A mistake of the program, and one that its operator finds in the record. */
export function readBefore(): AimsError {
  return new AimsError('authentication.body_read_before', 'the body was read before the caller was authenticated')
}
