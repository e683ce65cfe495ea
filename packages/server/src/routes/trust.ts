import type { SpiffeId } from 'aims/identifiers'
import type { EntryRegistry } from '../entries.ts'
import type { Caller, Route } from '../http/route.ts'
import type { TrustBody, TrustTeller } from '../trust.ts'

/** How long a workload is kept waiting for a change, in milliseconds. */
const LONG_POLL = 25_000

/** What workloads without an agent follow between two attestations. */
export function trustRoute(teller: TrustTeller, entries: Pick<EntryRegistry, 'findBySubject'>): Route {
  const told = ({ name, method }: Caller): TrustBody =>
    teller.tell(method === 'mtls' ? (entries.findBySubject(name as SpiffeId) ?? null) : undefined)
  return {
    method: 'GET',
    path: '/v1/trust',
    access: 'public',
    entrances: ['https'],
    summary:
      'Gives the bundle and whose signatures stand, and who comes with an X.509-SVID the bundles that its entry names; with after, waits for another state.',
    query: { after: 'the state that the workload has' },
    handle: async ({ caller, query: { after }, signal }) => {
      const until = performance.now() + LONG_POLL
      for (;;) {
        const seen = teller.revision()
        const body = told(caller)
        const timeout = until - performance.now()
        const isDone = body.trust !== after || signal.aborted || timeout <= 0
        if (isDone || !(await teller.wait(seen, { timeout, signal }))) return { status: 200, body }
      }
    },
  }
}
