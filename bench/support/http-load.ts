// A client of the servers in http-servers.ts: lean, so that these always have something to do.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { proofHeaders } from 'aims/authentication'
import { verificationKey, WorkloadKey } from 'aims/base'
import { emptyBundle, issueWit, serializeBundle } from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { AUDIENCE, type ServerKind } from './http-servers.ts'

const CONNECTIONS = 32
/** How a whole response ends: a body of its length, or the last of its chunks. */
const ENDS = ['\r\n\r\nok', 'ok\r\n0\r\n\r\n']

const now = Math.floor(Date.now() / 1000)
const signer = WorkloadKey.generate()
const key = WorkloadKey.generate()
const subject = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
const { token } = await issueWit({ subject, publicKey: key.publicKey, now, ttl: 86_400 }, signer)
const witAuthorities = new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]])
const bundle = serializeBundle(
  { ...emptyBundle(parseTrustDomain('example.com')), witAuthorities },
  { includeWit: true },
)

/** A server in a process of its own, and connections to it. */
export interface RunningServer {
  readonly kind: ServerKind
  readonly sockets: readonly Socket[]
  /** Its processor time so far, microseconds. */
  cpu(): Promise<number>
  stop(): void
}

export async function startServer(kind: ServerKind): Promise<RunningServer> {
  const child = fork(new URL('./http-servers.ts', import.meta.url), [kind, bundle])
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${kind}: the server has ended`)
  })
  ended.catch(() => undefined)
  const [port] = await Promise.race([once(child, 'message'), ended])
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      await once(socket, 'connect')
      return socket
    }),
  )
  return {
    kind,
    sockets,
    async cpu() {
      child.send('cpu')
      return (await once(child, 'message'))[0]
    },
    stop() {
      for (const socket of sockets) socket.destroy()
      child.kill()
    },
  }
}

/** A request as it goes over the wire, with a proof of its own. */
export function makeRequest(): Buffer {
  const wit = { token, key, subject, profile: 'wimse' as const }
  const request = { method: 'GET', target: '/api/v1/events', audience: AUDIENCE }
  const fields = proofHeaders(wit, request, { now: Math.floor(Date.now() / 1000), lifetime: 300 })
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`GET /api/v1/events HTTP/1.1\r\nHost: h\r\n${lines.join('')}\r\n`)
}

/** Sends requests on one connection, one after the other, all connections from one list, until none is left. */
export function sendAll(socket: Socket, requests: Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (): void => {
      const request = requests.pop()
      if (request === undefined) resolve()
      else exchange(socket, request, next, reject)
    }
    next()
  })
}

/** Sends one request, and waits for all of the response. */
export function exchange(socket: Socket, request: Buffer, done: () => void, failed: (error: Error) => void): void {
  let isFirst = true
  const settled = (): void => void socket.off('data', onData).off('close', onClose)
  const onClose = (): void => failed(new Error('the server has closed the connection'))
  const onData = (chunk: Buffer): void => {
    if (isFirst && chunk.toString('latin1', 0, 12) !== 'HTTP/1.1 200') {
      settled()
      failed(new Error('refused'))
      return
    }
    isFirst = false
    if (!ENDS.some((end) => chunk.toString('latin1', Math.max(0, chunk.length - end.length)) === end)) return
    settled()
    done()
  }
  socket.on('data', onData).on('close', onClose)
  socket.write(request)
}
