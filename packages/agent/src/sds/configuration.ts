import { AimsError } from 'aims/base'
import { DEFAULT_SECRETS, type SecretSettings } from './secret-cache.ts'

/** What of the configuration is about secrets for Envoy. */
export interface SecretConfiguration {
  /** Default `default`. */
  readonly 'agent.sds.defaultSvid'?: string
  /** Default `ROOTCA`. */
  readonly 'agent.sds.defaultBundle'?: string
  /** Default `ALL`. */
  readonly 'agent.sds.allBundles'?: string
  /** Default `spiffe`. */
  readonly 'agent.sds.validator'?: 'spiffe' | 'trusted-ca'
}

/** The settings of secret discovery. @throws {@link AimsError} `operation.config_invalid`, when two secrets have one name */
export function secretSettings(config: SecretConfiguration): SecretSettings {
  const settings: SecretSettings = {
    defaultSvid: config['agent.sds.defaultSvid'] ?? DEFAULT_SECRETS.defaultSvid,
    defaultBundle: config['agent.sds.defaultBundle'] ?? DEFAULT_SECRETS.defaultBundle,
    allBundles: config['agent.sds.allBundles'] ?? DEFAULT_SECRETS.allBundles,
    validator: config['agent.sds.validator'] ?? DEFAULT_SECRETS.validator,
  }
  const { defaultSvid, defaultBundle, allBundles } = settings
  const names = new Set([defaultSvid, defaultBundle, allBundles])
  if (names.size < 3) {
    const keys = '"agent.sds": defaultSvid, defaultBundle and allBundles'
    throw new AimsError('operation.config_invalid', `${keys} are names of three secrets: choose three`)
  }
  return settings
}
