import type { IncomingMessage } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AimsError, createCorrelationId, ERROR_CODES } from 'aims/base'
import type { BrokerCaller } from './caller.ts'
import { decideTunnel } from './decide.ts'
import { type ExchangeContext, identitiesOf, recordRefusal } from './exchange.ts'
import { codeOf, statusOf } from './problem.ts'
import { parseTunnelTarget } from './target.ts'

/** A request for a tunnel. */
export interface TunnelRequest {
  readonly request: IncomingMessage
  readonly socket: Duplex
  /** What the client has sent behind the header. */
  readonly head: Buffer
  /** @throws {@link AimsError} when nobody knows who connected */
  callerOf(socket: Duplex): BrokerCaller
}

/** Milliseconds without a byte in either direction. */
const IDLE = 300_000

/**
 * Answers CONNECT. In a tunnel the broker can neither prove who calls nor look through the answer, so there is one only
 * where an operator has said so, and nothing is attached.
 */
export async function openTunnel(tunnel: TunnelRequest, context: ExchangeContext): Promise<void> {
  const { request, socket, head } = tunnel
  const id = createCorrelationId()
  socket.on('error', () => socket.destroy())
  const about = { resource: request.url?.slice(0, 512) ?? '', facts: {}, agent: undefined, rule: undefined }
  let known: Known = about
  try {
    const to = parseTunnelTarget(request.url ?? '')
    const caller = tunnel.callerOf(socket)
    known = { ...about, facts: caller.facts, method: caller.method }
    const attestation = await caller.attest()
    const { identities } = await identitiesOf(context.backend, attestation)
    known = { ...known, agent: identities[0]?.spiffeId }
    const { rule, identity } = decideTunnel(context.rules, to, { attestation, identities })
    known = { ...known, agent: identity.spiffeId, rule: rule.name }
    context.rates.enter(rule, identity.spiffeId)
    const addresses = await context.destinations.addressesOf(rule)
    await context.observer.record(eventOf(id, known))
    const far = await connectToOne(addresses, rule.port)
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    far.write(head)
    join(socket, far)
  } catch (error) {
    const code = codeOf(await recordRefusal(context, eventOf(id, known, error), error))
    const status = statusOf(code)
    const body = JSON.stringify({ type: 'about:blank', title: ERROR_CODES[code], status, code, id })
    socket.end(
      `HTTP/1.1 ${status} Refused\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  }
}

interface Known {
  readonly resource: string
  readonly facts: BrokerCaller['facts']
  readonly method?: BrokerCaller['method']
  readonly agent: string | undefined
  readonly rule: string | undefined
}

function eventOf(id: string, { resource, facts, method, agent, rule }: Known, error?: unknown) {
  return {
    type: 'authorization.brokered',
    ...(agent === undefined ? {} : { agent: { id: agent, ...(method === undefined ? {} : { method }) } }),
    resource: { type: 'destination', id: resource },
    action: 'CONNECT',
    decision: error === undefined ? 'allow' : 'deny',
    ...(rule === undefined ? {} : { policy: { ids: [rule], version: 'agent.egress.rules' } }),
    ...(error === undefined ? {} : { reasons: [codeOf(error)] }),
    correlationId: id,
    details: { ...facts, credential: 'tunnel' },
  } as const
}

async function connectToOne(addresses: readonly string[], port: number): Promise<Socket> {
  for (const host of addresses) {
    const socket = connectTcp({ host, port, timeout: 10_000 })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('timeout', () => resolve(false))
    })
    if (isOpen) return socket
    socket.destroy()
  }
  throw new AimsError('outbound.unreachable', 'no address of the host takes a connection')
}

function join(near: Duplex, far: Socket): void {
  far.setTimeout(IDLE, () => far.destroy())
  far.on('error', () => near.destroy())
  near.on('close', () => far.destroy())
  far.on('close', () => near.destroy())
  near.pipe(far).pipe(near)
}
