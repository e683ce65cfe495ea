import { apiClient, type Clock, systemClock } from 'aims/base'
import { remoteObserver } from 'aims/monitoring'
import { startServerBackend } from './backend.ts'
import { serverClient } from './server-client.ts'
import { spoolingObserver } from './spooling-observer.ts'
import { WorkloadApiServer } from './workload-api/server.ts'
import { type WorkloadAttestorConfiguration, workloadAttestor } from './workload-attestor.ts'

/** What an agent must know. The keys are those of the configuration file. */
export interface AgentConfiguration extends WorkloadAttestorConfiguration {
  /** Path of the Workload API socket. */
  readonly 'agent.socket': string
  /** Permissions of that socket: who may ask at all. */
  readonly 'agent.socketMode': number
  /** Path of the server's API socket. */
  readonly 'agent.serverSocket': string
}

/** What a program may exchange. */
export interface AgentOptions {
  /** Default: the clock of the machine. */
  readonly clock?: Clock
  /** Takes lines about trouble with the server. Default: standard error. */
  readonly log?: (line: string) => void
}

/** An agent that runs. */
export interface RunningAgent {
  /** For `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address: string
  /** Ends all calls, so that clients come back to the next agent, and forgets all keys. */
  close(): Promise<void>
}

/** Milliseconds to wait for the server before workloads are told to come back. */
const PATIENCE = 1000

/**
 * Starts the node agent: the Workload API on a Unix socket, with identities from the server. A server that is away is no
 * reason not to start: workloads are told to come back until it was reached.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`; `operation.socket_*`, when the socket cannot be made safely
 */
export async function startAgent(config: AgentConfiguration, options: AgentOptions = {}): Promise<RunningAgent> {
  const { clock = systemClock, log = (line) => void process.stderr.write(`${line}\n`) } = options
  const api = apiClient({ socketPath: config['agent.serverSocket'] })
  const backend = startServerBackend({ server: serverClient(api), clock, log })
  const stop = (): void => {
    backend.close()
    api.close()
  }
  try {
    const server = await WorkloadApiServer.start({
      socketPath: config['agent.socket'],
      socketMode: config['agent.socketMode'],
      backend,
      attestor: workloadAttestor(config),
      observer: spoolingObserver(remoteObserver(api), log),
      clock,
    })
    await readyOrLater(backend.ready)
    return {
      address: server.address,
      async close() {
        await server.close()
        stop()
      },
    }
  } catch (error) {
    stop()
    throw error
  }
}

async function readyOrLater(ready: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const later = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE)
  })
  await Promise.race([ready, later])
  clearTimeout(timer)
}
