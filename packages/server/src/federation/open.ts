import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { AimsError, type Clock, type JsonObject, type Observer } from 'aims/base'
import { parseFederationRelationship } from 'aims/provisioning'
import type { ConfiguredRelationship } from '../config/federation-setting.ts'
import type { Configuration } from '../config/settings.ts'
import type { Actor } from '../entries.ts'
import type { Authorities } from '../keys/authority-types.ts'
import type { Storage } from '../storage.ts'
import { openFederationStore } from '../store/federation-store.ts'
import { createFederation, type Federation, type FederationOptions } from './federation.ts'

/** What the federation of a server is made of. */
export interface OpenFederationOptions extends Pick<FederationOptions, 'network' | 'failed'> {
  readonly config: Configuration
  readonly storage: Storage
  readonly clock: Clock
  readonly observer: Observer
  readonly authorities: Authorities
}

/**
 * Opens the relationships of a server and makes those of the configuration what the configuration says: new ones begin,
 * changed ones begin anew, and those that stand there no more end.
 *
 * @throws {@link AimsError} `operation.config_invalid`, `operation.store_damaged`, and what the observer throws
 */
export async function openFederation(options: OpenFederationOptions): Promise<Federation> {
  const { config, storage, authorities, ...rest } = options
  const { trustDomain } = config
  const store = openFederationStore(storage.db, storage.seal, storage.meta)
  const federation = createFederation({ ...rest, trustDomain, store, own: () => authorities.bundle() })
  const actor: Actor = { name: 'aims:server', method: 'configuration', correlationId: randomUUID() }
  const wanted = config.federation.map((one) => readConfigured(one))
  for (const input of wanted) {
    const relationship = readRelationship(input, config)
    const before = store.find(relationship.trustDomain)
    const isSame =
      before?.origin === 'configuration' && JSON.stringify(before.relationship) === JSON.stringify(relationship)
    if (!isSame) await federation.set(input, actor, 'configuration')
  }
  const names = new Set(wanted.map(({ trustDomain: name }) => name))
  for (const { origin, relationship } of store.list()) {
    if (origin === 'configuration' && !names.has(relationship.trustDomain)) {
      await federation.end(relationship.trustDomain, actor, 'configuration')
    }
  }
  return federation
}

function readRelationship(input: JsonObject, { trustDomain: own }: Configuration) {
  try {
    return parseFederationRelationship(input, { own })
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    const name = JSON.stringify(input.trustDomain)
    throw new AimsError('operation.config_invalid', `"federation": ${name}: ${cause.message}`, { cause })
  }
}

function readConfigured({ input, bundleFile, authoritiesFile }: ConfiguredRelationship): JsonObject {
  return {
    ...input,
    ...(bundleFile === undefined ? {} : { bundle: readText(bundleFile) }),
    ...(authoritiesFile === undefined ? {} : { authorities: readText(authoritiesFile) }),
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new AimsError('operation.config_invalid', `"federation": ${file}: cannot be read`, { cause })
  }
}
