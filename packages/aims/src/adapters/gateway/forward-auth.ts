import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RawHeaders } from '../../authentication/carriage.ts'
import type { ProblemResponse } from '../../authentication/problem.ts'
import type { IncomingRequest, UnseenBody } from '../../authentication/request.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { AimsError } from '../../base/errors.ts'
import { sendProblem, toRawHeaders } from '../incoming.ts'
import { CALLER_FIELDS, RESERVED_FIELDS } from './fields.ts'
import { bareRequest, type Gate, type Verdict } from './gate.ts'
import { drain, type GatewayTls, gatewayServer, type ListenAddress, listenOn, type RunningGateway } from './listen.ts'
import { problemOf } from './problem.ts'
import { requireTrustedListener } from './proxy-rules.ts'

/** The proxies whose way to ask is known. */
export const FORWARD_AUTH_PROXIES = ['nginx', 'traefik', 'caddy', 'envoy'] as const
/** One of them. */
export type ForwardAuthProxy = (typeof FORWARD_AUTH_PROXIES)[number]

/** A service that a proxy asks about each request, and that answers yes or no. */
export interface ForwardAuthOptions {
  /** Made with `refuseReservedFields`: the answer adds fields, and takes none away. Without the method `mtls`. */
  readonly gate: Gate
  /** Who asks, and so where the request that it asks about is told. */
  readonly proxy: ForwardAuthProxy
  /** A Unix socket or an address of this machine, unless there is `tls`: whoever asks is believed. */
  readonly listen: ListenAddress
  /** With a client certificate that is the proxy's. */
  readonly tls?: GatewayTls
  /** Accept proofs that name a body, although none is seen: they do not cover it then. Default: refused. */
  readonly acceptUncheckedDigest?: boolean
}

/** How a proxy tells which request it asks about. */
interface Asking {
  /** Fields that the proxy must set, so that no client can; nothing: they are in the request line. */
  readonly method?: string
  readonly target?: string
  /** What else the proxy says about the request in fields that would be reserved otherwise. */
  readonly own: readonly string[]
  /** Statuses that reach the client as they are. Others would be an error of the proxy. */
  readonly statuses?: readonly number[]
  /** Fields that are answered empty when there is nothing to say: the proxy would write something else of its own. */
  readonly empties?: readonly string[]
}

const ASKING: { readonly [proxy in ForwardAuthProxy]: Asking } = {
  nginx: {
    method: 'x-original-method',
    target: 'x-original-uri',
    own: ['x-original-method', 'x-original-uri'],
    statuses: [401, 403],
  },
  traefik: { method: 'x-forwarded-method', target: 'x-forwarded-uri', own: ['x-forwarded-method', 'x-forwarded-uri'] },
  caddy: {
    method: 'x-forwarded-method',
    target: 'x-forwarded-uri',
    own: ['x-forwarded-method', 'x-forwarded-uri'],
    // Of a field that is not there, Caddy 2.6 copies the name of its placeholder.
    empties: [...CALLER_FIELDS, 'authorization'],
  },
  envoy: { own: [] },
}

/**
 * Starts a service for `auth_request` of nginx, `forwardAuth` of Traefik, `forward_auth` of Caddy and `http_service` of
 * Envoy's `ext_authz`. Yes is 200 with the `aims-caller-*` fields, which the proxy must set on the request to the service, and with `Authorization`
 * where it is not the proof and may go on.
 *
 * Sees no body, so proofs that name one are refused unless told otherwise.
 *
 * @throws TypeError for a listener whose askers are not to be believed, and for an authenticator with `mtls`
 * @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable`, `operation.socket_*`
 */
export async function startForwardAuth(options: ForwardAuthOptions): Promise<RunningGateway> {
  const { listen, tls } = options
  requireTrustedListener(options)
  const server = gatewayServer((request, response) => void answer(request, response, options), tls)
  // Node hands upgrades over only where somebody listens: these are answered like any other request.
  return await listenOn(server, listen, {
    scheme: tls === undefined ? 'http' : 'https',
    stop: () => drain(server),
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, options: ForwardAuthOptions): Promise<void> {
  const { gate, proxy } = options
  const id = createCorrelationId()
  const refuse = (problem: ProblemResponse): void => sendProblem(response, asUnderstood(problem, ASKING[proxy]))
  try {
    // What a proxy sends along is not looked at, and must not be waited for.
    request.resume()
    const asked = askedAbout(request, id, options)
    if (asked instanceof AimsError) return refuse((await gate.refuse(bareRequest(request, id), asked)).response)
    const verdict = await gate.judge(asked)
    if (verdict.effect === 'refuse') return refuse(verdict.response)
    const { empties = [] } = ASKING[proxy]
    const more = proxy === 'envoy' ? removals(verdict) : tokensToPass(asked.headers, verdict)
    for (const name of empties) response.setHeader(name, '')
    for (const [name, value] of [...verdict.add, ...more]) response.setHeader(name, value)
    response.setHeader('cache-control', 'no-store')
    response.end()
  } catch (error) {
    refuse(problemOf(gate.authenticator, error, id))
  }
}

// The request that is asked about, or why it cannot be told.
function askedAbout(request: IncomingMessage, id: string, options: ForwardAuthOptions): IncomingRequest | AimsError {
  const { method, target, own } = ASKING[options.proxy]
  const body: UnseenBody = {
    kind: 'unseen',
    ...(options.acceptUncheckedDigest === undefined ? {} : { acceptUncheckedDigest: options.acceptUncheckedDigest }),
  }
  try {
    const headers = toRawHeaders(request.rawHeaders)
    return {
      id,
      method: method === undefined ? (request.method ?? '') : toldOnce(headers, method),
      target: target === undefined ? (request.url ?? '') : toldOnce(headers, target),
      headers: headers.filter(([name]) => !own.includes(name.toLowerCase())),
      body,
      answersUnsigned: true,
    }
  } catch (error) {
    if (AimsError.is(error)) return error
    throw error
  }
}

// Twice: the client has sent one as well, and the proxy added its own in place of replacing it.
function toldOnce(headers: RawHeaders, field: string): string {
  const [value, ...others] = headers.flatMap(([name, one]) => (name.toLowerCase() === field ? [one] : []))
  if (value === undefined || value === '' || others.length > 0) {
    throw new AimsError('authentication.malformed_field', `the proxy must set ${field}, once`)
  }
  return value
}

type Admitted = Extract<Verdict, { effect: 'admit' }>

// Of this proxy we see only the fields that it is configured to show, and so not all that a client may have sent.
function removals({ add, remove }: Admitted): RawHeaders {
  const absent = RESERVED_FIELDS.filter((name) => !add.some(([field]) => field === name))
  return [['x-envoy-auth-headers-to-remove', [...absent, ...remove].join(', ')]]
}

// The others take nothing away: they clear `Authorization`, and copy what is for the service out of our answer.
function tokensToPass(headers: RawHeaders, { remove }: Admitted): RawHeaders {
  const found = headers.filter(([name]) => name.toLowerCase() === 'authorization' && !remove.includes(name))
  const [token] = found
  return token === undefined || found.length > 1 ? [] : [['authorization', token[1]]]
}

function asUnderstood(problem: ProblemResponse, { statuses }: Asking): ProblemResponse {
  // What is wrong with us stays an error, and the proxy lets nothing through then either.
  if (statuses === undefined || statuses.includes(problem.status) || problem.status >= 500) return problem
  return { ...problem, status: 403 }
}
