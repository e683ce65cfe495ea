import { isIP } from 'node:net'
import { AimsError } from 'aims/base'
import { type IdMatcher, isOneOf, parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import { type Endpoint, parseEndpoint } from 'aims/provisioning'

/** What of the configuration is about brokers. */
export interface BrokerConfiguration {
  /** `unix:///path` or `tcp://127.0.0.1:PORT`. Absent: there is no Broker API. */
  readonly 'agent.broker.address'?: string | undefined
  /** Which of its identities the agent shows to brokers. */
  readonly 'agent.broker.spiffeId'?: string | undefined
  /** SPIFFE IDs of the brokers. */
  readonly 'agent.broker.callers'?: readonly string[]
}

/** The same, complete. */
export interface BrokerSettings {
  readonly endpoint: Endpoint
  readonly spiffeId: SpiffeId
  readonly callers: IdMatcher
}

/** Reads the settings; `undefined` when there is to be no Broker API. @throws {@link AimsError} `operation.config_invalid` */
export function brokerSettings(config: BrokerConfiguration): BrokerSettings | undefined {
  const { 'agent.broker.address': address, 'agent.broker.spiffeId': spiffeId = '' } = config
  const { 'agent.broker.callers': callers = [] } = config
  if (address === undefined) return undefined
  if (callers.length === 0) throw invalid('callers', 'without a SPIFFE ID nobody could use the Broker API')
  const endpoint = orInvalid('address', () => parseEndpoint(address))
  // PIDs mean something on this machine alone.
  if (endpoint.kind === 'tcp' && !isLoopback(endpoint.host)) {
    throw invalid('address', 'brokers name processes of this machine, so they are on it: use a loopback address')
  }
  return {
    endpoint,
    spiffeId: orInvalid('spiffeId', () => parseWorkloadSpiffeId(spiffeId)),
    callers: isOneOf(callers.map((id) => orInvalid('callers', () => parseWorkloadSpiffeId(id)))),
  }
}

function isLoopback(host: string): boolean {
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1'
}

function orInvalid<T>(key: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (AimsError.is(cause)) throw invalid(key, cause.message, cause)
    throw cause
  }
}

function invalid(key: string, reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.config_invalid', `"agent.broker.${key}": ${reason}`, { cause })
}
