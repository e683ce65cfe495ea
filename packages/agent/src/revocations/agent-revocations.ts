import { AimsError, type ApiClient, type Clock } from 'aims/base'
import { type BundleSource, type RevocableCredential, type RevocationSource, requireNotRevoked } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import { followRevocations, type RevocationRelay } from 'aims/provisioning'

/** What is revoked, as the agent knows it, and passes it on to its workloads. */
export interface AgentRevocations extends RevocationRelay, RevocationSource {
  /** That it is known to be revoked. False also when nothing is known: for what the agent itself was given. */
  isRevoked(credential: RevocableCredential): boolean
  /** Refuses what is revoked, and all while no current list says anything. @throws {@link AimsError} `credential.revo*` */
  requireGood(credential: RevocableCredential): void
  /** Resolves with the first list, or when there was none to be had. */
  readonly settled: Promise<void>
  close(): void
}

/** What it works with. */
export interface AgentRevocationsOptions {
  readonly server: Pick<ApiClient, 'send'>
  readonly trustDomain: TrustDomain
  readonly bundles: BundleSource
  readonly clock: Clock
  /** Seconds. */
  readonly maxStaleness: number
  log(line: string): void
  /** Told when something else is revoked. */
  changed(): void
}

/** Milliseconds that a workload is kept waiting for another list. */
const LONG_POLL = 15_000
/** Times that the key of a list may be missing in silence. */
const PATIENCE = 3

/** Follows the lists of the server. They stay signed: workloads check them as if the server had given them. */
export function followForWorkloads(options: AgentRevocationsOptions): AgentRevocations {
  const { clock, log, changed } = options
  const waiting = new Set<() => void>()
  const settled = Promise.withResolvers<void>()
  let newest: string | undefined
  let complaint = ''
  const followed = followRevocations({
    ...options,
    onList(list) {
      newest = list
      complaint = ''
      settled.resolve()
      for (const wake of [...waiting]) wake()
    },
    onFailure({ code, message }, failures) {
      settled.resolve()
      // The bundle comes by another request, and may be behind the list.
      if (code === 'revocation.untrusted' && failures <= PATIENCE) return
      // The server is away: that is told by whoever follows its entries, too.
      if (code !== complaint) log(`aims agent: no newer revocation list: ${code}: ${message}`)
      complaint = code
    },
  })
  followed.onChange(changed)

  const wait = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        waiting.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, LONG_POLL)
      waiting.add(done)
      signal?.addEventListener('abort', done, { once: true })
    })
  return {
    settled: settled.promise,
    statusOf: followed.statusOf,
    isRevoked: (credential) => followed.statusOf(credential, clock()) === 'revoked',
    requireGood: (credential) => requireNotRevoked(followed, credential, clock()),
    async fetchRevocationList({ sequence, issuedAt }, signal) {
      const isSeen = followed.current?.sequence === sequence && followed.current.issuedAt === issuedAt
      if (isSeen || newest === undefined) await wait(signal)
      if (newest === undefined) throw new AimsError('operation.server_unreachable', 'there is no list yet')
      return newest
    },
    close() {
      followed.close()
      settled.resolve()
      for (const wake of [...waiting]) wake()
    },
  }
}
