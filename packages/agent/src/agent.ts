import { AimsError, apiClient, type Clock, systemClock } from 'aims/base'
import { remoteObserver } from 'aims/monitoring'
import { startServerBackend } from './backend.ts'
import { boundedRefusals } from './bounded-refusals.ts'
import { type BrokerConfiguration, brokerSettings } from './broker/configuration.ts'
import { startBroker } from './broker/start.ts'
import { type EgressConfiguration, egressSettings } from './egress/configuration.ts'
import { type RunningBroker, startEgress } from './egress/egress-server.ts'
import { openSecrets } from './egress/secrets/secret-store.ts'
import { type RemoteConfiguration, remoteSettings } from './node/configuration.ts'
import { connectForeign } from './node/foreign.ts'
import { remoteServer } from './node/remote-server.ts'
import { type SecretConfiguration, secretSettings } from './sds/configuration.ts'
import { serverClient } from './server-client.ts'
import { spoolingObserver } from './spooling-observer.ts'
import { WorkloadApiServer } from './workload-api/server.ts'
import { type WorkloadAttestorConfiguration, workloadAttestor } from './workload-attestor.ts'

/** What an agent must know. The keys are those of the configuration file. */
export interface AgentConfiguration
  extends WorkloadAttestorConfiguration,
    RemoteConfiguration,
    SecretConfiguration,
    BrokerConfiguration,
    EgressConfiguration {
  /** Path of the Workload API socket. */
  readonly 'agent.socket': string
  /** Permissions of that socket: who may ask at all. */
  readonly 'agent.socketMode': number
  /** Path of the server's API socket, when the server is on this host. */
  readonly 'agent.serverSocket': string
  /** Seconds: how old the revocation list may be by which JWT-SVIDs are validated. Default 60, at least 15. */
  readonly 'agent.revocationStaleness'?: number
}

/** What a program may exchange. */
export interface AgentOptions {
  /** Default: the clock of the machine. */
  readonly clock?: Clock
  /** Takes lines about trouble with the server. Default: standard error. */
  readonly log?: (line: string) => void
  /** Where a join token is looked for. Default: that of the process. */
  readonly env?: { readonly [name: string]: string | undefined }
  /** Milliseconds to wait for the first word of the server before workloads are told to come back. Default 1000. */
  readonly patience?: number
}

/** An agent that runs. */
export interface RunningAgent {
  /** For `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address: string
  /** Where the credential broker listens, if there is one. */
  readonly egress: Pick<RunningBroker, 'socketPath' | 'port'> | undefined
  /** Ends all calls, so that clients come back to the next agent, and forgets all keys. */
  close(): Promise<void>
}

/** Seconds. */
const MAX_STALENESS = 60

/**
 * Starts the node agent: the Workload API on a Unix socket, with identities from the server on this host or, with
 * `agent.server`, on another one. A server that is away is no reason not to start: workloads are told to come back until
 * it was reached.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`; `operation.socket_*`, when the socket cannot be made safely;
 *   with `agent.server` `operation.config_invalid`, `provisioning.*` of `agent.workloadApi`, `operation.data_directory_*`, `bundle.*`, and why the machine was refused
 */
export async function startAgent(config: AgentConfiguration, options: AgentOptions = {}): Promise<RunningAgent> {
  const { clock = systemClock, log = (line) => void process.stderr.write(`${line}\n`), env = process.env } = options
  const maxStaleness = stalenessOf(config)
  const secrets = secretSettings(config)
  const brokers = brokerSettings(config)
  const egress = egressSettings(config)
  const foreign = await connectForeign(config, log)
  const refused = (): void => backend.forget()
  const attestedAnew = (): void => backend.askAnew()
  const remote = closingOnError(foreign, () => {
    const settings = remoteSettings(config, env, foreign)
    return settings && remoteServer(settings, { clock, log, random: Math.random, refused, attestedAnew })
  })
  const api = remote?.api ?? apiClient({ socketPath: config['agent.serverSocket'] })
  const name = remote && (() => remote.identity().svid.spiffeId)
  const lists = { server: api, maxStaleness }
  const backend = startServerBackend({ server: serverClient(api, name), lists, clock, log, after: remote?.attested })
  const stop = (): void => {
    backend.close()
    api.close()
    foreign?.close()
  }
  const attestor = workloadAttestor(config)
  const observer = boundedRefusals(spoolingObserver(remoteObserver(api), log), {
    name: 'agent',
    clock,
    types: ['attestation.refused', 'provisioning.refused'],
  })
  // Closed in this order, the observer last.
  const running: { close(): Promise<void> }[] = [observer]
  const close = async (): Promise<void> => {
    for (const part of running.splice(0)) await part.close()
    stop()
  }
  try {
    const shared = {
      backend,
      attestor,
      observer,
      clock,
    }
    const server = await WorkloadApiServer.start({
      ...shared,
      socketPath: config['agent.socket'],
      socketMode: config['agent.socketMode'],
      revocations: backend,
      secrets,
    })
    running.unshift(server)
    await orLater(firstWord(remote?.attested, backend.ready), options.patience ?? 1000)
    const broker = brokers && startBroker({ ...shared, settings: brokers, address: server.address, maxStaleness, log })
    if (broker !== undefined) running.unshift(broker)
    const passing = egress && (await startEgress({ ...shared, ...egress, secrets: openSecrets(egress.files) }))
    if (passing !== undefined) running.unshift(passing)
    return { address: server.address, egress: passing, close }
  } catch (error) {
    await close()
    throw error
  }
}

function closingOnError<T>(opened: { close(): void } | undefined, work: () => T): T {
  try {
    return work()
  } catch (error) {
    opened?.close()
    throw error
  }
}

function stalenessOf({ 'agent.revocationStaleness': seconds = MAX_STALENESS }: AgentConfiguration): number {
  if (seconds >= 15) return seconds
  throw new AimsError(
    'operation.config_invalid',
    '"agent.revocationStaleness": at least 15s: lists are confirmed every 10 s',
  )
}

// A machine that is refused at once has been set up wrongly.
async function firstWord(attested: Promise<void> | undefined, ready: Promise<void>): Promise<void> {
  await attested
  await ready
}

async function orLater(ready: Promise<void>, patience: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const later = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patience)
  })
  try {
    await Promise.race([ready, later])
  } finally {
    clearTimeout(timer)
  }
}
