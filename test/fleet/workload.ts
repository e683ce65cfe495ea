import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createAuthenticator, createMemoryReplayStore, rotatingServer, serverTlsOptions } from 'aims/authentication'
import { noObserver } from 'aims/base'
import { isMemberOf, parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'
import { protect } from 'aims/node'
import { connectWorkload, type FollowedRevocations, type Workload } from 'aims/provisioning'
import { AUDIENCE, type Shown } from './credentials.ts'
import type { CrewOptions, Kind, Peer } from './protocol.ts'
import type { Tally } from './tally.ts'

/** One workload: a service for the others, and a caller of them. */
export interface FleetWorkload extends Peer {
  readonly workload: Workload
  readonly shown: Shown
}

/** Waits for the agent, and for the entry, that long: a whole fleet starts at a time. */
const READY = 180_000

/** Connects a workload to its agent. */
export function connect({ address }: CrewOptions, spiffeId: string): Promise<Workload> {
  const id = parseWorkloadSpiffeId(spiffeId)
  return connectWorkload({ address, spiffeId: id, readyTimeout: READY, onWaiting: () => undefined })
}

/** Opens the service of a workload: every request is verified by all that it knows. */
export async function serve(
  workload: Workload,
  { trustDomain: name }: CrewOptions,
  { tally, revocations }: { readonly tally: Tally; readonly revocations: FollowedRevocations },
): Promise<FleetWorkload> {
  const { x509, wit, jwt, bundles } = workload
  const peer = isMemberOf(parseTrustDomain(name))
  const authenticator = createAuthenticator({
    bundles,
    revocations,
    audiences: [AUDIENCE],
    peer,
    methods: ['wit+wpt', 'mtls', 'jwt-svid'],
    replays: createMemoryReplayStore({ capacity: 10_000 }),
    observer: { record: async ({ reasons = [] }) => tally.refused(reasons) },
  })
  const handler = protect(authenticator, (_, response, { principal: { id, method } }) => {
    tally.verified(method as Kind)
    response.end(id)
  })
  const server = createServer({ ...serverTlsOptions(x509), keepAliveTimeout: 60_000 }, handler)
  rotatingServer(server, x509, { bundles, revocations, peer, admitWithoutCertificate: true, observer: noObserver })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  tally.watch(workload)
  const token = async (): Promise<string> => {
    const svid = await jwt.jwtSvid(AUDIENCE)
    tally.used(workload, svid.token)
    return svid.token
  }
  return { spiffeId: workload.spiffeId, port, workload, shown: { x509, wit, bundles, jwt: token } }
}
