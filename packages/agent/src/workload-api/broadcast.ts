import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode } from 'aims/base'
import { GRPC_STATUS } from 'aims/provisioning'
import type { WorkloadBackend, WorkloadSnapshot } from '../workload-backend.ts'
import type { FrameCache, StateView } from './frames.ts'
import type { GrpcStream } from './grpc-stream.ts'
import type { Peer } from './peer.ts'

/** Streams brought up to date before other work gets its turn. */
const SLICE = 200
/** Milliseconds before a failed update is tried again. */
const RETRY = 1000

interface Subscriber {
  readonly stream: GrpcStream
  readonly view: StateView
}

/**
 * Keeps all open streams at the newest state: whenever the backend says that something changed, every process is
 * attested again, every set of selectors is looked up once, and every stream whose bytes differ gets one frame.
 */
export class Broadcast {
  readonly #backend: WorkloadBackend
  readonly #frames: FrameCache
  readonly #subscribers = new Map<Peer, Set<Subscriber>>()
  readonly #unsubscribe: () => void
  #isStale = false
  #isRunning = false
  #isClosed = false
  #retrying: NodeJS.Timeout | undefined

  constructor(backend: WorkloadBackend, frames: FrameCache) {
    this.#backend = backend
    this.#frames = frames
    this.#unsubscribe = backend.onChange(() => this.#trigger())
  }

  /** Follows the state for one stream, to which `snapshot` has been sent. */
  add(peer: Peer, stream: GrpcStream, view: StateView): void {
    const subscriber: Subscriber = { stream, view }
    const subscribers = this.#subscribers.get(peer) ?? new Set()
    this.#subscribers.set(peer, subscribers.add(subscriber))
    stream.onClose(() => {
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
      for (const { stream, view } of [...subscribers]) {
        const frame = this.#frames.frame(snapshot, view)
        if (frame !== undefined) stream.writeState(frame)
        else await this.#redact(peer, [stream], 'provisioning.no_identity')
      }
    } catch (error) {
      if (AimsError.is(error) && error.code.startsWith('attestation.')) {
        await this.#redact(
          peer,
          subscribers.values().map(({ stream }) => stream),
          error.code,
        )
      } else this.#retry()
    }
  }

  async #redact(peer: Peer, streams: Iterable<GrpcStream>, code: AimsErrorCode): Promise<void> {
    // The end of an identity does not wait for the log.
    for (const stream of [...streams]) stream.end(GRPC_STATUS.permissionDenied, code)
    await peer.recordRefusal('stream', code).catch(() => undefined)
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
