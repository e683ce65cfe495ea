import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { requireFewFields } from '../authentication/carriage.ts'
import { type ProofRequest, proofHeaders } from '../authentication/wpt/create.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { toRawHeaders } from './incoming.ts'
import { requireSecure } from './plaintext.ts'
import { readMessage } from './read-message.ts'
import {
  type HttpSignatureOptions,
  pairsOf,
  RESPONSE_REFUSALS,
  type SignedExchange,
  signedExchange,
} from './signed-exchange.ts'

/** How to prove oneself, and what to send. */
export interface ProvingRequestOptions extends Pick<ProofRequest, 'accessToken' | 'txnToken' | 'otherTokens'> {
  readonly wits: WitSource
  /** The service's own name for itself, as it told you; not derived from the URL. */
  readonly audience: string
  /** Default `GET`. */
  readonly method?: string
  /** Sent as they are, beside those of the proof. */
  readonly headers?: { readonly [field: string]: string }
  readonly body?: Uint8Array | string
  /**
   * Decides how the server is verified: `mtlsAgent` by its SPIFFE ID, any other by its host name and the authorities of
   * the web, or those given as `ca`. Default: an agent that keeps connections open.
   */
  readonly agent?: HttpAgent | HttpsAgent
  /** Gives up early. */
  readonly signal?: AbortSignal
  /** Seconds the proof is good for. Default 60. */
  readonly lifetime?: number
  /** Default: the machine's. */
  readonly clock?: Clock
  /** Sign the request, and check the response, in place of a proof token. Default: a proof token. */
  readonly httpSignature?: HttpSignatureOptions
  /** Send over http although others can read and change it on the way. Always allowed to this machine itself. */
  readonly acceptPlaintext?: true
}

const sharedHttp = new HttpAgent({ keepAlive: true })
const sharedHttps = new HttpsAgent({ keepAlive: true })

/**
 * Sends one request with a proof of who sends it, for its method, target and body: a proof token, or with
 * `httpSignature` a signature. Redirects are not followed: a proof is for one target.
 *
 * @throws {@link AimsError} when the source has no valid WIT; with `httpSignature`, `signature.*` and those of the
 *   service's WIT for a response that is not what was asked for
 * @throws TypeError for plain http to another machine, and for an agent that does not verify servers
 */
export function provingRequest(url: string | URL, options: ProvingRequestOptions): Promise<IncomingMessage> {
  const { protocol, hostname, port, pathname, search } = typeof url === 'string' ? new URL(url) : url
  const isSecure = requireSecure(protocol, hostname, options.acceptPlaintext)
  const { wits, method = 'GET', audience, agent = isSecure ? sharedHttps : sharedHttp, clock = systemClock } = options
  if (agent instanceof HttpsAgent && agent.options.rejectUnauthorized === false) {
    throw new TypeError('the agent does not verify servers')
  }
  const target = `${pathname}${search}`
  const body = typeof options.body === 'string' ? Buffer.from(options.body) : options.body
  const { accessToken, txnToken, otherTokens, lifetime = 60 } = options
  const bound = otherTokens === undefined ? {} : { otherTokens }
  const proven = { method, target, audience, body, accessToken, txnToken, ...bound }
  const headers: Record<string, string | number> = { ...options.headers, ...otherTokens }
  if (body !== undefined) headers['content-length'] = body.length
  if (txnToken !== undefined) headers['txn-token'] = txnToken
  if (accessToken !== undefined) headers.authorization = `Bearer ${accessToken}`
  const exchange =
    options.httpSignature === undefined
      ? undefined
      : signedExchange(
          wits.wit(),
          { method, target, audience, body, headers: pairsOf(headers) },
          options.httpSignature,
          {
            clock,
            lifetime,
            contextTokens: Object.keys(otherTokens ?? {}),
          },
        )
  Object.assign(headers, exchange?.headers ?? proofHeaders(wits.wit(), proven, { now: clock(), lifetime }))
  return new Promise((resolve, reject) => {
    const answer = (response: IncomingMessage): void => {
      if (exchange === undefined) resolve(response)
      else verified(response, exchange).then(resolve, reject)
    }
    const request = (isSecure ? requestHttps : requestHttp)(
      {
        method,
        hostname: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
        port,
        path: target,
        headers,
        agent,
        // Not left to the environment.
        ...(isSecure ? { rejectUnauthorized: true } : {}),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      answer,
    )
    request.on('error', reject)
    request.end(body)
  })
}

// Read whole and judged before anybody sees any of it.
async function verified(response: IncomingMessage, exchange: SignedExchange): Promise<IncomingMessage> {
  try {
    const body = await readMessage(response, exchange.maxBody, RESPONSE_REFUSALS)
    const headers = requireFewFields(toRawHeaders(response.rawHeaders))
    exchange.verify({ status: response.statusCode ?? 0, headers, body })
    return response
  } catch (error) {
    response.destroy()
    throw error
  }
}
