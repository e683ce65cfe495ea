import { setTimeout as delay } from 'node:timers/promises'
import { AimsError } from '../../../base/errors.ts'
import type { SpiffeId, WorkloadId } from '../../../identifiers/spiffe-id.ts'
import { WorkloadBundleSource } from './bundles.ts'
import { WorkloadJwtSource } from './jwt.ts'
import type { WorkloadStreams } from './streams.ts'
import { type ChooseIdentity, notReady, type SourceOptions } from './subscription.ts'
import { WorkloadWitSource } from './wit.ts'
import { WorkloadX509Source } from './x509.ts'

/** Which identity to follow, and how long to wait for it. */
export interface IdentityOptions extends SourceOptions {
  /** The identity to use. Default: the first that is named. */
  readonly spiffeId?: SpiffeId
  /** Milliseconds to wait for the first identity. Default 30,000. */
  readonly readyTimeout?: number
  /**
   * Told once why the first identity is waited for, e.g. `.endpoint_unavailable` (no agent) or `.no_identity` (no entry
   * matches): an agent may start later than its workloads. Default: a warning of the process (`process.emitWarning`).
   */
  readonly onWaiting?: (reason: AimsError) => void
}

/** Who this process is, as its issuer knows it: all its credentials and bundles, kept fresh. */
export interface ConnectedIdentity {
  /** Who this process is now. @throws {@link AimsError} `provisioning.not_ready` */
  readonly spiffeId: WorkloadId
  readonly x509: WorkloadX509Source
  readonly wit: WorkloadWitSource
  readonly jwt: WorkloadJwtSource
  readonly bundles: WorkloadBundleSource
  /** Calls `listener` after each change of a credential or bundle. Returns a function that ends that. */
  onUpdate(listener: () => void): () => void
  /** Ends all streams and forgets all keys. Without it the process does not end by itself. */
  close(): void
  [Symbol.dispose](): void
}

/**
 * Makes the sources of these streams and waits until they have answered. Closes the streams when that fails.
 *
 * @param more - Members that the result has, too.
 */
export async function followIdentity<More extends object>(
  streams: WorkloadStreams,
  options: IdentityOptions,
  more: More,
): Promise<More & ConnectedIdentity> {
  const { spiffeId, readyTimeout = 30_000, onWaiting = warnOfWaiting } = options
  const choose: ChooseIdentity = ({ id }) => spiffeId === undefined || id === spiffeId
  const x509 = new WorkloadX509Source(streams, { ...options, choose })
  const wit = new WorkloadWitSource(streams, { ...options, choose })
  const jwt = new WorkloadJwtSource(streams, options)
  const bundles = new WorkloadBundleSource(streams, options)
  const subscriptions = [x509.subscription, wit.subscription, ...bundles.subscriptions]

  const close = (): void => {
    for (const source of [x509, wit, jwt, bundles]) source.close()
    streams.close()
  }
  const identities = (): readonly WorkloadId[] => [
    ...x509.x509Svids().map((svid) => svid.spiffeId),
    ...wit.wits().map(({ subject }) => subject),
  ]
  const identity: More & ConnectedIdentity = {
    ...more,
    get spiffeId() {
      const given = identities()
      const own = given.find((id) => choose({ id, hint: '' }))
      if (own !== undefined) return own
      if (given.length > 0) throw new AimsError('provisioning.not_ready', NOT_AMONG_THEM)
      throw notReady(x509.subscription.lastError)
    },
    x509,
    wit,
    jwt,
    bundles,
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
  identity.onUpdate(() => {
    const now = identities().join()
    // A token of an identity that is gone must not outlive it.
    if (now !== before) jwt.forget()
    before = now
  })

  try {
    await settled(subscriptions, readyTimeout, onWaiting)
    return identity
  } catch (error) {
    close()
    throw error
  }
}

const NOT_AMONG_THEM =
  'this process has identities, and none is the one that spiffeId names: see aims svid fetch, and register it for the selectors of this process'

// Ready when every stream has been answered and the bundles, which every identity gets, are there. A stream that was
// refused a moment before the identity came is asked again: else it would look as if that kind of credential were missing.
async function settled(
  subscriptions: readonly Answering[],
  timeout: number,
  onWaiting: (reason: AimsError) => void,
): Promise<void> {
  const [x509, wit, ...bundles] = subscriptions
  const answers = subscriptions.map((one) => one.answered())
  const late = new AbortController()
  // All bundles missing, or one kind that this Workload API does not have would look like none.
  void Promise.all(bundles.map((one) => one.failed(late.signal))).then((reasons) => {
    const [reason] = reasons
    if (reason !== undefined && !reasons.includes(undefined)) onWaiting(reason)
  })
  try {
    await Promise.race([
      Promise.all([...answers, Promise.any(bundles.map((one) => one.ready()))]).then(() =>
        Promise.all([x509?.answeredAnew(), wit?.answeredAnew()]),
      ),
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
  answeredAnew(): Promise<void>
  ready(): Promise<unknown>
  failed(signal: AbortSignal): Promise<AimsError | undefined>
}

/** Says what is waited for as a warning of the process. */
export function warnOfWaiting({ code, message }: AimsError): void {
  process.emitWarning(`still waiting for an identity: ${message} [${code}]`, { code: 'AIMS_WAITING' })
}
