import type { AttestationResult } from 'aims/attestation'
import { AimsError, type ApiClient, type Clock, troubleLog } from 'aims/base'
import { bundleSource, type RevocableCredential, type TrustBundle, verifyJwtSvid } from 'aims/credentials'
import { type TrustDomain, trustDomainOf } from 'aims/identifiers'
import {
  createEntryIndex,
  type EntryIndex,
  noIdentityChecks,
  type RegistrationEntry,
  type RevocationRelay,
  signersOf,
} from 'aims/provisioning'
import { createIdentityCache, isRefusal } from './identity-cache.ts'
import { createJwtCache } from './jwt-cache.ts'
import { pause } from './pause.ts'
import { type AgentRevocations, followForWorkloads } from './revocations/agent-revocations.ts'
import { revocableToken } from './revocations/revocable.ts'
import type { ServerClient, TrustDomainState } from './server-client.ts'
import type { ChangeScope, WorkloadBackend, WorkloadIdentity, WorkloadSnapshot } from './workload-backend.ts'

/** A backend that gets everything from an AIMS server. */
export interface ServerBackend extends WorkloadBackend, RevocationRelay {
  /** Resolves when the state of the trust domain is known for the first time, and what is revoked, if that can be had. */
  readonly ready: Promise<void>
  /** Serves nobody from now on, until the server tells of entries again. Workloads are told that they have no identity. */
  forget(): void
  /** Asks the server for everything again, and serves what is held meanwhile. */
  askAnew(): void
  /** Ends the connection to the server and forgets all keys. */
  close(): void
}

/** What a backend works with. */
export interface ServerBackendOptions {
  readonly server: ServerClient
  readonly clock: Clock
  /** Takes lines about trouble with the server. */
  log(line: string): void
  /** Where signed revocation lists come from. Absent: nothing is checked, and none are relayed. */
  readonly lists?: { readonly server: Pick<ApiClient, 'send'>; readonly maxStaleness: number }
  /** Nothing is asked for until this has settled. Default: at once. */
  readonly after?: Promise<void> | undefined
  /** From 0 to 1; spreads renewals and attempts. Default `Math.random`. */
  readonly random?: () => number
}

/** Milliseconds between attempts to reach the server. */
const FIRST_RETRY = 200
const LAST_RETRY = 5000
/**
 * Part of the bundle's refresh hint by which replacements are spread after a taint. Operators leave verifiers the whole of it
 * before they revoke.
 */
const REPLACE = 1 / 6
/** No server is at this revision: all is told anew. */
const NOTHING = -1

/**
 * Follows the server's entries and bundle by long polls, matches workloads to entries, and asks for credentials when a
 * workload needs them. Identities that were handed out stay good while the server is away.
 *
 * It does not attest: the attestation it is given decides who the workload is, and goes to the server, which checks it
 * against the entry once more.
 */
