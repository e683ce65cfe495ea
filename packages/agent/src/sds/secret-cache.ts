import type { AimsErrorCode } from 'aims/base'
import { trustDomainId, trustDomainOf } from 'aims/identifiers'
import {
  type AnyMessage,
  encodeSecret,
  SECRET_TYPE,
  type SecretContent,
  type TrustDomainAuthorities,
} from 'aims/provisioning'
import type { WorkloadSnapshot } from '../workload-backend.ts'

/** How peers are checked: by the rules of SPIFFE, or as on the web by one list of authorities. */
export type Validator = 'spiffe' | 'trusted-ca'

/** What an operator decides about secret discovery. */
export interface SecretSettings {
  /** Name of the default certificate of a workload. */
  readonly defaultSvid: string
  /** Name of the authorities of the workload's own trust domain. */
  readonly defaultBundle: string
  /** Name of the authorities of all trust domains that the workload trusts. */
  readonly allBundles: string
  /** Unless a node says otherwise of itself. */
  readonly validator: Validator
}

/** The names that SPIRE uses, so that configurations of Envoy need no change. */
export const DEFAULT_SECRETS: SecretSettings = {
  defaultSvid: 'default',
  defaultBundle: 'ROOTCA',
  allBundles: 'ALL',
  validator: 'spiffe',
}

/** Secrets of one snapshot, by name. */
export interface SelectedSecrets {
  /** Names the snapshot: the same for all streams that show it. */
  readonly version: string
  readonly secrets: ReadonlyMap<string, AnyMessage>
}

/**
 * Encodes the secrets of a snapshot, each once: all streams share the bytes. They hold keys, and go when their snapshot
 * goes.
 */
export class SecretCache {
  /** What the operator decided. */
  readonly settings: SecretSettings
  readonly #shelves = new WeakMap<WorkloadSnapshot, Shelves>()
  #versions = 0

  constructor(settings: SecretSettings) {
    this.settings = settings
  }

  /**
   * The secrets that are asked for by name; all that the workload has when no name is given.
   *
   * @returns A code when the workload has no identity, or a name is none of its secrets.
   */
  select(
    snapshot: WorkloadSnapshot,
    names: ReadonlySet<string>,
    validator: Validator,
  ): SelectedSecrets | AimsErrorCode {
    if (snapshot.identities.every(({ x509 }) => x509 === undefined)) return 'provisioning.no_identity'
    const shelf = this.#shelvesOf(snapshot)[validator]
    const secrets = new Map<string, AnyMessage>()
    for (const name of names.size === 0 ? shelf.ownNames : names) {
      const secret = shelf.secret(name)
      if (secret === undefined) return 'provisioning.not_entitled'
      secrets.set(name, secret)
    }
    return { version: shelf.version, secrets }
  }

  #shelvesOf(snapshot: WorkloadSnapshot): Shelves {
    let shelves = this.#shelves.get(snapshot)
    if (shelves === undefined) {
      this.#versions += 1
      const version = String(this.#versions)
      shelves = {
        spiffe: new Shelf(version, snapshot, 'spiffe', this.settings),
        'trusted-ca': new Shelf(version, snapshot, 'trusted-ca', this.settings),
      }
      this.#shelves.set(snapshot, shelves)
    }
    return shelves
  }
}

type Shelves = { readonly [V in Validator]: Shelf }
type Contents = ReadonlyMap<string, SecretContent>

/** What one snapshot has for one kind of validator; encoded when it is first asked for. */
class Shelf {
  readonly version: string
  readonly #own: Contents
  readonly #aliases: Contents
  readonly #encoded = new Map<string, AnyMessage>()

  constructor(version: string, snapshot: WorkloadSnapshot, validator: Validator, settings: SecretSettings) {
    this.version = version
    this.#own = ownContents(snapshot, validator)
    this.#aliases = aliasContents(snapshot, validator, settings, this.#own)
  }

  /** The names that are SPIFFE IDs. */
  get ownNames(): ReadonlySet<string> {
    return new Set(this.#own.keys())
  }

  secret(name: string): AnyMessage | undefined {
    const known = this.#encoded.get(name)
    if (known !== undefined) return known
    // A SPIFFE ID is never taken for a name that an operator made up.
    const content = this.#own.get(name) ?? this.#aliases.get(name)
    if (content === undefined) return undefined
    const secret = { typeUrl: SECRET_TYPE, value: encodeSecret(name, content) }
    this.#encoded.set(name, secret)
    return secret
  }
}

function ownContents(snapshot: WorkloadSnapshot, validator: Validator): Contents {
  const contents = new Map<string, SecretContent>()
  for (const { spiffeId, x509 } of snapshot.identities) {
    // Of two entries with one identity the first counts, as in the Workload API.
    if (x509 !== undefined && !contents.has(spiffeId)) contents.set(spiffeId, { kind: 'tls-certificate', ...x509 })
  }
  for (const one of domainsOf(snapshot)) {
    const content: SecretContent =
      validator === 'spiffe'
        ? { kind: 'spiffe-validator', trustDomains: [one] }
        : { kind: 'trusted-ca', authorities: one.authorities }
    contents.set(trustDomainId(one.trustDomain), content)
  }
  return contents
}

function aliasContents(
  snapshot: WorkloadSnapshot,
  validator: Validator,
  settings: SecretSettings,
  own: Contents,
): Contents {
  const aliases = new Map<string, SecretContent>()
  // One list of authorities for all would let each trust domain speak for every other.
  if (validator === 'spiffe') {
    aliases.set(settings.allBundles, { kind: 'spiffe-validator', trustDomains: domainsOf(snapshot) })
  }
  const first = snapshot.identities.find(({ x509 }) => x509 !== undefined)?.spiffeId
  const bundle = first && own.get(trustDomainId(trustDomainOf(first)))
  if (bundle !== undefined) aliases.set(settings.defaultBundle, bundle)
  const svid = first && own.get(first)
  if (svid !== undefined) aliases.set(settings.defaultSvid, svid)
  return aliases
}

// A bundle without certificates would be a list of nobody, which Envoy refuses.
function domainsOf({ bundles }: WorkloadSnapshot): readonly TrustDomainAuthorities[] {
  return bundles
    .filter(({ x509Authorities }) => x509Authorities.length > 0)
    .map(({ trustDomain, x509Authorities: authorities }) => ({ trustDomain, authorities }))
}
