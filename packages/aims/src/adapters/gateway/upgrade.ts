import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { RawHeaders } from '../../authentication/carriage.ts'
import type { Principal } from '../../authentication/principal.ts'
import type { ProblemResponse } from '../../authentication/problem.ts'
import type { IncomingRequest } from '../../authentication/request.ts'
import { createCorrelationId } from '../../base/correlation-id.ts'
import { AimsError } from '../../base/errors.ts'
import { answerOnSocket } from '../answer-socket.ts'
import { endWith } from '../end-with.ts'
import { toIncomingRequest } from '../incoming.ts'
import { hasBody, isFinal, serviceLost, toPairs } from './forward.ts'
import { bareRequest, type Gate } from './gate.ts'
import { problemOf } from './problem.ts'
import { endToEnd, requirePlainHead } from './relay-fields.ts'
import type { Service } from './service.ts'

/** The connections that were handed over. */
export interface Upgrades {
  /** Ends them. */
  close(): void
}

/** Lets WebSockets through whose opening a gate admits, until the credential of its caller counts no more. No other protocol: h2c would carry requests that nobody judges. */
export function upgrades(server: Server, gate: Gate, service: Service): Upgrades {
  const open = new Set<Duplex>()
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    // Nobody else listens, and a client may go away at any time.
    socket.on('error', () => socket.destroy())
    void openSocket(request, socket, head, gate, service)
  })
  return {
    close() {
      for (const socket of open) socket.destroy()
    },
  }
}

async function openSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  gate: Gate,
  service: Service,
): Promise<void> {
  const id = createCorrelationId()
  try {
    const opening = await judged(request, id, gate)
    if ('problem' in opening) return answerOnSocket(socket, opening.problem)
    const { caller: principal } = opening
    if (principal !== undefined) endWith(socket, gate.authenticator, { principal, correlationId: id })
    await tunnel(request, socket, head, opening.headers, service)
  } catch (error) {
    answerOnSocket(socket, problemOf(gate.authenticator, error, id))
  }
}

type Opening =
  | { readonly headers: RawHeaders; readonly caller: Principal | undefined }
  | { readonly problem: ProblemResponse }

async function judged(request: IncomingMessage, id: string, gate: Gate): Promise<Opening> {
  let incoming: IncomingRequest
  try {
    incoming = { ...toIncomingRequest(request, id, {}), body: new Uint8Array(), answersUnsigned: true }
    requirePlainHead(incoming.headers)
    requireWebSocket(request)
  } catch (error) {
    return { problem: (await gate.refuse(bareRequest(request, id), error)).response }
  }
  const verdict = await gate.judge(incoming)
  if (verdict.effect === 'refuse') return { problem: verdict.response }
  const headers = [...endToEnd(incoming.headers, verdict.remove), ...verdict.add]
  return { caller: verdict.caller, headers: [...headers, ['connection', 'Upgrade'], ['upgrade', 'websocket']] }
}

// With a body, what follows it would be taken for a part of the WebSocket by one side alone.
function requireWebSocket(request: IncomingMessage): void {
  const { upgrade } = request.headers
  if (request.method === 'GET' && upgrade?.toLowerCase() === 'websocket' && !hasBody(request)) return
  throw new AimsError('authentication.target_unsupported', 'an upgrade to something else than a WebSocket')
}

function tunnel(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  headers: RawHeaders,
  service: Service,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const opening = service.open('GET', request.url ?? '', headers)
    socket.once('close', () => {
      opening.destroy()
      resolve()
    })
    let isAnswered = false
    const fail = (error: AimsError): void => {
      opening.destroy()
      // One head is on its way: a second one would be a part of its body.
      if (isAnswered) socket.destroy()
      else reject(error)
    }
    opening.on('timeout', () => fail(new AimsError('operation.service_timeout', 'the service does not answer')))
    opening.on('error', (cause) => fail(serviceLost(cause)))
    opening.on('response', (answer) => {
      answer.on('error', (cause) => fail(serviceLost(cause)))
      if (!isFinal(answer.statusCode ?? 0)) return fail(serviceLost(undefined))
      isAnswered = true
      writeHead(socket, answer, [...endToEnd(toPairs(answer)), ['connection', 'close']])
      answer.pipe(socket)
    })
    opening.on('upgrade', (answer, other, first) => {
      isAnswered = true
      other.on('error', () => socket.destroy())
      other.once('close', () => socket.destroy())
      socket.once('close', () => other.destroy())
      // WebSockets may be silent for as long as they like.
      for (const end of [other, socket]) if (end instanceof Socket) end.setTimeout(0)
      writeHead(socket, answer, [...endToEnd(toPairs(answer)), ['connection', 'Upgrade'], ['upgrade', 'websocket']])
      socket.write(first)
      other.write(head)
      socket.pipe(other).pipe(socket)
    })
    opening.end()
  })
}

function writeHead(socket: Duplex, { statusCode = 502 }: IncomingMessage, headers: RawHeaders): void {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode] ?? ''}\r\n${lines}\r\n`, 'latin1')
}
