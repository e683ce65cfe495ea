// The demo's service, spiffe://example.com/service/events-api: an HTTPS server that authenticates every request, asks the
// policies, and records both before it answers. A process of its own; see workload-process.ts.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import {
  type Authenticator,
  createAuthenticator,
  createMemoryReplayStore,
  mtlsAgent,
  peerCertificatesOf,
  rotatingServer,
  serverTlsOptions,
} from 'aims/authentication'
import { createAuthorizer, createCedarEngine, httpAction, serviceResource } from 'aims/authorization'
import { AimsError, apiClient } from 'aims/base'
import { isExactly, isMemberOf, parseSpiffeId, trustDomainOf } from 'aims/identifiers'
import { remoteObserver } from 'aims/monitoring'
import { loadPolicyDirectory } from 'aims/policy'
import { connectWorkload } from 'aims/provisioning'
import { answerRequests } from './workload-process.ts'

const { AIMS_SERVER_PORT = '0', DEMO_POLICIES = '', DEMO_AUDIENCE = '' } = process.env
const MAX_BODY = 65_536

const me = await connectWorkload()
const id = parseSpiffeId(me.spiffeId)
const trustDomain = trustDomainOf(id)

// The log lives in the server; it learns from the client certificate who reports.
const serverId = parseSpiffeId(`spiffe://${trustDomain}/aims/server`)
const toServer = mtlsAgent(me.x509, { bundles: me.bundles, peer: isExactly(serverId) })
const log = remoteObserver(apiClient({ host: '127.0.0.1', port: Number(AIMS_SERVER_PORT), agent: toServer }))

const authenticator: Authenticator = createAuthenticator({
  bundles: me.bundles,
  audiences: [DEMO_AUDIENCE],
  replays: createMemoryReplayStore({ capacity: 10_000 }),
  observer: log,
  profiles: [{ profile: 'wimse' }, { profile: 'aims-00', trustDomains: [trustDomain] }],
  issuers: { [trustDomain]: [`https://${trustDomain}`] },
})
const engine = await createCedarEngine(await loadPolicyDirectory(DEMO_POLICIES))
const authorizer = createAuthorizer({ engine, observer: log })

const server = createServer(serverTlsOptions(me.x509), (request, response) => {
  handle(request, response).catch(() => response.destroy())
})
rotatingServer(server, me.x509, {
  bundles: me.bundles,
  peer: isMemberOf(trustDomain),
  observer: log,
  admitWithoutCertificate: true,
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

answerRequests(async () => ({
  observed: 'ready',
  facts: { port: (server.address() as AddressInfo).port, spiffeId: id },
}))

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = randomUUID()
  const { method = '', url = '', rawHeaders } = request
  const headers = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : []))
  const body = await readBody(request)
  try {
    const peerCertificates = peerCertificatesOf(request.socket as TLSSocket)
    const principal = await authenticator.authenticate({
      method,
      target: url,
      headers,
      body,
      peerCertificates,
      id: requestId,
    })
    const action = httpAction(method, url)
    const decision = await authorizer.authorize({ principal, action, resource: serviceResource(id) }, requestId)
    const { effect, policies } = decision
    const because = effect === 'deny' ? decision.because : undefined
    send(response, effect === 'allow' ? 201 : 403, {
      ...{ id: requestId, caller: principal.id, method: principal.method, profile: principal.profile },
      ...{ effect, because, policies, covers: principal.covers },
    })
  } catch (error) {
    if (AimsError.is(error) && error.code.startsWith('authorization.'))
      return send(response, 400, { id: requestId, code: error.code })
    const problem = authenticator.problem(error, requestId)
    response.writeHead(problem.status, problem.headers).end(problem.body)
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body))
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > MAX_BODY) throw new AimsError('http.malformed', 'the body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
