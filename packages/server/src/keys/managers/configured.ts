import { AimsError, isJsonObject, type JsonObject } from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import {
  type Fields,
  flagField,
  originField,
  pathField,
  readFields,
  textField,
  type Values,
} from '../../attestation/verifier-settings.ts'
import { awsKmsKeyManager } from './aws-kms.ts'
import { azureKeyVaultKeyManager } from './azure-key-vault.ts'
import { gcpKmsKeyManager } from './gcp-kms.ts'
import { type KeyManager, within } from './key-manager.ts'
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
/** Milliseconds. The first answer of a cloud waits for its SDK and for a token, a throttled one for its turn. */
const CLOUD_TIMEOUT = 15_000

const retiring = flagField('false', 'make new keys in the store again')
const hsm = flagField('false', 'keys in an HSM')

type Configure = (settings: JsonObject, trustDomain: TrustDomain) => ConfiguredManager

const KINDS: { readonly [name: string]: Configure } = {
  pkcs11: kind(
    {
      module: pathField('needed', 'the PKCS#11 module'),
      token: textField('needed', 'label of the token'),
      pinFile: pathField('needed', 'file with the PIN of the user, of mode 0600'),
      retiring,
    },
    TIMEOUT,
    ({ module, token, pinFile }) =>
      module !== undefined && token !== undefined && pinFile !== undefined
        ? pkcs11KeyManager({ module, token, pinFile })
        : 'pkcs11 needs module, token and pinFile',
  ),
  'aws-kms': kind(
    {
      region: textField('needed', 'region of AWS'),
      endpoint: originField('of the region', 'a VPC endpoint'),
      retiring,
    },
    CLOUD_TIMEOUT,
    ({ region, endpoint }, trustDomain) =>
      region === undefined ? 'aws-kms needs region' : awsKmsKeyManager({ region, endpoint, trustDomain }),
  ),
  'gcp-kms': kind(
    {
      keyRing: textField('needed', '`projects/P/locations/L/keyRings/R`'),
      hsm,
      endpoint: originField('the public one', 'a private endpoint'),
      retiring,
    },
    CLOUD_TIMEOUT,
    (settings, trustDomain) => {
      const { keyRing, hsm = false, endpoint } = settings
      return keyRing === undefined || !/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+$/.test(keyRing)
        ? 'gcp-kms needs keyRing: projects/P/locations/L/keyRings/R'
        : gcpKmsKeyManager({ keyRing, hsm, endpoint, trustDomain })
    },
  ),
  'azure-key-vault': kind(
    {
      vault: originField('needed', 'address of the vault'),
      hsm,
      authority: originField('that of Azure', 'where tokens are asked for, in a cloud of your own'),
      retiring,
    },
    CLOUD_TIMEOUT,
    ({ vault, hsm = false, authority }, trustDomain) =>
      vault === undefined
        ? 'azure-key-vault needs vault'
        : azureKeyVaultKeyManager({ vault, hsm, authority, trustDomain }),
  ),
}

/**
 * Makes the key manager that `keys.manager` names, e.g. `pkcs11` with its settings. Nothing is opened yet.
 *
 * @returns `undefined` for an empty map: keys are made in the encrypted store.
 * @throws {@link AimsError} `operation.config_invalid`
 */
export function configuredManager(setting: JsonObject, trustDomain: TrustDomain): ConfiguredManager | undefined {
  const [named, ...others] = Object.entries(setting)
  if (named === undefined) return undefined
  const [name, settings] = named
  const configure = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined
  if (others.length > 0 || configure === undefined || !isJsonObject(settings)) {
    throw invalid(`it is one of ${Object.keys(KINDS).join(', ')} with its settings`)
  }
  return configure(settings, trustDomain)
}

/**
 * Looks whether the key manager of a configuration can be used, without making a key.
 *
 * @returns its kind and how many keys of this trust domain it holds; `undefined` without one
 * @throws {@link AimsError} `operation.config_invalid`, `operation.key_manager_*`
 */
export async function examineKeyManager(
  setting: JsonObject,
  trustDomain: TrustDomain,
): Promise<{ readonly name: string; readonly keys: number } | undefined> {
  const configured = configuredManager(setting, trustDomain)
  if (configured === undefined) return undefined
  const { manager, timeout } = configured
  try {
    return { name: manager.name, keys: (await within(timeout, manager.list())).length }
  } finally {
    await manager.close().catch(() => undefined)
  }
}

// `make` answers with the manager, or with what the settings lack.
function kind<F extends Fields & { readonly retiring: typeof retiring }>(
  fields: F,
  timeout: number,
  make: (values: Values<F>, trustDomain: TrustDomain) => KeyManager | string,
): Configure {
  return (settings, trustDomain) => {
    const values = read(settings, fields)
    const manager = make(values, trustDomain)
    if (typeof manager === 'string') throw invalid(manager)
    return { manager, timeout, retiring: settings.retiring === true }
  }
}

function read<F extends Fields>(settings: JsonObject, fields: F): Values<F> {
  try {
    return readFields(settings, fields)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'not usable')
  }
}

function invalid(reason: string): AimsError {
  return new AimsError('operation.config_invalid', `"keys.manager": ${reason}`)
}
