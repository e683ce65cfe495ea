import type { Authenticator } from '../authentication/authenticate.ts'
import type { Caller } from './admit.ts'
import type { NodeResponse } from './incoming.ts'

/** Something open that a caller has: a response that streams, a WebSocket. */
export interface Open {
  readonly destroyed: boolean
  destroy(): unknown
  once(event: 'close', listener: () => void): unknown
}

/** Ends what a caller has open when its credential counts no more: it was proven when that was opened, and nobody asks again. */
export function endWith(
  open: Open,
  authenticator: Authenticator,
  caller: Caller,
  end: () => void = () => open.destroy(),
): void {
  // Nobody would tell that it is closed.
  if (open.destroyed) return
  const { stop } = authenticator.watch(caller, end)
  open.once('close', stop)
}

/**
 * As {@link endWith}, for a response: with HTTP/2 only its own stream, and so that it does not look complete.
 *
 * Begins when the event loop comes round. Nearly all responses are complete by then, and cost no listener and no watch.
 */
export function endResponseWith(response: NodeResponse, authenticator: Authenticator, caller: Caller): void {
  if ('stream' in response) {
    const { stream } = response
    afterThisTurn(() => endWith(stream, authenticator, caller, () => stream.close(CANCEL)))
  } else {
    afterThisTurn(() => {
      if (!response.writableFinished) endWith(response, authenticator, caller)
    })
  }
}

// RFC 9113 section 7.
const CANCEL = 8

// One turn for all that came in the same: one of its own for each would cost as much as is saved.
let waiting: (() => void)[] = []

function afterThisTurn(begin: () => void): void {
  waiting.push(begin)
  if (waiting.length > 1) return
  setImmediate(() => {
    const all = waiting
    waiting = []
    for (const each of all) each()
  })
}
