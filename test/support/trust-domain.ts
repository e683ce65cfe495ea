import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { peerPrincipal, rotatingServer, serverTlsOptions } from 'aims/authentication'
import { type ApiClient, apiClient, isJsonObject, type JsonObject, noObserver } from 'aims/base'
import { isMemberOf, parseTrustDomain } from 'aims/identifiers'
import type { Workload } from 'aims/provisioning'
import { type RunningAgent, startAgent } from 'aims-agent'
import { loadConfig, startServer } from 'aims-server'

/** A whole trust domain for a test: a real server and a real agent, in a temporary directory. */
export interface TestTrustDomain {
  readonly directory: string
  /** For SPIFFE_ENDPOINT_SOCKET. */
  readonly address: string
  readonly api: ApiClient
  /** The credential broker of the agent, if the settings ask for one. */
  readonly egress: RunningAgent['egress']
  /** Port of the HTTPS listener. */
  readonly port: number
  /** Registers a workload; returns the entry. */
  register(entry: JsonObject): Promise<JsonObject>
  /** Changes an entry, and so makes the agent fetch new credentials. */
  update(entry: JsonObject, change: JsonObject): Promise<void>
  close(): Promise<void>
}

/** Starts `example.com`. @param settings - Of the server and the agent, beside those that they need. */
export async function startTrustDomain(settings: object = {}): Promise<TestTrustDomain> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-interop-'))
  const config = await loadConfig({
    env: {},
    overrides: {
      trustDomain: 'example.com',
      dataDirectory: join(directory, 'data'),
      'listen.port': 0,
      'agent.socket': join(directory, 'workload.sock'),
      ...settings,
    },
  })
  const server = await startServer(config)
  const agent = await startAgent(config)
  const api = apiClient({ socketPath: config['api.socket'] })
  return {
    directory,
    address: agent.address,
    egress: agent.egress,
    api,
    port: server.port,
    async register(entry) {
      const answer = await api.send({
        method: 'POST',
        path: '/v1/entries',
        body: { owner: 'test', purpose: 'test', ...entry },
      })
      if (!isJsonObject(answer)) throw new Error('no entry')
      return answer
    },
    async update(entry, change) {
      const path = `/v1/entries/${String(entry.id)}?revision=${String(entry.revision)}`
      await api.send({ method: 'PUT', path, body: { ...pick(entry), ...change } })
    },
    async close() {
      api.close()
      await agent.close()
      await server.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function pick({ spiffeId, selectors, owner, purpose }: JsonObject): JsonObject {
  return { spiffeId, selectors, owner, purpose }
}

/** An HTTPS service of a workload that answers with the SPIFFE ID of its caller, proven by mTLS. */
export async function startWhoAmI({ x509, bundles }: Workload): Promise<{ readonly port: number; close(): void }> {
  const server = createServer(serverTlsOptions(x509), (request, response) => {
    response.end(peerPrincipal(request.socket as TLSSocket).id)
  })
  rotatingServer(server, x509, { bundles, peer: isMemberOf(parseTrustDomain('example.com')), observer: noObserver })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
