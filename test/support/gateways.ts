// What a test of a gateway needs: a service that says what it got, raw requests, and proofs for them.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { type SignableRequest, signRequest } from '../../packages/aims/src/authentication/http-signature/sign.ts'
import {
  type Authenticator,
  type AuthenticatorOptions,
  createAuthenticator,
} from '../../packages/aims/src/authentication/index.ts'
import { createMemoryReplayStore } from '../../packages/aims/src/authentication/replay/memory.ts'
import { type ProofRequest, proofHeaders } from '../../packages/aims/src/authentication/wpt/create.ts'
import type { AuditEvent, Observer } from '../../packages/aims/src/base/event.ts'
import type { Wit } from '../../packages/aims/src/credentials/wit/source.ts'
import { AUDIENCE, type TestDomain } from './identities.ts'

/** What the service behind a gateway got. */
export interface Seen {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** A service that knows nothing of identities, and repeats each request as JSON. */
export interface EchoService {
  readonly port: number
  readonly server: Server
  readonly seen: Seen[]
  close(): void
}

export async function startEcho(): Promise<EchoService> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => '')
    const headers: [string, string][] = []
    const { rawHeaders } = request
    for (let at = 0; at < rawHeaders.length; at += 2) {
      headers.push([(rawHeaders[at] ?? '').toLowerCase(), rawHeaders[at + 1] ?? ''])
    }
    const one = { method: request.method ?? '', target: request.url ?? '', headers, body }
    seen.push(one)
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.end(JSON.stringify(one))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    seen,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Bytes to a port, and what comes back until the other side closes or says no more for a while. */
export async function exchange(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => socket.destroy())
  // Not ended: to some servers that is a client that went away.
  socket.write(bytes)
  socket.setTimeout(30_000, () => socket.destroy())
  return await text(socket).catch(() => '')
}

/** Status of the first response in what came back; 0 for none. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)
}

/** A proof for a request, as lines. */
export function proofLines(wit: Wit, request: Omit<ProofRequest, 'audience'>): readonly string[] {
  const fields = proofHeaders(wit, { ...request, audience: AUDIENCE }, { now: Math.floor(Date.now() / 1000) })
  return Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
}

/** A signature of a request, as lines. */
export function signatureLines(wit: Wit, request: Omit<SignableRequest, 'audience'>): readonly string[] {
  const { headers } = signRequest(wit, { ...request, audience: AUDIENCE }, { now: Math.floor(Date.now() / 1000) })
  return Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
}

/** A request with these lines after `Host` and `Connection: close`. */
export function requestText(line: string, lines: readonly string[], body = ''): string {
  return `${[line, 'Host: api.example.com', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n${body}`
}

/** An authenticator and all that it has recorded. */
export interface Observed {
  readonly authenticator: Authenticator
  readonly observer: Observer
  readonly events: AuditEvent[]
  /** The code of the last refusal. */
  reason(): string | undefined
}

export function observed(domain: TestDomain, options: Partial<AuthenticatorOptions> = {}): Observed {
  const events: AuditEvent[] = []
  const observer: Observer = { record: async (event) => void events.push(event) }
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer,
    methods: ['http-signature', 'wit+wpt'],
    ...options,
  })
  return {
    authenticator,
    observer,
    events,
    reason: () => events.findLast(({ decision }) => decision === 'deny')?.reasons?.[0],
  }
}
