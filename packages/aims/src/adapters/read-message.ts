import type { IncomingMessage } from 'node:http'
import type { AimsError } from '../base/errors.ts'

/** What to say when a body does not come as it should. */
export interface BodyRefusals {
  readonly lost: () => AimsError
  readonly tooLarge: (limit: number) => AimsError
}

/** Reads the body of a request or response of node:http whole, and no further than a limit. It is there again afterwards. */
export function readMessage(
  message: IncomingMessage,
  limit: number,
  { lost, tooLarge }: BodyRefusals,
): Promise<Uint8Array> {
  if (message.readableDidRead) throw new TypeError('the body was read before it was authenticated')
  // It says so once, and that may have been before we listen.
  if (message.destroyed) return Promise.reject(lost())
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const settle = (finish: () => void): void => {
      message.off('readable', onReadable).off('close', onClose)
      finish()
    }
    const onReadable = (): void => {
      for (let chunk: Buffer | null = message.read(); chunk !== null; chunk = message.read()) {
        length += chunk.length
        chunks.push(chunk)
      }
      if (length > limit) {
        settle(() => reject(tooLarge(limit)))
      } else if (message.complete) {
        const body = Buffer.concat(chunks)
        settle(() => resolve(body))
        // Before the stream says that it has ended: to whoever reads next, nothing was read yet.
        if (length > 0) message.unshift(body)
      }
    }
    const onClose = (): void => settle(() => reject(lost()))
    message.on('readable', onReadable).on('close', onClose)
  })
}
