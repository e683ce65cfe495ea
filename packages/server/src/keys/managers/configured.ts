import { AimsError, isJsonObject, type JsonObject } from 'aims/base'
import { type Fields, flagField, pathField, readFields, textField } from '../../attestation/verifier-settings.ts'
import type { KeyManager } from './key-manager.ts'
import { pkcs11KeyManager } from './pkcs11.ts'

/** The key manager of a server, and how it is used. */
export interface ConfiguredManager {
  readonly manager: KeyManager
  /** Milliseconds that one answer may take. */
  readonly timeout: number
  /** New keys are made in the store of the server again; those in the manager sign until their end. */
  readonly retiring: boolean
}

/** Milliseconds. A signature of a network HSM takes some tens. */
const TIMEOUT = 5000

const PKCS11 = {
  module: pathField('needed', 'the PKCS#11 module'),
  token: textField('needed', 'label of the token'),
  pinFile: pathField('needed', 'file with the PIN of the user, of mode 0600'),
  retiring: flagField('false', 'make new keys in the store again'),
} as const satisfies Fields

/**
 * Makes the key manager that `keys.manager` names: `pkcs11` with its settings. Nothing is opened yet.
 *
 * @returns `undefined` for an empty map: keys are made in the encrypted store.
 * @throws {@link AimsError} `operation.config_invalid`
 */
export function configuredManager(setting: JsonObject): ConfiguredManager | undefined {
  const [named, ...others] = Object.entries(setting)
  if (named === undefined) return undefined
  const [name, settings] = named
  if (others.length > 0 || name !== 'pkcs11' || !isJsonObject(settings)) throw invalid('it is pkcs11 with its settings')
  const { module, token, pinFile, retiring = false } = readSettings(settings)
  if (module === undefined || token === undefined || pinFile === undefined) {
    throw invalid('pkcs11 needs module, token and pinFile')
  }
  return { manager: pkcs11KeyManager({ module, token, pinFile }), timeout: TIMEOUT, retiring }
}

function readSettings(settings: JsonObject): ReturnType<typeof readFields<typeof PKCS11>> {
  try {
    return readFields(settings, PKCS11)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'not usable')
  }
}

function invalid(reason: string): AimsError {
  return new AimsError('operation.config_invalid', `"keys.manager": ${reason}`)
}
