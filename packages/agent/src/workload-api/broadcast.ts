import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode } from 'aims/base'
import type { GrpcStream } from 'aims/provisioning'
import { GRPC_STATUS } from 'aims/provisioning'
import type { WorkloadBackend, WorkloadSnapshot } from '../workload-backend.ts'
import type { Peer } from './peer.ts'

/** Streams brought up to date before other work gets its turn. */
const SLICE = 200
/** Milliseconds before a failed update is tried again. */
const RETRY = 1000

/** A stream that follows the state of one workload. */
export interface Subscriber {
  readonly stream: GrpcStream
  /** Brings the stream up to date. @returns Why it must end, when nothing of this snapshot is for it. */
  show(snapshot: WorkloadSnapshot): AimsErrorCode | undefined
  /** Ends the stream: `code` says why. */
  refuse(code: AimsErrorCode): void
}

/**
 * Keeps all open streams at the newest state: whenever the backend says that something changed, every process is
 * attested again, every set of selectors is looked up once, and every stream whose bytes differ gets one frame.
 */
export class Broadcast {
  readonly #backend: WorkloadBackend
  readonly #subscribers = new Map<Peer, Set<Subscriber>>()
  readonly #unsubscribe: () => void
  #isStale = false
  #isRunning = false
  #isClosed = false
  #retrying: NodeJS.Timeout | undefined

  constructor(backend: WorkloadBackend) {
    this.#backend = backend
    this.#unsubscribe = backend.onChange(() => this.#trigger())
  }

  /** Follows the state of the workload `peer` for one stream. */
  add(peer: Peer, subscriber: Subscriber): void {
    const subscribers = this.#subscribers.get(peer) ?? new Set()
    this.#subscribers.set(peer, subscribers.add(subscriber))
    subscriber.stream.onClose(() => {
      subscribers.delete(subscriber)
      if (subscribers.size === 0) this.#subscribers.delete(peer)
    })
  }

  /** Ends all streams; clients come back to whoever is next. */
  close(): void {
    this.#unsubscribe()
    this.#isClosed = true
    clearTimeout(this.#retrying)
    for (const { stream } of [...this.#subscribers.values()].flatMap((set) => [...set])) {
      stream.end(GRPC_STATUS.unavailable, 'the agent is stopping')
    }
  }

  #trigger(): void {
    this.#isStale = true
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false
      const snapshots = new Map<string, Promise<WorkloadSnapshot>>()
      let streams = 0
      let slice: Promise<void>[] = []
      for (const [peer, subscribers] of [...this.#subscribers]) {
        slice.push(this.#update(peer, subscribers, snapshots))
        streams += subscribers.size
        if (streams < SLICE) continue
        await Promise.all(slice)
        await nextTurn()
        slice = []
        streams = 0
      }
      await Promise.all(slice)
    }
    this.#isRunning = false
  }

  async #update(
    peer: Peer,
    subscribers: ReadonlySet<Subscriber>,
    snapshots: Map<string, Promise<WorkloadSnapshot>>,
  ): Promise<void> {
    try {
      const attestation = await peer.attest()
      const snapshot = await this.#snapshotOnce(attestation, snapshots)
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
      this.#trigger()
    }, RETRY)
  }
}
