import { AimsError, type JsonObject } from 'aims/base'
import { type BrokerRule, parseBrokerRules } from './rules.ts'
import type { SecretFiles } from './secrets/secret-store.ts'

/** What of the configuration is about the credential broker. */
export interface EgressConfiguration {
  /** Whether there is one. Default false. */
  readonly 'agent.egress.enabled'?: boolean
  readonly 'agent.egress.socket'?: string
  /** Default 0o660. */
  readonly 'agent.egress.socketMode'?: number
  /** Port on 127.0.0.1. Default: none. */
  readonly 'agent.egress.port'?: number | undefined
  /** From name to rule. */
  readonly 'agent.egress.rules'?: JsonObject
  readonly 'agent.egress.secretsFile'?: string
  readonly 'agent.egress.keyFile'?: string
}

/** The same, complete. */
export interface EgressSettings {
  readonly socketPath: string
  readonly socketMode: number
  readonly port: number | undefined
  readonly rules: readonly BrokerRule[]
  readonly files: SecretFiles
}

/**
 * Reads the settings of the broker; `undefined` when there is none.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function egressSettings(config: EgressConfiguration): EgressSettings | undefined {
  if (config['agent.egress.enabled'] !== true) return undefined
  const rules = parseBrokerRules(config['agent.egress.rules'] ?? {})
  if (rules.length === 0) throw invalid('agent.egress.rules', 'a broker without rules passes nothing on')
  return {
    socketPath: config['agent.egress.socket'] ?? missing('agent.egress.socket'),
    socketMode: config['agent.egress.socketMode'] ?? 0o660,
    port: config['agent.egress.port'],
    rules,
    files: secretFiles(config),
  }
}

/** Where secrets lie. @throws {@link AimsError} `operation.config_invalid` */
export function secretFiles(config: EgressConfiguration): SecretFiles {
  return {
    file: config['agent.egress.secretsFile'] ?? missing('agent.egress.secretsFile'),
    keyFile: config['agent.egress.keyFile'] ?? missing('agent.egress.keyFile'),
  }
}

function missing(key: string): never {
  throw invalid(key, 'is needed')
}

function invalid(key: string, reason: string): AimsError {
  return new AimsError('operation.config_invalid', `"${key}": ${reason}`)
}
