import { setTimeout as delay } from 'node:timers/promises'
import { AimsError } from '../../../base/errors.ts'
import type { SpiffeId, WorkloadId } from '../../../identifiers/spiffe-id.ts'
import { WorkloadApiClient, type WorkloadApiClientOptions } from '../client.ts'
import { WorkloadBundleSource } from './bundles.ts'
import { WorkloadJwtSource } from './jwt.ts'
import { type ChooseIdentity, notReady, type SourceOptions } from './subscription.ts'
import { WorkloadWitSource } from './wit.ts'
import { WorkloadX509Source } from './x509.ts'

/** How to connect, and what to do when the workload has several identities. */
export interface WorkloadOptions extends WorkloadApiClientOptions, SourceOptions {
  /** The identity to use. Default: the first the Workload API names. */
  readonly spiffeId?: SpiffeId
  /** Milliseconds to wait for the first identity. Default 30,000. */
  readonly readyTimeout?: number
  /**
   * Told once why the first identity is waited for, e.g. `.endpoint_unavailable` (no agent) or `.no_identity` (no entry
   * matches): an agent may start later than its workloads. Default: a warning of the process (`process.emitWarning`).
   */
  readonly onWaiting?: (reason: AimsError) => void
}

/** This process as the Workload API knows it: all its credentials and bundles, kept fresh. */
export interface Workload {
  /** Who this process is now. @throws {@link AimsError} `provisioning.not_ready` */
  readonly spiffeId: WorkloadId
  readonly x509: WorkloadX509Source
  readonly wit: WorkloadWitSource
  readonly jwt: WorkloadJwtSource
  readonly bundles: WorkloadBundleSource
  readonly client: WorkloadApiClient
  /** Calls `listener` after each change of a credential or bundle. Returns a function that ends that. */
  onUpdate(listener: () => void): () => void
  /** Ends all streams and forgets all keys. Without it the process does not end by itself. */
  close(): void
  [Symbol.dispose](): void
}

/**
 * Connects to the Workload API and waits until it has said who this process is.
 *
 * A kind of credential that the identity does not have is no failure: its source is just not ready.
 *
 * @throws {@link AimsError} `provisioning.no_endpoint`, `.invalid_endpoint`; after `readyTimeout` the last failure,
 *   e.g. `.endpoint_unavailable` (no agent) or `.no_identity` (no entry matches)
 */
export async function connectWorkload(options: WorkloadOptions = {}): Promise<Workload> {
  const { spiffeId, readyTimeout = 30_000, onWaiting = warn } = options
  const client = new WorkloadApiClient(options)
  const choose: ChooseIdentity = ({ id }) => spiffeId === undefined || id === spiffeId
  const x509 = new WorkloadX509Source(client, { ...options, choose })
  const wit = new WorkloadWitSource(client, { ...options, choose })
  const jwt = new WorkloadJwtSource(client, options)
  const bundles = new WorkloadBundleSource(client, options)
  const subscriptions = [x509.subscription, wit.subscription, ...bundles.subscriptions]

  const close = (): void => {
    for (const source of [x509, wit, jwt, bundles]) source.close()
    client.close()
  }
  const identities = (): readonly WorkloadId[] => [
    ...x509.x509Svids().map((svid) => svid.spiffeId),
    ...wit.wits().map(({ subject }) => subject),
  ]
  const workload: Workload = {
    get spiffeId() {
      const own = identities().find((id) => choose({ id, hint: '' }))
      if (own === undefined) throw notReady(x509.subscription.lastError)
      return own
    },
    x509,
    wit,
    jwt,
    bundles,
    client,
    onUpdate(listener) {
      const ends = subscriptions.map((subscription) => subscription.onUpdate(listener))
      return () => {
        for (const end of ends) end()
      }
    },
    close,
    [Symbol.dispose]: close,
  }

  let before = ''
  workload.onUpdate(() => {
    const now = identities().join()
    // A token of an identity that is gone must not outlive it.
    if (now !== before) jwt.forget()
    before = now
  })

  try {
    await settled(subscriptions, readyTimeout, onWaiting)
    return workload
  } catch (error) {
    close()
    throw error
  }
}

// Ready when every stream has been answered and the bundles, which every identity gets, are there.
async function settled(
  subscriptions: readonly Answering[],
  timeout: number,
  onWaiting: (reason: AimsError) => void,
): Promise<void> {
  const [, , ...bundles] = subscriptions
  const answers = subscriptions.map((one) => one.answered())
  const late = new AbortController()
  // All bundles missing, or one kind that this Workload API does not have would look like none.
  void Promise.all(bundles.map((one) => one.failed(late.signal))).then((reasons) => {
    const [reason] = reasons
    if (reason !== undefined && !reasons.includes(undefined)) onWaiting(reason)
  })
  try {
    await Promise.race([
      Promise.all([...answers, Promise.any(bundles.map((one) => one.ready()))]),
      delay(timeout, undefined, { signal: late.signal }).then(() => Promise.reject(new Error('late'))),
    ])
  } catch {
    const [cause] = subscriptions.flatMap(({ lastError }) => lastError ?? [])
    if (cause !== undefined) throw new AimsError(cause.code, cause.message, { cause })
    throw new AimsError('provisioning.timeout', 'the Workload API did not answer in time')
  } finally {
    late.abort()
  }
}

interface Answering {
  readonly lastError: AimsError | undefined
  answered(): Promise<void>
  ready(): Promise<unknown>
  failed(signal: AbortSignal): Promise<AimsError | undefined>
}

function warn({ code, message }: AimsError): void {
  process.emitWarning(`still waiting for the Workload API: ${message} [${code}]`, { code: 'AIMS_WAITING' })
}
