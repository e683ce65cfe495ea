import { AimsError } from 'aims/base'
import { connectWorkload, type Workload } from 'aims/provisioning'
import type { RemoteConfiguration } from './configuration.ts'

/**
 * Connects to the Workload API of another trust domain that knows this agent, where one is configured.
 *
 * @throws {@link AimsError} `operation.config_invalid`, `provisioning.*`
 */
export async function connectForeign(
  { 'agent.workloadApi': address, 'agent.server': server }: RemoteConfiguration,
  log: (line: string) => void,
): Promise<Workload | undefined> {
  if (address === undefined) return undefined
  if (server === undefined) {
    throw new AimsError('operation.config_invalid', '"agent.workloadApi": only with agent.server')
  }
  const onWaiting = ({ message }: AimsError): void => log(`aims agent: ${address}: still waiting: ${message}`)
  try {
    return await connectWorkload({ address, onWaiting })
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code !== 'provisioning.invalid_endpoint') throw cause
    throw new AimsError('operation.config_invalid', `"agent.workloadApi": ${cause.message}`, { cause })
  }
}
