import { AimsError } from '../base/errors.ts'
import type { BodyRefusals } from './read-message.ts'

/** All of a web stream, and no further than a limit. */
export async function readStream(
  stream: ReadableStream<Uint8Array> | null,
  limit: number,
  { lost, tooLarge }: BodyRefusals,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of stream ?? []) {
      length += chunk.length
      if (length > limit) throw tooLarge(limit)
      chunks.push(chunk)
    }
  } catch (error) {
    // Of the other end nothing more comes: its error is that of a socket, and may be anything.
    throw AimsError.is(error) ? error : lost()
  }
  return Buffer.concat(chunks)
}
