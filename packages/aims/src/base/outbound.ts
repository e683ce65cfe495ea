import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { startDeadline } from './deadline.ts'
import { AimsError } from './errors.ts'
import { type Networks, networks, resolveBySystem, vettedAddresses } from './outbound-addresses.ts'
import { openConnection, type TlsPeer } from './outbound-connection.ts'
import { Redirected, redirectTarget } from './outbound-redirect.ts'
import { isPublicName, type OutboundUrl, parseOutboundUrl } from './outbound-url.ts'

/** What may be reached for one purpose. */
export interface OutboundPurpose {
  /**
   * The hosts, each `name` or `name:port`; without a port 443. `public`: any name of the public DNS, on port 443, for
   * URLs that others choose.
   */
  readonly hosts: readonly string[] | 'public'
  /** Networks that are not public and may be reached all the same, e.g. `10.0.0.0/8`. Default none. */
  readonly networks?: readonly string[]
  /** PEM of the authorities of these hosts. Default: those that come with Node. */
  readonly authorities?: string
  /** Whom to accept instead of a host with a certificate for its name from these authorities. */
  readonly peer?: TlsPeer
  /**
   * How many redirects are followed for a GET without fields of its own. A target may be another host than `hosts`; its URL,
   * address and certificate are checked as those of the first. Default 0.
   */
  readonly redirects?: number
  /** Bytes of an answer. Default 1 MiB. */
  readonly maxBody?: number
  /** Milliseconds until the whole answer must be here. Default 10,000. */
  readonly timeout?: number
}

/** Purposes by name, and what tests put in place of the network. */
export interface OutboundOptions<Purpose extends string> {
  readonly purposes: { readonly [name in Purpose]: OutboundPurpose }
  /** Every address of a name. Default: the resolver of the system. */
  resolve?(host: string): Promise<readonly string[]>
  /** Opens a TCP connection to an address. Default: the network. */
  connect?(address: string, port: number): Socket
}

/** One request. */
export interface OutboundRequest {
  /** Default `GET`. */
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly headers?: { readonly [name: string]: string }
  readonly body?: Uint8Array
  /** Content types that are taken, e.g. `application/json`. Absent: any. */
  readonly types?: readonly string[]
  /** Further statuses from 400 that are answers, e.g. 403 of a service whose refusal is what was asked for. */
  readonly statuses?: readonly number[]
  readonly signal?: AbortSignal
}

/** A whole answer with a status from 200 to 299, 404, or one that was asked for. */
export interface OutboundResponse {
  readonly status: number
  /** Lower-case names; a field that comes more than once is left out. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** The host asked for fewer requests. */
export class RateLimitedError extends AimsError {
  /** Seconds, where the host said so. */
  readonly retryAfter: number | undefined

  constructor(retryAfter: number | undefined) {
    super('outbound.rate_limited', 'the host asks to wait')
    this.retryAfter = retryAfter
  }
}

/** Fetches from elsewhere. The only thing in AIMS that follows a URL. */
export interface Outbound<Purpose extends string = string> {
  /** @throws {@link AimsError} `outbound.*` */
  fetch(purpose: Purpose, url: string, request?: OutboundRequest): Promise<OutboundResponse>
}

/**
 * Makes the fetcher for everything a program fetches from elsewhere. Every URL is read in one spelling, its host must be
 * allowed for the purpose, **every** address of the host must be public (or in a network that is configured), and the
 * connection goes to the very address that was looked at. No redirect is followed unless the purpose says so, no content
 * coding undone, no proxy asked, no TLS session resumed; the answer has a size and a deadline.
 *
 * Does not say that the answer is true: what is fetched must be signed, or come from a host that is trusted.
 */
export function outbound<Purpose extends string>(options: OutboundOptions<Purpose>): Outbound<Purpose> {
  const { resolve = resolveBySystem, connect } = options
  const rules = new Map<string, Rule>()
  for (const [name, purpose] of Object.entries<OutboundPurpose>(options.purposes)) rules.set(name, readRule(purpose))

  async function fetch(purpose: Purpose, text: string, wanted: OutboundRequest = {}): Promise<OutboundResponse> {
    const rule = rules.get(purpose)
    if (rule === undefined) throw new TypeError(`no such purpose: ${purpose}`)
    const url = parseOutboundUrl(text)
    if (!rule.allows(url)) throw new AimsError('outbound.host_refused', `${purpose}: the host is not allowed`)
    using deadline = startDeadline(rule.timeout, wanted.signal)
    try {
      return await fetchFollowing(url, rule, wanted, deadline.signal)
    } catch (cause) {
      if (deadline.isOver()) throw new AimsError('outbound.timeout', `${purpose}: no whole answer in time`, { cause })
      if (AimsError.is(cause)) throw cause
      throw new AimsError('outbound.unreachable', `${purpose}: the connection failed`, { cause })
    }
  }

  async function fetchFollowing(
    first: OutboundUrl,
    rule: Rule,
    wanted: OutboundRequest,
    signal: AbortSignal,
  ): Promise<OutboundResponse> {
    let url = first
    for (let left = isPlainGet(wanted) ? rule.redirects : 0; ; left -= 1) {
      try {
        return await fetchOnce(url, rule, wanted, signal)
      } catch (error) {
        if (!(error instanceof Redirected) || left <= 0) throw error
        url = redirectTarget(url, error)
      }
    }
  }

  async function fetchOnce(
    url: OutboundUrl,
    rule: Rule,
    wanted: OutboundRequest,
    signal: AbortSignal,
  ): Promise<OutboundResponse> {
    const addresses = await orAborted(signal, vettedAddresses(url.host, rule.networks, resolve))
    const through = { ...rule.tls, ...(connect === undefined ? {} : { connect }) }
    const socket = await openConnection({ host: url.host, port: url.port, addresses, signal, ...through })
    try {
      return await orAborted(signal, exchange(socket, url, wanted, rule.maxBody))
    } finally {
      socket.destroy()
    }
  }

  return { fetch }
}

// Fields may be for the host that was named, and for no other.
function isPlainGet({ method = 'GET', headers, body }: OutboundRequest): boolean {
  return method === 'GET' && headers === undefined && body === undefined
}

interface Rule {
  readonly networks: Networks
  readonly tls: Pick<OutboundPurpose, 'authorities' | 'peer'>
  readonly redirects: number
  readonly maxBody: number
  readonly timeout: number
  allows(url: OutboundUrl): boolean
}

function readRule(purpose: OutboundPurpose): Rule {
  const { hosts, authorities, peer, redirects = 0, maxBody = 1_048_576, timeout = 10_000 } = purpose
  const allowed = hosts === 'public' ? undefined : new Set(hosts.map(authorityOf))
  return {
    networks: networks(purpose.networks ?? []),
    tls: { ...(authorities === undefined ? {} : { authorities }), ...(peer === undefined ? {} : { peer }) },
    redirects,
    maxBody,
    timeout,
    allows: ({ host, port }) =>
      allowed === undefined ? isPublicName(host) && port === 443 : allowed.has(`${host}:${port}`),
  }
}

function authorityOf(host: string): string {
  const { host: name, port, target } = parseOutboundUrl(`https://${host}`)
  if (target !== '/') throw new TypeError(`not a host: ${host}`)
  return `${name}:${port}`
}

async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let abort: (() => void) | undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    if (abort !== undefined) signal.removeEventListener('abort', abort)
    // Whoever lost the race has nobody left to tell.
    work.catch(() => {})
  }
}