export function startServerBackend(options: ServerBackendOptions): ServerBackend {
  const { server, clock, random = Math.random } = options
  const listeners = new Set<(scope: ChangeScope) => void>()
  const stopping = new AbortController()
  let asking = new AbortController()
  let state: (TrustDomainState & { readonly index: EntryIndex }) | undefined
  let snapshots = new Map<string, WorkloadSnapshot>()
  const madeOf = new WeakMap<WorkloadSnapshot, readonly Member[]>()

  const tell = (scope: ChangeScope): void => {
    for (const listener of listeners) listener(scope)
  }
  const changed = (): void => {
    snapshots = new Map()
    tell('everything')
  }
  const due = (): void => tell('identities')
  const stands = (signer: string | undefined): boolean =>
    state?.standing === undefined || signer === undefined || state.standing.has(signer)
  let revocations: AgentRevocations | undefined
  const isRevoked = (credential: RevocableCredential): boolean => revocations?.isRevoked(credential) === true
  const replaceWithin = (signer: string): number => {
    const { bundle } = known()
    return signersOf(bundle).has(signer) ? (bundle.refreshHint ?? 0) * REPLACE : 0
  }
  const identities = createIdentityCache({ server, clock, random, due, stands, replaceWithin, isRevoked })
  const jwts = createJwtCache(server, clock, stands, isRevoked)
  const trouble = troubleLog('aims agent', options.log)
  const first = Promise.withResolvers<void>()
  // Nobody has to wait for it.
  first.promise.catch(() => undefined)

  const followLists = (trustDomain: TrustDomain): AgentRevocations | undefined =>
    options.lists &&
    followForWorkloads({
      ...options.lists,
      trustDomain,
      bundles: { bundleFor: (name) => (name === trustDomain ? state?.bundle : undefined) },
      clock,
      log: options.log,
      changed,
    })
  // What was asked for before {@link ServerBackend.askAnew} may be only what changed for the agent that this was.
  const ask = async (): Promise<TrustDomainState | undefined> => {
    const { signal } = asking
    try {
      const next = await server.sync(state, AbortSignal.any([stopping.signal, signal]))
      return signal.aborted ? undefined : next
    } catch (error) {
      if (!signal.aborted) throw error
      return undefined
    }
  }
  const follow = async (): Promise<void> => {
    let retry = FIRST_RETRY
    await options.after?.catch(() => undefined)
    while (!stopping.signal.aborted) {
      try {
        const next = await ask()
        retry = FIRST_RETRY
        trouble.over('the server answers again')
        if (next === undefined) continue
        state = { ...next, index: createEntryIndex(next.entries) }
        identities.retain(next.entries)
        revocations ??= followLists(next.bundle.trustDomain)
        first.resolve(revocations?.settled)
        changed()
      } catch (error) {
        if (stopping.signal.aborted) return
        trouble.tell(error, 'cannot reach the server')
        await pause(retry * (0.5 + random()), stopping.signal)
        retry = Math.min(retry * 2, LAST_RETRY)
      }
    }
  }
  const known = (): NonNullable<typeof state> => {
    if (state === undefined) throw new AimsError('operation.server_unreachable', 'the server was not reached yet')
    return state
  }
  const entriesOf = ({ selectors }: AttestationResult): readonly RegistrationEntry[] =>
    // The first one is what workloads use that name none: it must not depend on ids that were made up.
    [...known().index.match(selectors)].sort((a, b) => (a.spiffeId < b.spiffeId ? -1 : 1))

  // What the entries of the workload name, and nothing else that the server knows.
  const federatedOf = (entries: readonly RegistrationEntry[]): readonly TrustBundle[] => {
    const names = new Set(entries.flatMap(({ federatesWith }) => federatesWith))
    return [...names].sort().flatMap((name) => known().federated.get(name) ?? [])
  }

  void follow()
  return {
    ready: first.promise,
    revocations: options.lists && {
      statusOf(credential, now) {
        if (state === undefined || revocations === undefined) return 'unknown'
        // Other trust domains publish no list that the server passes on.
        const isOwn = trustDomainOf(credential.subject) === state.bundle.trustDomain
        return isOwn ? revocations.statusOf(credential, now) : 'good'
      },
    },
    async snapshot(attestation) {
      const { bundle } = known()
      const entries = entriesOf(attestation)
      const bundles = [bundle, ...federatedOf(entries)]
      const answers = await Promise.all(entries.map((entry) => identities.identity(entry, attestation).catch(absent)))
      const members = entries.map((entry, index) => ({ entry, identity: answers[index] }))
      const list = answers.filter((one) => one !== undefined)
      // The same object for the same identities, so that it is encoded once for all streams.
      const key = entries.map(({ id }) => id).join(' ')
      const before = snapshots.get(key)
      const isNew = before === undefined || !isSame(before, list, bundles)
      const snapshot: WorkloadSnapshot = isNew ? { identities: withUniqueHints(list), bundles } : before
      snapshots.set(key, snapshot)
      madeOf.set(snapshot, members)
      return snapshot
    },
    // One that the server has refused is asked for again whenever there is an occasion.
    isCurrent: (snapshot) =>
      madeOf
        .get(snapshot)
        ?.every(({ entry, identity }) => identity !== undefined && identities.isCurrent(entry, identity)) === true,
    whyNone: ({ selectors }) => (state === undefined ? [] : noIdentityChecks(state.entries, selectors)),
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async jwtSvids(attestation, audiences, spiffeId) {
      const entries = entriesOf(attestation).filter(
        (entry) =>
          entry.credentialTypes.includes('jwt-svid') && (spiffeId === undefined || entry.spiffeId === spiffeId),
      )
      if (entries.length === 0) {
        throw new AimsError('provisioning.not_entitled', 'the workload has no identity with JWT-SVIDs')
      }
      return Promise.all(
        entries.map(async (entry) => ({
          spiffeId: entry.spiffeId,
          token: await jwts.token(entry, audiences, attestation),
          hint: entry.hint,
        })),
      )
    },
    async validateJwtSvid(attestation, audience, token) {
      const entries = entriesOf(attestation)
      if (entries.length === 0) throw new AimsError('provisioning.not_entitled', 'the workload has no identity')
      const bundles = bundleSource(known().bundle, ...federatedOf(entries))
      const { subject, claims, trustDomain } = verifyJwtSvid(token, { bundles, now: clock(), audience })
      // Other trust domains publish no list that the server passes on.
      if (trustDomain === known().bundle.trustDomain)
        revocations?.requireGood(revocableToken('jwt-svid', subject, token))
      return { spiffeId: subject, claims }
    },
    async fetchRevocationList(seen, signal) {
      if (revocations === undefined)
        throw new AimsError('operation.server_unreachable', 'the server was not reached yet')
      return await revocations.fetchRevocationList(seen, signal)
    },
    forget() {
      if (state === undefined || (state.entries.length === 0 && state.revision === NOTHING)) return
      state = { ...state, entries: [], index: createEntryIndex([]), revision: NOTHING }
      identities.clear()
      changed()
    },
    askAnew() {
      if (state !== undefined) state = { ...state, revision: NOTHING }
      asking.abort()
      asking = new AbortController()
    },
    close() {
      stopping.abort()
      revocations?.close()
      identities.clear()
      listeners.clear()
      first.reject(new AimsError('operation.shutting_down', 'the agent was stopped'))
    },
  }
}

/** What an entry has given to a snapshot; nothing, when the server refused. */
interface Member {
  readonly entry: RegistrationEntry
  readonly identity: WorkloadIdentity | undefined
}

// What the server refuses the workload does not have; what it could not answer is an error.
function absent(error: unknown): undefined {
  if (!isRefusal(error)) throw error
  return undefined
}

function isSame(
  { identities, bundles }: WorkloadSnapshot,
  list: readonly WorkloadIdentity[],
  current: readonly TrustBundle[],
): boolean {
  return (
    bundles.length === current.length &&
    bundles.every((bundle, index) => bundle === current[index]) &&
    identities.length === list.length &&
    identities.every((one, index) => one.x509 === list[index]?.x509 && one.wit === list[index]?.wit)
  )
}

// Workload API, section 4.4: a hint occurs once; the first identity keeps it.
function withUniqueHints(list: readonly WorkloadIdentity[]): readonly WorkloadIdentity[] {
  const seen = new Set<string>()
  return list.map((identity) => {
    const taken = seen.has(identity.hint)
    seen.add(identity.hint)
    return taken && identity.hint !== '' ? { ...identity, hint: '' } : identity
  })
}
