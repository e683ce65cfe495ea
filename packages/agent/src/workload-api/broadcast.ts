import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode } from 'aims/base'
import type { GrpcStream } from 'aims/provisioning'
import { GRPC_STATUS } from 'aims/provisioning'
import type { ChangeScope, WorkloadBackend, WorkloadSnapshot } from '../workload-backend.ts'
import type { Peer } from './peer.ts'

/** Streams brought up to date before other work gets its turn. */
const SLICE = 16
/** Milliseconds before a failed update is tried again. */
const RETRY = 1000
/** Milliseconds in which identities that fall due wait for others: to find whose they are takes a look at everybody. */
const GATHER = 20

/** A stream that follows the state of one workload. */
export interface Subscriber {
  readonly stream: GrpcStream
  /** Brings the stream up to date. @returns Why it must end, when nothing of this snapshot is for it. */
  show(snapshot: WorkloadSnapshot): AimsErrorCode | undefined
  /** Ends the stream: `code` says why. */
  refuse(code: AimsErrorCode): void
}

/** What one process follows. */
interface Following {
  readonly subscribers: Set<Subscriber>
  /** What its streams were last brought to; `undefined`: not known. */
  shown: WorkloadSnapshot | undefined
}

/**
 * Keeps all open streams at the newest state: whenever the backend says that something changed, every process that this
 * may concern is attested again, every set of selectors is looked up once, and every stream whose bytes differ gets one
 * frame.
 */
export class Broadcast {
  readonly #backend: WorkloadBackend
  readonly #following = new Map<Peer, Following>()
  readonly #unsubscribe: () => void
  #stale: ChangeScope | undefined
  #isRunning = false
  #isClosed = false
  #retrying: NodeJS.Timeout | undefined
  #gathering: NodeJS.Timeout | undefined

  constructor(backend: WorkloadBackend) {
    this.#backend = backend
    this.#unsubscribe = backend.onChange((scope) => this.#trigger(scope))
  }

  /** Follows the state of the workload `peer` for one stream. */
  add(peer: Peer, subscriber: Subscriber): void {
    const following = this.#following.get(peer) ?? { subscribers: new Set(), shown: undefined }
    const { subscribers } = following
    this.#following.set(peer, following)
    subscribers.add(subscriber)
    // It gets its first state by itself, and that may be newer.
    following.shown = undefined
    subscriber.stream.onClose(() => {
      subscribers.delete(subscriber)
      if (subscribers.size === 0) this.#following.delete(peer)
    })
  }

  /** Ends all streams; clients come back to whoever is next. */
  close(): void {
    this.#unsubscribe()
    this.#isClosed = true
    clearTimeout(this.#retrying)
    clearTimeout(this.#gathering)
    for (const { stream } of [...this.#following.values()].flatMap(({ subscribers }) => [...subscribers])) {
      stream.end(GRPC_STATUS.unavailable, 'the agent is stopping')
    }
  }

  #trigger(scope: ChangeScope): void {
    if (this.#stale !== 'everything') this.#stale = scope
    if (this.#isRunning) return
    if (scope === 'everything') void this.#run()
    else this.#gather()
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined
      if (!this.#isRunning) void this.#run()
    }, GATHER)
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    do {
      const scope = this.#stale
      this.#stale = undefined
      if (scope !== undefined) await this.#bringUpToDate(scope)
    } while (this.#stale === 'everything' && !this.#isClosed)
    this.#isRunning = false
    if (this.#stale !== undefined && !this.#isClosed) this.#gather()
  }

  async #bringUpToDate(scope: ChangeScope): Promise<void> {
    const snapshots = new Map<string, Promise<WorkloadSnapshot>>()
    let streams = 0
    let slice: Promise<void>[] = []
    for (const [peer, following] of [...this.#following]) {
      if (scope === 'identities' && this.#isCurrent(following)) continue
      slice.push(this.#update(peer, following, snapshots))
      streams += following.subscribers.size
      if (streams < SLICE) continue
      await Promise.all(slice)
      await nextTurn()
      slice = []
      streams = 0
    }
    await Promise.all(slice)
  }

  #isCurrent({ shown }: Following): boolean {
    return shown !== undefined && this.#backend.isCurrent?.(shown) === true
  }

  async #update(peer: Peer, following: Following, snapshots: Map<string, Promise<WorkloadSnapshot>>): Promise<void> {
    const { subscribers } = following
    following.shown = undefined
    try {
      const attestation = await peer.attest()
      const snapshot = await this.#snapshotOnce(attestation, snapshots)
      following.shown = snapshot
      for (const subscriber of [...subscribers]) {
        const refusal = subscriber.show(snapshot)
        if (refusal !== undefined) await this.#redact(peer, [subscriber], refusal)
      }
    } catch (error) {
      if (AimsError.is(error) && error.code.startsWith('attestation.')) {
        await this.#redact(peer, subscribers, error.code)
      } else this.#retry()
    }
  }

  async #redact(peer: Peer, subscribers: Iterable<Subscriber>, code: AimsErrorCode): Promise<void> {
    // The end of an identity does not wait for the log.
    for (const subscriber of [...subscribers]) subscriber.refuse(code)
    await peer.recordRefusal('stream', code, this.#backend).catch(() => undefined)
  }

  #snapshotOnce(
    attestation: AttestationResult,
    snapshots: Map<string, Promise<WorkloadSnapshot>>,
  ): Promise<WorkloadSnapshot> {
    const key = attestation.selectors.join('\n')
    let snapshot = snapshots.get(key)
    if (snapshot === undefined) {
      snapshot = this.#backend.snapshot(attestation)
      snapshots.set(key, snapshot)
    }
    return snapshot
  }

  // Who cannot be told now keeps what he has, and is told soon.
  #retry(): void {
    this.#retrying ??= setTimeout(() => {
      this.#retrying = undefined
      this.#trigger('everything')
    }, RETRY)
  }
}
