import { randomUUID } from 'node:crypto'
import {
  AimsError,
  type AuditEvent,
  type Clock,
  type Observer,
  type Signer,
  verificationKey,
  WorkloadKey,
} from 'aims/base'
import { createX509Authority, issueCaCertificate, type TrustBundle, type X509Authority } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { AuthorityKeys } from 'aims/provisioning'
import { type Actor, serializer } from '../entries.ts'
import type { KeyPurpose, KeyStore, StoredKey } from '../store/key-store.ts'
import type { Meta } from '../store/meta.ts'
import type { Seal } from '../store/seal.ts'

/** The purposes whose keys rotate; the log keeps its key. */
export type AuthorityPurpose = Exclude<KeyPurpose, 'audit-log'>

export const AUTHORITY_PURPOSES: readonly AuthorityPurpose[] = ['x509-ca', 'jwt', 'wit']

/** What may be known about a key. */
export type KeyInfo = Omit<StoredKey, 'key' | 'certificate'> & { readonly thumbprint: string }

/** The keys of the trust domain: what signs now, and what everybody needs to check signatures. */
export interface Authorities extends AuthorityKeys {
  bundle(): TrustBundle
  list(): readonly KeyInfo[]
  /** Does what is due: prepares, activates and drops keys. Call it every few seconds. */
  advance(): Promise<void>
  /**
   * Brings the next rotation forward: a new key is published now and signs after the publication delay.
   *
   * @param options.immediately - Sign with it at once. Verifiers with an older bundle will refuse for a while.
   */
  rotate(purpose: AuthorityPurpose, actor: Actor, options?: { readonly immediately?: boolean }): Promise<void>
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
}

// Certificates begin a little in the past, for clocks that are behind; retired keys stay a little longer.
const SKEW = 60
const AUTOMATIC: Omit<Actor, 'correlationId'> = { name: 'aims:server', method: 'schedule' }

/** One step of a key's life: what the log says, and the keys as they are afterwards. */
interface Step {
  readonly action: 'create' | 'prepare' | 'activate' | 'drop'
  readonly subject: StoredKey
  readonly changed: readonly StoredKey[]
}

/**
 * Opens the keys of the trust domain and makes the first ones. A successor is in the bundle before it signs, and a
 * retired key stays in it until all it signed has expired. Every step is in the log before it takes effect.
 *
 * @throws {@link AimsError} `operation.store_damaged`, and what the observer throws
 * @see SPIFFE Trust Domain and Bundle, section 4 (rotation); security-and-reliability 6.5
 */