function exchange(
  socket: TLSSocket,
  url: OutboundUrl,
  wanted: OutboundRequest,
  maxBody: number,
): Promise<OutboundResponse> {
  const { method = 'GET', headers = {}, body } = wanted
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => socket,
      method,
      path: url.target,
      headers: {
        'user-agent': 'aims',
        accept: wanted.types?.join(', ') ?? '*/*',
        'accept-encoding': 'identity',
        ...(body === undefined ? {} : { 'content-length': body.length }),
        ...headers,
        host: url.port === 443 ? url.host : `${url.host}:${url.port}`,
        connection: 'close',
      },
      maxHeaderSize: 32_768,
    })
    const invalid = (cause?: unknown): void =>
      reject(new AimsError('outbound.invalid_response', 'the answer is not HTTP as it should be', { cause }))
    sent.on('error', invalid)
    sent.on('upgrade', () => invalid())
    sent.on('response', (response) => {
      try {
        checkHead(response, wanted, maxBody)
      } catch (error) {
        reject(error as Error)
        return
      }
      readBody(response, maxBody).then((bytes) => {
        resolve({ status: response.statusCode ?? 0, headers: singleHeaders(response), body: bytes })
      }, reject)
    })
    sent.end(body)
  })
}

function checkHead(response: IncomingMessage, { types, statuses = [] }: OutboundRequest, maxBody: number): void {
  const { statusCode = 0, headers } = response
  if (statusCode >= 300 && statusCode < 400) throw new Redirected(headers.location)
  if (statusCode === 429 || statusCode === 503) {
    const { 'retry-after': after = '' } = headers
    throw new RateLimitedError(/^[0-9]{1,6}$/.test(after) ? Number(after) : undefined)
  }
  const isAsked = statusCode === 404 || statuses.includes(statusCode)
  if (statusCode < 200 || (statusCode > 299 && !isAsked)) {
    throw new AimsError('outbound.refused_by_host', `the host answered with status ${statusCode}`)
  }
  if (Number(headers['content-length'] ?? 0) > maxBody) throw tooLarge(maxBody)
  const coding = headers['content-encoding'] ?? 'identity'
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const isWanted = types === undefined || isAsked || types.includes(type)
  if (coding !== 'identity' || !isWanted) {
    throw new AimsError('outbound.wrong_type', 'the answer has another content type or coding than was asked for')
  }
}

async function readBody(response: IncomingMessage, maxBody: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response) {
      size += chunk.length
      if (size > maxBody) throw tooLarge(maxBody)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (AimsError.is(cause)) throw cause
    throw new AimsError('outbound.invalid_response', 'the answer broke off', { cause })
  }
  return Buffer.concat(chunks)
}

function singleHeaders(response: IncomingMessage): ReadonlyMap<string, string> {
  const single = Object.entries(response.headersDistinct).filter(([, values]) => values?.length === 1)
  return new Map(single.map(([name, values]) => [name, values?.[0] ?? '']))
}

function tooLarge(maxBody: number): AimsError {
  return new AimsError('outbound.too_large', `the answer has more than ${maxBody} bytes`)
}
