import type { AttestationResult } from 'aims/attestation'
import { AimsError, type Clock, WorkloadKey } from 'aims/base'
import type { RevocableCredential } from 'aims/credentials'
import type { RegistrationEntry } from 'aims/provisioning'
import { createReplacements } from './replacements.ts'
import type { ServerClient } from './server-client.ts'
import type { WorkloadIdentity } from './workload-backend.ts'

/** Keys and credentials of the workloads of this node, per entry. In memory only; they never reach a disk. */
export interface IdentityCache {
  /**
   * The identity of an entry: the one that is held, or a fresh one with new keys when it is missing or due. While the
   * server is away, one that is still valid is given on.
   *
   * @throws {@link AimsError} what the server answers; `operation.server_unreachable` when nothing valid is held
   */
  identity(entry: RegistrationEntry, attestation: AttestationResult): Promise<WorkloadIdentity>
  /**
   * Whether this is what {@link identity} would give for the entry now, without asking anybody. What waits for its replacement
   * is; when its turn has come `due` is called.
   */
  isCurrent(entry: RegistrationEntry, identity: WorkloadIdentity): boolean
  /** Forgets identities of entries that are gone or were changed. */
  retain(entries: readonly RegistrationEntry[]): void
  /** Stops all timers and forgets all keys. */
  clear(): void
}

interface Held {
  readonly entry: RegistrationEntry
  readonly identity: WorkloadIdentity
  /** Names of the authorities that signed its credentials. */
  readonly signers: readonly string[]
  readonly credentials: readonly RevocableCredential[]
  /** Seconds since the epoch. */
  readonly renewAt: number
  readonly expiresAt: number
}

/** Seconds between attempts to renew what is due. */
const RETRY = 5
/** Seconds until a credential of an unknown authority is looked at again. */
const SECOND_LOOK = 1
/** Part of a lifetime by which renewals are spread. */
const JITTER = 0.1
// Longer timers overflow.
const MAX_TIMER = 2_000_000

/** What a cache works with. */
export interface IdentityCacheOptions {
  readonly server: ServerClient
  readonly clock: Clock
  /** Called when an identity is due, was renewed or has expired: whoever uses one that is not current should ask again. */
  due(): void
  /** From 0 to 1. */
  random(): number
  /** Whether what this authority signed stands. What does not is replaced. Default: all stands. */
  stands?(signer: string): boolean
  /** Seconds in which what a fallen authority signed has to be replaced. Default 0: when it is next asked for. */
  replaceWithin?(signer: string): number
  /** Whether it was revoked. Then it is forgotten, and given to nobody. Default: nothing is. */
  isRevoked?(credential: RevocableCredential): boolean
}

/** Makes an empty cache. */
export function createIdentityCache(options: IdentityCacheOptions): IdentityCache {
  const { clock, due, random, stands = () => true, replaceWithin: within = () => 0, isRevoked = () => false } = options
  const replacements = createReplacements({ clock, random, stands, within })
  const held = new Map<string, Held>()
  const pending = new Map<string, Promise<Held>>()
  const wakes = new Map<string, { readonly at: number; readonly timer: NodeJS.Timeout }>()
  const notBefore = new Map<string, number>()

  const drop = (id: string): void => {
    clearTimeout(wakes.get(id)?.timer)
    wakes.delete(id)
    held.delete(id)
    notBefore.delete(id)
    replacements.forget(id)
  }
  const isSound = ({ signers }: Held): boolean => signers.every(stands)
  const wakeAt = (id: string, at: number): void => {
    if (wakes.get(id)?.at === at) return
    clearTimeout(wakes.get(id)?.timer)
    const wake = (): void => {
      wakes.delete(id)
      const { expiresAt = 0, renewAt = 0 } = held.get(id) ?? {}
      // Whoever uses it asks again now; if nobody does, the keys go when they are worth nothing.
      if (clock() >= expiresAt) drop(id)
      else wakeAt(id, clock() < renewAt ? renewAt : expiresAt)
      due()
    }
    const seconds = Math.min(Math.max(at - clock(), 0), MAX_TIMER)
    wakes.set(id, { at, timer: setTimeout(wake, seconds * 1000).unref() })
  }
  /** Whether it has to be renewed or replaced now. While it waits for its replacement it is woken at its turn. */
  const isDue = (id: string, { signers, renewAt }: Held, now: number): boolean => {
    const replaceAt = replacements.dueAt(id, signers)
    if (now >= Math.min(renewAt, replaceAt ?? renewAt)) return true
    if (replaceAt !== undefined) wakeAt(id, Math.min(replaceAt, renewAt))
    return false
  }
  const fetch = (entry: RegistrationEntry, attestation: AttestationResult): Promise<Held> => {
    const key = `${entry.id} ${entry.revision}`
    const running = pending.get(key)
    if (running !== undefined) return running
    const started = issue(entry, attestation, options).then((fresh) => {
      const hasUsers = held.has(entry.id)
      held.set(entry.id, fresh)
      notBefore.delete(entry.id)
      replacements.forget(entry.id)
      // Signed while the authority fell, or by one that this agent has not heard of yet: looked at again in a moment.
      wakeAt(entry.id, isSound(fresh) ? fresh.renewAt : Math.min(clock() + SECOND_LOOK, fresh.renewAt))
      // Whoever asked first has renewed it for all.
      if (hasUsers) due()
      return fresh
    })
    pending.set(key, started)
    const done = () => void pending.delete(key)
    started.then(done, done)
    return started
  }

  return {
    async identity(entry, attestation) {
      const now = clock()
      if (held.get(entry.id)?.credentials.some(isRevoked) === true) drop(entry.id)
      const current = held.get(entry.id)
      const usable = current !== undefined && current.entry.revision === entry.revision && now < current.expiresAt
      if (usable && (!isDue(entry.id, current, now) || now < (notBefore.get(entry.id) ?? 0))) return current.identity
      try {
        return (await fetch(entry, attestation)).identity
      } catch (error) {
        if (!usable || isRefusal(error)) {
          drop(entry.id)
          throw error
        }
        // Still valid: given on, and tried again a little later, or when it ends.
        const again = clock() + RETRY * (1 + JITTER * options.random())
        notBefore.set(entry.id, again)
        wakeAt(entry.id, Math.min(again, current.expiresAt))
        return current.identity
      }
    },
    isCurrent(entry, identity) {
      const current = held.get(entry.id)
      if (current?.identity !== identity || current.entry.revision !== entry.revision) return false
      const now = clock()
      if (now >= current.expiresAt || current.credentials.some(isRevoked)) return false
      return !isDue(entry.id, current, now) || now < (notBefore.get(entry.id) ?? 0)
    },
    retain(entries) {
      const revisions = new Map(entries.map(({ id, revision }) => [id, revision]))
      for (const [id, { entry }] of held) if (revisions.get(id) !== entry.revision) drop(id)
    },
    clear() {
      for (const id of [...held.keys()]) drop(id)
    },
  }
}

