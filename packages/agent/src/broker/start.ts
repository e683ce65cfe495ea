import { AimsError } from 'aims/base'
import { trustDomainOf } from 'aims/identifiers'
import { followRevocations, WorkloadApiClient, WorkloadBundleSource, WorkloadX509Source } from 'aims/provisioning'
import type { BrokerSettings } from './configuration.ts'
import { BrokerServer, type BrokerServerOptions } from './server.ts'

/** What a broker endpoint is started with. */
export interface BrokerStartOptions extends Pick<BrokerServerOptions, 'backend' | 'observer' | 'attestor' | 'clock'> {
  readonly settings: BrokerSettings
  /** Of the Workload API of this agent. */
  readonly address: string
  /** Seconds after which no broker is let in without a newer revocation list. */
  readonly maxStaleness: number
  log(line: string): void
}

/** A broker endpoint that opens when it can. */
export interface RunningBroker {
  close(): Promise<void>
}

/**
 * Serves the Broker API as soon as this agent has the identity to do so. It gets that as every workload does, from its own
 * Workload API: there must be an entry for the process of the agent.
 */
export function startBroker(options: BrokerStartOptions): RunningBroker {
  const { settings, address, maxStaleness, log, ...rest } = options
  const client = new WorkloadApiClient({ address })
  const x509 = new WorkloadX509Source(client, { choose: ({ id }) => id === settings.spiffeId })
  const bundles = new WorkloadBundleSource(client)
  const revocations = followRevocations({
    server: client,
    trustDomain: trustDomainOf(settings.spiffeId),
    bundles,
    maxStaleness,
    // The agent itself has told why it has no newer list.
    onFailure: () => undefined,
  })
  let opening: Promise<BrokerServer | undefined> | undefined
  let isClosed = false

  const open = async (): Promise<BrokerServer | undefined> => {
    try {
      return await BrokerServer.start({ ...rest, ...settings, x509, bundles, revocations })
    } catch (error) {
      log(
        `aims agent: ${AimsError.is(error) ? `${error.code}: ${error.message}` : 'the broker endpoint cannot be opened'}`,
      )
      // Tried again at the next rotation.
      opening = undefined
      return undefined
    }
  }
  const update = (): void => {
    if (isClosed || opening !== undefined || x509.x509Svids().every(({ spiffeId }) => spiffeId !== settings.spiffeId))
      return
    opening = open()
  }
  x509.subscription.onUpdate(update)
  update()
  return {
    async close() {
      isClosed = true
      const server = await opening
      await server?.close()
      revocations.close()
      x509.close()
      bundles.close()
      client.close()
    },
  }
}
