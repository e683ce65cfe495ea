import { AimsError, type AuditEvent, type Clock, type Observer, type Signer } from 'aims/base'
import {
  indexRevocations,
  type Revocation,
  type RevocationIndex,
  type RevocationSource,
  signRevocationList,
} from 'aims/credentials'
import {
  ancestorsOf,
  joinSpiffeId,
  parseWorkloadSpiffeId,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from 'aims/identifiers'
import { type Actor, serializer } from '../entries.ts'
import type { RevocationStore } from '../store/revocation-store.ts'
import { requireRoom } from './room.ts'

/** What an operator revokes. */
export interface RevocationRequest {
  readonly type: Revocation['type']
  /** A SPIFFE ID, a `jti`, a serial number in hex, or the RFC 7638 thumbprint of a key. */
  readonly value: string
  /** For the record. */
  readonly reason?: string
  /** The agent `root` revokes a sub-agent of its own, which lives no longer than so many seconds. */
  readonly byAgent?: { readonly root: SpiffeId; readonly longestLife: number }
}

/** What this trust domain does not accept any more. Every change is in the log before it is told. */
export interface Revocations extends RevocationSource {
  sequence(): number
  /** The signed list as of now. */
  list(): Promise<string>
  /** Credentials of this identity count from here on, in seconds since the epoch; `undefined`: all of them do. */
  notBefore(subject: string): number | undefined
  /** @throws {@link AimsError} `provisioning.invalid_revocation`, `provisioning.revocations_full`, and what the observer throws */
  revoke(request: RevocationRequest, actor: Actor): Promise<Revocation>
  /** Revokes all of them, or none; verifiers hear of them at once. @throws {@link AimsError} as `revoke` */
  revokeAll(requests: readonly Omit<RevocationRequest, 'byAgent'>[], actor: Actor): Promise<readonly Revocation[]>
  /** Forgets what can mean nothing any more. */
  purge(): void
  /** Calls `listener` after every change. @returns a function that ends it */
  onChange(listener: () => void): () => void
}

/** What revocations work with. */
export interface RevocationsOptions {
  readonly trustDomain: TrustDomain
  readonly store: RevocationStore
  readonly clock: Clock
  /** Not ahead of the time that has passed: it decides what is forgotten. Default: `clock`. */
  readonly steady?: Clock
  readonly observer: Observer
  /** The WIT authority that signs now. */
  signer(): Signer
  /** Seconds that the longest credential lives. */
  longestLife(): number
}

/** Clocks of verifiers may be behind, in seconds. */
const SKEW = 120
const FORMS: { readonly [type in Exclude<Revocation['type'], 'subject'>]: RegExp } = {
  token: /^[A-Za-z0-9._~:-]{1,256}$/,
  certificate: /^[0-9a-f]{1,40}$/,
  key: /^[A-Za-z0-9_-]{43}$/,
}

/**
 * Opens the revocations of the trust domain. Sequence numbers follow the clock, so that the first revocation after an old
 * backup was restored is newer than whatever verifiers hold.
 */
export function openRevocations(options: RevocationsOptions): Revocations {
  const { trustDomain, store, clock, steady = clock, observer } = options
  const listeners = new Set<() => void>()
  const oneAtATime = serializer()
  // Those whose record is being written. They count here already: what somebody revoked gets meanwhile would be issued
  // after `before`, and live on.
  let coming: readonly Revocation[] = []
  let isRevoked: RevocationIndex = indexRevocations({ revocations: store.list() })
  let befores = beforesOf(store.list())
  let signed:
    | { readonly issuedAt: number; readonly sequence: number; readonly kid: string; readonly list: Promise<string> }
    | undefined

  const refresh = (next = coming): void => {
    coming = next
    const revocations = [...store.list(), ...coming]
    isRevoked = indexRevocations({ revocations })
    befores = beforesOf(revocations)
  }
  const add = (requests: readonly RevocationRequest[], actor: Actor, root?: SpiffeId): Promise<readonly Revocation[]> =>
    oneAtATime(async () => {
      const now = clock()
      store.purge(steady())
      const added = requests.map((request) => {
        const life = request.byAgent?.longestLife ?? options.longestLife()
        return { request, revocation: atLeast(revocationOf(request, trustDomain, now, life), store.list()) }
      })
      const revocations = added.map(({ revocation }) => revocation)
      requireRoom(revocations, store.list(), root)
      const sequence = Math.max(store.sequence() + 1, Math.floor(now))
      refresh(revocations)
      try {
        await Promise.all(
          added.map(({ request, revocation }) => observer.record(revokedEvent(request, revocation, sequence, actor))),
        )
        store.put(revocations, sequence)
      } finally {
        refresh([])
      }
      for (const listener of listeners) listener()
      return revocations
    })
  return {
    sequence: store.sequence,
    list() {
      const issuedAt = Math.floor(clock())
      const sequence = store.sequence()
      const signer = options.signer()
      const { kid = '' } = signer
      if (signed?.issuedAt !== issuedAt || signed.sequence !== sequence || signed.kid !== kid) {
        const revocations = store.list().filter(({ expiresAt }) => expiresAt > issuedAt)
        signed = {
          issuedAt,
          sequence,
          kid,
          list: signRevocationList({ trustDomain, sequence, issuedAt, revocations }, signer),
        }
      }
      return signed.list
    },
    notBefore(subject) {
      if (befores.size === 0) return undefined
      const named = [subject, ...ancestorsOf(parseWorkloadSpiffeId(subject))].flatMap((one) => befores.get(one) ?? [])
      return named.length === 0 ? undefined : Math.max(...named)
    },
    statusOf: (credential) => (isRevoked(credential) ? 'revoked' : 'good'),
    async revoke(request, actor) {
      const [revocation] = await add([request], actor, request.byAgent?.root)
      if (revocation === undefined) throw new TypeError('one request is one revocation')
      return revocation
    },
    revokeAll: (requests, actor) => add(requests, actor),
    purge() {
      store.purge(steady())
      refresh()
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function beforesOf(revocations: readonly Revocation[]): ReadonlyMap<string, number> {
  return new Map(revocations.flatMap((one) => (one.type === 'subject' ? [[one.value, one.before]] : [])))
}

// Of the same thing nothing is taken back: not by an agent after an operator, and not by a clock that was set back.
function atLeast(next: Revocation, listed: readonly Revocation[]): Revocation {
  const before = listed.find(({ type, value }) => type === next.type && value === next.value)
  if (before === undefined) return next
  const expiresAt = Math.max(next.expiresAt, before.expiresAt)
  return next.type === 'subject' && before.type === 'subject'
    ? { ...next, before: Math.max(next.before, before.before), expiresAt }
    : { ...next, expiresAt }
}

function revocationOf(
  { type, value }: RevocationRequest,
  trustDomain: TrustDomain,
  now: number,
  longestLife: number,
): Revocation {
  // What is issued in this very second is refused too, or issued as of the next one.
  const before = Math.floor(now) + 1
  const expiresAt = before + longestLife + SKEW
  if (type !== 'subject') {
    if (!FORMS[type].test(value)) throw new AimsError('provisioning.invalid_revocation', `not the form of a ${type}`)
    return { type, value, expiresAt }
  }
  const subject = parseWorkloadSpiffeId(value)
  if (trustDomainOf(subject) !== trustDomain) {
    throw new AimsError('provisioning.invalid_revocation', 'the identity is in another trust domain')
  }
  if (subject === joinSpiffeId(trustDomain, 'aims', 'server')) {
    throw new AimsError('provisioning.invalid_revocation', 'the identity server does not revoke itself')
  }
  return { type, value: subject, before, expiresAt }
}

function revokedEvent(
  { reason }: RevocationRequest,
  revocation: Revocation,
  sequence: number,
  { name, method, correlationId }: Actor,
): AuditEvent {
  const { type, value, expiresAt } = revocation
  return {
    type: 'provisioning.revoked',
    agent: { id: name, method },
    resource: { type: type === 'subject' ? 'agent' : type, id: value },
    action: 'revoke',
    decision: 'allow',
    correlationId,
    remediation: { action: 'revoke', cause: reason ?? 'not given' },
    details: { sequence, expiresAt, ...(revocation.type === 'subject' ? { before: revocation.before } : {}) },
  }
}
