import type { AuditEvent, Clock, Observer } from 'aims/base'
import type { TrustBundle } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { AuthorityKeys } from 'aims/provisioning'
import type { Actor } from '../entries.ts'
import type { KeyPurpose, KeyStore, StoredKey } from '../store/key-store.ts'
import type { Meta } from '../store/meta.ts'
import type { NeighbourStore } from '../store/neighbours.ts'
import type { Seal } from '../store/seal.ts'
import type { ConfiguredManager } from './managers/configured.ts'
import type { Upstream } from './upstream.ts'

/** The purposes whose keys rotate; the log keeps its key. */
export type AuthorityPurpose = Exclude<KeyPurpose, 'audit-log'>

export const AUTHORITY_PURPOSES: readonly AuthorityPurpose[] = ['x509-ca', 'jwt', 'wit']

/** What may be known about a key. */
export type KeyInfo = Omit<StoredKey, 'key' | 'certificate' | 'chain'> & { readonly thumbprint: string }

/**
 * Whose signatures stand, by purpose: key identifiers of CAs in lower-case hex, `kid`s of token keys. Whatever another
 * key has signed is to be replaced at once.
 */
export type StandingSigners = { readonly [purpose in AuthorityPurpose]: readonly string[] }

/** The keys of the trust domain: what signs now, and what everybody needs to check signatures. */
export interface Authorities extends AuthorityKeys {
  bundle(): TrustBundle
  list(): readonly KeyInfo[]
  /** All keys of the bundle but the tainted ones. */
  standing(): StandingSigners
  /** Does what is due: prepares, activates and drops keys, and tells the server above. Call it every few seconds. */
  advance(): Promise<void>
  /**
   * Brings the next rotation forward: a new key is published now and signs after the publication delay.
   *
   * @param options.immediately - Sign with it at once. Verifiers with an older bundle will refuse for a while.
   */
  rotate(purpose: AuthorityPurpose, actor: Actor, options?: { readonly immediately?: boolean }): Promise<void>
  /**
   * Publishes a successor, which signs when its time has come or when it is activated.
   *
   * @throws {@link AimsError} `provisioning.authority_prepared`, when there is one
   */
  prepare(purpose: AuthorityPurpose, actor: Actor): Promise<KeyInfo>
  /**
   * Signs with the prepared key from now on; the key that signed so far is retired.
   *
   * @param options.force - Also when it was not published for `publishAhead`: who has an older bundle will refuse.
   * @throws {@link AimsError} `provisioning.authority_not_found`, when none is prepared; `provisioning.authority_unpublished`
   */
  activate(purpose: AuthorityPurpose, actor: Actor, options?: { readonly force?: boolean }): Promise<KeyInfo>
  /**
   * Says that a retired key is not to be relied on: whatever it signed is replaced at once. It stays in the bundle, so
   * that nobody is cut off meanwhile.
   *
   * @throws {@link AimsError} `provisioning.authority_not_found`, `.authority_active`, `.authority_state`
   */
  taint(purpose: AuthorityPurpose, id: string, actor: Actor): Promise<KeyInfo>
  /**
   * Takes a tainted key, or a prepared one that has signed nothing, out of the bundle and destroys it.
   *
   * @throws {@link AimsError} `provisioning.authority_not_found`, `.authority_active`, `.authority_state`
   */
  revoke(purpose: AuthorityPurpose, id: string, actor: Actor): Promise<KeyInfo>
  /** Changes what other servers of the trust domain have published here. It is in the log before it takes effect. */
  exchange(change: (neighbours: NeighbourStore) => void, event: AuditEvent): Promise<void>
  /** Calls `listener` after every change. @returns a function that ends it */
  onChange(listener: () => void): () => void
}

/** What authorities work with. Seconds. */
export interface AuthoritiesOptions {
  readonly trustDomain: TrustDomain
  readonly seal: Seal
  readonly store: KeyStore
  readonly meta: Meta
  readonly clock: Clock
  readonly observer: Observer
  /** How long a key signs. */
  readonly lifetime: number
  /** How long a key is published before it signs, at least. */
  readonly publishAhead: number
  /** The longest credential that keys of each purpose sign. */
  readonly maxTtl: { readonly [purpose in AuthorityPurpose]: number }
  readonly refreshHint: number
  /** Where new keys are made. Absent: here, and kept in the store. */
  readonly manager?: ConfiguredManager | undefined
  /** What other servers of the trust domain have published here. Absent: there are none. */
  readonly neighbours?: NeighbourStore | undefined
  /** How many CAs may stand below those of this server. Default 0. */
  readonly pathLength?: number
  /** What certifies new CAs. Absent: they certify themselves. */
  readonly upstream?: Upstream | undefined
}