export async function openAuthorities(options: AuthoritiesOptions): Promise<Authorities> {
  const { trustDomain, seal, store, meta, clock, observer } = options
  const listeners = new Set<() => void>()
  const oneAtATime = serializer()
  const keys = new Map<string, StoredKey>()
  for (const key of store.load()) if (key.purpose !== 'audit-log') keys.set(key.id, key)
  let current = snapshot(trustDomain, keys, meta, options.refreshHint)

  const take = async (step: Step, actor: Actor): Promise<void> => {
    await observer.record(stepEvent(step, actor))
    seal.transaction(() => {
      for (const key of step.changed) {
        if (step.action === 'drop') store.remove(key)
        else if (keys.has(key.id)) store.update(key)
        else store.insert(key)
      }
      meta.advance('revision')
      if (step.action !== 'activate') meta.advance('bundle_sequence')
    })
    for (const key of step.changed) {
      if (step.action === 'drop') keys.delete(key.id)
      else keys.set(key.id, key)
    }
    current = snapshot(trustDomain, keys, meta, options.refreshHint)
    for (const listener of listeners) listener()
  }
  const automatic = (): Actor => ({ ...AUTOMATIC, correlationId: randomUUID() })
  const advanceAll = async (): Promise<void> => {
    for (const purpose of AUTHORITY_PURPOSES) {
      const own = () => [...keys.values()].filter((key) => key.purpose === purpose)
      // One step leads to the next, e.g. a key that is prepared and due.
      for (let step = await nextStep(own(), purpose, options); step !== undefined; ) {
        await take(step, automatic())
        step = await nextStep(own(), purpose, options)
      }
    }
  }

  await oneAtATime(advanceAll)
  return {
    x509: () => signing(current.x509),
    jwt: () => signing(current.jwt),
    wit: () => signing(current.wit),
    bundle: () => current.bundle,
    list: () => [...keys.values()].map(describe),
    advance: () => oneAtATime(advanceAll),
    rotate: (purpose, actor, { immediately = false } = {}) =>
      oneAtATime(async () => {
        const own = [...keys.values()].filter((key) => key.purpose === purpose)
        const now = clock()
        const activateAt = immediately ? now : now + options.publishAhead
        const prepared = own.find(({ state }) => state === 'prepared')
        const subject =
          prepared === undefined
            ? await createKey(purpose, 'prepared', now, activateAt, options)
            : { ...prepared, activateAt: Math.min(prepared.activateAt, activateAt) }
        await take({ action: 'prepare', subject, changed: [subject] }, actor)
        await advanceAll()
      }),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** What is due for the keys of one purpose, if anything. */
async function nextStep(
  own: readonly StoredKey[],
  purpose: AuthorityPurpose,
  options: AuthoritiesOptions,
): Promise<Step | undefined> {
  const { clock, lifetime, publishAhead, maxTtl } = options
  const now = clock()
  const retire = (key: StoredKey): StoredKey => ({ ...key, state: 'retired', dropAt: now + maxTtl[purpose] + SKEW })
  const active = own.find(({ state }) => state === 'active')
  const prepared = own.find(({ state }) => state === 'prepared')

  if (prepared !== undefined && now >= prepared.activateAt) {
    const subject: StoredKey = { ...prepared, state: 'active' }
    return { action: 'activate', subject, changed: [...(active === undefined ? [] : [retire(active)]), subject] }
  }
  // The first start, or one after the server was down for longer than a key lives.
  if (active === undefined || now >= active.expiresAt) {
    const subject = await createKey(purpose, 'active', now, now, options)
    return { action: 'create', subject, changed: [...(active === undefined ? [] : [retire(active)]), subject] }
  }
  if (prepared === undefined && now >= active.expiresAt - lifetime / 2) {
    const activateAt = Math.max(now + publishAhead, active.expiresAt - lifetime / 4)
    const subject = await createKey(purpose, 'prepared', now, activateAt, options)
    return { action: 'prepare', subject, changed: [subject] }
  }
  const subject = own.find(({ state, dropAt }) => state === 'retired' && now >= dropAt)
  return subject === undefined ? undefined : { action: 'drop', subject, changed: [subject] }
}

async function createKey(
  purpose: AuthorityPurpose,
  state: 'prepared' | 'active',
  now: number,
  activateAt: number,
  { trustDomain, lifetime }: AuthoritiesOptions,
): Promise<StoredKey> {
  const key = WorkloadKey.generate('ES256')
  const life = { createdAt: now, activateAt, expiresAt: Math.floor(activateAt + lifetime), dropAt: 0 }
  const base: StoredKey = { id: randomUUID(), purpose, state, ...life, key }
  if (purpose !== 'x509-ca') return base
  const notBefore = Math.floor(now) - SKEW
  const certificate = await issueCaCertificate({
    trustDomain,
    signer: key,
    notBefore,
    notAfter: base.expiresAt,
    pathLength: 0,
  })
  return { ...base, certificate }
}

// What the keys make together, worked out once per change. Nothing is active before the first start has made keys.
interface Snapshot {
  readonly x509: X509Authority | undefined
  readonly jwt: Signer | undefined
  readonly wit: Signer | undefined
  readonly bundle: TrustBundle
}

function snapshot(
  trustDomain: TrustDomain,
  keys: ReadonlyMap<string, StoredKey>,
  meta: Meta,
  refreshHint: number,
): Snapshot {
  const of = (purpose: KeyPurpose) => [...keys.values()].filter((key) => key.purpose === purpose)
  const active = (purpose: KeyPurpose) => of(purpose).find(({ state }) => state === 'active')
  const tokenKeys = (purpose: KeyPurpose) =>
    new Map(of(purpose).map(({ key: { kid, publicKey, alg } }) => [kid, verificationKey(publicKey, { alg, kid })]))
  const ca = active('x509-ca')
  return {
    x509: ca?.certificate && createX509Authority({ trustDomain, signer: ca.key, certificate: ca.certificate }),
    jwt: active('jwt')?.key,
    wit: active('wit')?.key,
    bundle: {
      trustDomain,
      x509Authorities: of('x509-ca').flatMap(({ certificate }) => (certificate === undefined ? [] : [certificate])),
      jwtAuthorities: tokenKeys('jwt'),
      witAuthorities: tokenKeys('wit'),
      sequence: BigInt(meta.counter('bundle_sequence')),
      refreshHint,
    },
  }
}

function signing<T>(signer: T | undefined): T {
  if (signer === undefined) throw new AimsError('provisioning.authority_expired', 'no key signs for this purpose')
  return signer
}

function describe({ key, certificate: _, ...info }: StoredKey): KeyInfo {
  return { ...info, thumbprint: key.kid }
}

function stepEvent({ action, subject }: Step, { name, method, correlationId }: Actor): AuditEvent {
  const { id, purpose, key, activateAt, expiresAt } = subject
  return {
    type: action === 'activate' || action === 'create' ? 'provisioning.key-rotated' : 'provisioning.bundle-changed',
    agent: { id: name, method },
    resource: { type: 'signing-key', id },
    action,
    decision: 'allow',
    correlationId,
    details: { purpose, thumbprint: key.kid, activateAt: Math.floor(activateAt), expiresAt: Math.floor(expiresAt) },
  }
}
