import { AimsError } from '../../base/errors.ts'
import type { Procedure } from '../workload-api/service.ts'
import type { GrpcConnection } from './grpc-connection.ts'

/** How long an answer is waited for. */
export interface Waiting {
  /** Milliseconds. */
  readonly timeout: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The first answer to a call. A stream is ended after it; a call that has only one answer ends by itself.
 *
 * @throws {@link AimsError} `provisioning.timeout`, `provisioning.malformed_message` for a call without an answer, and as
 *   `GrpcConnection.run`
 */
export async function firstAnswer<Request, Response, T>(
  connection: GrpcConnection,
  { path, request, response, isStream }: Procedure<Request, Response>,
  message: Request,
  read: (response: Response) => T,
  { timeout, signal }: Waiting,
): Promise<T> {
  const done = new AbortController()
  const timer = setTimeout(() => done.abort(), timeout)
  const signals = signal === undefined ? [done.signal] : [done.signal, signal]
  const answers: T[] = []
  try {
    await connection.run({
      path,
      request: request.encode(message),
      signal: AbortSignal.any(signals),
      onMessage(bytes) {
        answers.push(read(response.decode(bytes)))
        if (isStream) done.abort()
      },
    })
  } finally {
    clearTimeout(timer)
  }
  const [answer] = answers
  signal?.throwIfAborted()
  if (answer !== undefined) return answer
  if (done.signal.aborted) throw new AimsError('provisioning.timeout', 'no answer came in time')
  throw new AimsError('provisioning.malformed_message', 'the call ended without an answer')
}
