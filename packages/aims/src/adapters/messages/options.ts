import type { QueuedMessage } from '../../authentication/message/message.ts'
import { type MessageProofOptions, proveMessage } from '../../authentication/message/prove.ts'
import { type Clock, systemClock } from '../../base/clock.ts'
import type { WitSource } from '../../credentials/wit/source.ts'

/** Where a message goes, and for how long its proof is to be good. */
export interface ProvingMessageOptions extends Omit<MessageProofOptions, 'now'> {
  /** Default: the machine's. */
  readonly clock?: Clock
}

/** The headers that prove who sends a message now. @throws TypeError as `proveMessage` */
export function messageFields(
  wits: WitSource,
  message: QueuedMessage,
  { clock = systemClock, ...options }: ProvingMessageOptions,
): { readonly [name: string]: string } {
  return proveMessage(wits.wit(), message, { ...options, now: clock() }).headers
}