/** True when the server said no, and not that it could not. */
export function isRefusal(error: unknown): boolean {
  return AimsError.is(error) && /^(?:provisioning|credential|x509|key)\./.test(error.code) && !ABOUT_US.has(error.code)
}

/** Who cannot reach the server as itself, or not the right one, has heard nothing about the workload. */
export const ABOUT_US: ReadonlySet<string> = new Set(['provisioning.agent_unknown', 'provisioning.server_untrusted'])

// A key of its own for every credential and every rotation (AIMS PR-5).
async function issue(
  entry: RegistrationEntry,
  attestation: AttestationResult,
  { server, clock, random }: IdentityCacheOptions,
): Promise<Held> {
  const wants = (type: RegistrationEntry['credentialTypes'][number]) => entry.credentialTypes.includes(type)
  const now = clock()
  const [x509, wit] = await Promise.all([
    wants('x509-svid') ? issueX509(entry, attestation, server) : undefined,
    wants('wit') ? issueWit(entry, attestation, server) : undefined,
  ])
  const expiresAt = Math.min(x509?.expiresAt ?? Number.POSITIVE_INFINITY, wit?.expiresAt ?? Number.POSITIVE_INFINITY)
  const lifetime = expiresAt - now
  return {
    entry,
    identity: {
      spiffeId: entry.spiffeId,
      hint: entry.hint,
      ...(x509 === undefined ? {} : { x509: x509.material }),
      ...(wit === undefined ? {} : { wit: wit.material }),
    },
    // At half life, spread so that a fleet does not come at once (AIMS PR-4).
    renewAt: now + lifetime / 2 - lifetime * JITTER * random(),
    expiresAt,
    signers: [x509?.signer, wit?.signer].filter((signer) => signer !== undefined),
    credentials: [x509?.revocable, wit?.revocable].filter((one) => one !== undefined),
  }
}

interface Issued<T> {
  readonly material: T
  readonly expiresAt: number
  readonly signer?: string
  readonly revocable?: RevocableCredential
}

async function issueX509(
  entry: RegistrationEntry,
  attestation: AttestationResult,
  server: ServerClient,
): Promise<Issued<NonNullable<WorkloadIdentity['x509']>>> {
  const key = WorkloadKey.generate()
  const { certificates, ...rest } = await server.issueX509(entry, key, attestation)
  const privateKey = key.tlsKey.export({ type: 'pkcs8', format: 'der' })
  return { material: { certificates, privateKey }, ...rest }
}

async function issueWit(
  entry: RegistrationEntry,
  attestation: AttestationResult,
  server: ServerClient,
): Promise<Issued<NonNullable<WorkloadIdentity['wit']>> | undefined> {
  const key = WorkloadKey.generate()
  try {
    const { token, ...rest } = await server.issueWit(entry, key, attestation)
    const privateJwk = JSON.stringify({ ...key.tlsKey.export({ format: 'jwk' }), alg: key.alg })
    return { material: { token, privateJwk }, ...rest }
  } catch (error) {
    // The end of a compatibility profile takes its WITs away, not the other credentials of the workload.
    if (AimsError.is(error) && error.code === 'provisioning.profile_disabled') return undefined
    throw error
  }
}
