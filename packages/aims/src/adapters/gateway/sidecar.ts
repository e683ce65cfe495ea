import type { IncomingMessage, ServerResponse } from 'node:http'
import type { IncomingRequest } from '../../authentication/request.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { endWith } from '../end-with.ts'
import { MAX_BODY, sendProblem, toIncomingRequest } from '../incoming.ts'
import { signWhereDemanded } from '../signing-response.ts'
import { forward } from './forward.ts'
import { bareRequest, type Gate } from './gate.ts'
import {
  CLIENT_TIMEOUT,
  drain,
  type GatewayTls,
  gatewayServer,
  type ListenAddress,
  listenOn,
  type RunningGateway,
} from './listen.ts'
import { problemOf } from './problem.ts'
import { endToEnd, requirePlainHead } from './relay-fields.ts'
import { SERVICE_TIMEOUT, type Service, type ServiceOptions, serviceAt } from './service.ts'
import { upgrades } from './upgrade.ts'

/** A reverse proxy that lets through what a gate admits. */
export interface SidecarOptions {
  readonly gate: Gate
  readonly listen: ListenAddress
  /** Absent: plain HTTP, for clients on this machine or a TLS proxy on the way. */
  readonly tls?: GatewayTls
  readonly service: ServiceOptions
  /** Bytes of a body that a proof names: it is read and compared before the service sees any of it. Default 262,144. */
  readonly maxBody?: number
  /** Bytes of a response that a caller wants signed. Default 1,048,576. */
  readonly maxSignedBody?: number
  /** Milliseconds in which a client neither sends nor takes anything, beyond those that the service has. Default 60,000. */
  readonly clientTimeout?: number
}

/**
 * Starts a verifying reverse proxy. The service behind it needs no code: it reads `aims-caller-id` and the other
 * `aims-caller-*` fields, which no client can send, and must be reachable by the sidecar alone.
 *
 * A body that a proof names is compared first; any other streams. WebSockets are proven when they are opened.
 *
 * @throws {@link AimsError} `operation.port_busy`, `operation.address_unavailable`, `operation.socket_*`
 */
export async function startSidecar(options: SidecarOptions): Promise<RunningGateway> {
  const { gate, listen, tls, clientTimeout = CLIENT_TIMEOUT } = options
  const service = serviceAt(options.service)
  // While the service is waited for, the client has nothing to take.
  const idle = clientTimeout + (options.service.timeout ?? SERVICE_TIMEOUT)
  const server = gatewayServer((request, response) => void answer(request, response, options, service), tls, idle)
  const opened = upgrades(server, gate, service)
  return await listenOn(server, listen, {
    scheme: tls === undefined ? 'http' : 'https',
    stop() {
      drain(server)
      opened.close()
      server.once('close', () => service.close())
    },
  })
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: SidecarOptions,
  service: Service,
): Promise<void> {
  const { gate, maxBody = MAX_BODY, maxSignedBody } = options
  const id = createCorrelationId()
  try {
    const verdict = await judged(gate, request, id, maxBody)
    if (verdict.effect === 'refuse') return refuse(request, response, verdict.response)
    const { caller, add, remove } = verdict
    if (caller !== undefined) {
      const limit = maxSignedBody === undefined ? {} : { maxSignedBody }
      signWhereDemanded(response, gate.authenticator, caller, id, limit)
      endWith(response, gate.authenticator, { principal: caller, correlationId: id })
    }
    const headers = [...endToEnd(verdict.headers, remove), ...add]
    await forward(request, response, headers, service)
  } catch (error) {
    refuse(request, response, problemOf(gate.authenticator, error, id))
  }
}

async function judged(gate: Gate, request: IncomingMessage, id: string, maxBody: number) {
  let incoming: IncomingRequest
  try {
    incoming = toIncomingRequest(request, id, { maxBody })
    requirePlainHead(incoming.headers)
  } catch (error) {
    return await gate.refuse(bareRequest(request, id), error)
  }
  const verdict = await gate.judge(incoming)
  return verdict.effect === 'refuse' ? verdict : { ...verdict, headers: incoming.headers }
}

/** Answers no. What is left of the body is not waited for. */
function refuse(request: IncomingMessage, response: ServerResponse, problem: Parameters<typeof sendProblem>[1]): void {
  if (!request.complete && !response.headersSent) response.setHeader('connection', 'close')
  sendProblem(response, problem)
}
