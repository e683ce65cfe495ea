import type { IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { TLSSocket } from 'node:tls'
import type { MtlsAgent } from '../../authentication/mtls/client.ts'
import { peerPrincipal } from '../../authentication/mtls/peers.ts'
import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { type BodyRefusals, readMessage } from '../read-message.ts'
import { type CardExpectations, type VerifiedAgentCard, verifyAgentCard } from './verify-card.ts'

/** How to get a card, and whose. */
export interface FetchCardOptions extends Omit<CardExpectations, 'now' | 'servedBy'> {
  /** Connects by mTLS: `mtlsAgent`. */
  readonly agent: MtlsAgent
  readonly signal?: AbortSignal
  /** Default: the machine's. */
  readonly clock?: Clock
}

const PATH = '/.well-known/agent-card.json'
const MAX_CARD = 262_144

/**
 * Fetches the card of an agent from the agent itself, over mTLS: it must be the card of who serves it, and signed by it.
 *
 * @param url - https. Without a path, the card is at `/.well-known/agent-card.json`.
 * @throws {@link AimsError} as {@link verifyAgentCard}, `a2a.card_unavailable`; those of the connection
 */
export async function fetchAgentCard(url: string | URL, options: FetchCardOptions): Promise<VerifiedAgentCard> {
  const { agent, signal, clock = systemClock, ...expected } = options
  const asked = new URL(url)
  const target = asked.pathname === '/' ? new URL(PATH, asked) : asked
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { accept: 'application/json', 'a2a-version': '1.0' }
    const given = { agent, headers, rejectUnauthorized: true, ...(signal === undefined ? {} : { signal }) }
    requestHttps(target, given, resolve).on('error', reject).end()
  })
  const { socket, statusCode } = response
  // Before the body is read: the connection may be gone then.
  const servedBy = socket instanceof TLSSocket ? peerPrincipal(socket).id : undefined
  if (statusCode !== 200 || servedBy === undefined) {
    response.destroy()
    throw new AimsError('a2a.card_unavailable', `the card was answered with status ${statusCode}`)
  }
  const text = await readMessage(response, MAX_CARD, REFUSALS)
  response.resume()
  return verifyAgentCard(text, { ...expected, servedBy, now: clock() })
}

const REFUSALS: BodyRefusals = {
  lost: () => new AimsError('a2a.card_unavailable', 'the card did not arrive'),
  tooLarge: (limit) => new AimsError('a2a.card_unavailable', `the card has more than ${limit} bytes`),
}
