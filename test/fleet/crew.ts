// A process with some workloads of the fleet: each has its identity, its connections to the agent, a service, and calls
// others all the time. The driver speaks to it over IPC; no credential goes that way.
import { setTimeout as sleep } from 'node:timers/promises'
import { AimsError, systemClock } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { followRevocations, identityServer } from 'aims/provisioning'
import { Caller } from './credentials.ts'
import { KINDS, type Order, type Peer } from './protocol.ts'
import { StaleConnectionError } from './request.ts'
import { Tally } from './tally.ts'
import { Thief } from './thief.ts'
import { connect, type FleetWorkload, serve } from './workload.ts'

/** How many others each workload calls in turn. */
const NEIGHBOURS = 3

const tally = new Tally()
const workloads: FleetWorkload[] = []
let calling = new AbortController()
let calls: Promise<unknown> = Promise.resolve()
let pace = 1000
let thief: Thief | undefined

const orders = {
  async begin({ crew }: Extract<Order, { order: 'begin' }>): Promise<readonly Peer[]> {
    pace = crew.pace
    const connected = await Promise.all(crew.spiffeIds.map((id) => connect(crew, id)))
    const [first] = connected
    if (first === undefined) throw new TypeError('a crew has a workload')
    // One list for the process, as a service has it that several workloads share.
    const trustDomain = parseTrustDomain(crew.trustDomain)
    const { bundles } = first
    const server = identityServer({ trustDomain, server: crew.server, bundle: bundles, clock: systemClock })
    const revocations = followRevocations({ server, trustDomain, bundles, maxStaleness: 60 })
    await revocations.ready()
    for (const one of connected) workloads.push(await serve(one, crew, { tally, revocations }))
    return workloads.map(({ spiffeId, port }) => ({ spiffeId, port }))
  },
  async call({ peers }: Extract<Order, { order: 'call' }>): Promise<true> {
    await stopCalling()
    calling = new AbortController()
    calls = Promise.all(workloads.map((one) => call(one, peers, calling.signal)))
    return true
  },
  count: async () => tally.count(),
  async steal({ peers }: Extract<Order, { order: 'steal' }>): Promise<true> {
    await stopCalling()
    thief = await Thief.take(workloads, peers)
    return true
  },
  async loot() {
    if (thief === undefined) throw new TypeError('nothing was stolen')
    return thief.loot()
  },
  async giveUp(): Promise<true> {
    await thief?.giveUp()
    return true
  },
}

// Requests that are under way are answered before anything is taken away from anybody.
async function stopCalling(): Promise<void> {
  calling.abort()
  await calls
}

// One request after the other, of each kind to each neighbour in turn. Every one counts.
async function call({ spiffeId, shown }: FleetWorkload, peers: readonly Peer[], signal: AbortSignal): Promise<void> {
  // Made when they are first used: a workload that has lost its identity by then has failed, and its crew goes on.
  const callers = new Map<Peer, Caller>()
  const callerOf = (peer: Peer | undefined): Caller => {
    if (peer === undefined) throw new TypeError('a workload has neighbours')
    const caller = callers.get(peer) ?? new Caller(shown, peer)
    callers.set(peer, caller)
    return caller
  }
  const around = neighbours(spiffeId, peers)
  await pauseFor(pace * Math.random(), signal)
  for (let number = 0; !signal.aborted; number += 1) {
    const began = performance.now()
    const kind = KINDS[number % KINDS.length] ?? 'mtls'
    const peer = around[Math.floor(number / KINDS.length) % around.length]
    tally.requests += 1
    try {
      const caller = callerOf(peer)
      const answer = await attempt(() => caller.call(kind, number))
      if (answer.status !== 200) tally.failed(`${kind} status ${answer.status}`)
      else if (answer.body !== spiffeId) tally.failed(`${kind} taken for somebody else`)
    } catch (error) {
      tally.failed(
        `${kind} ${AimsError.is(error) ? `${error.code}: ${error.message}` : error instanceof Error ? error.message : 'error'}`,
      )
    }
    await pauseFor(Math.max(0, pace - (performance.now() - began)), signal)
  }
  for (const caller of callers.values()) caller.close()
}

// A connection that the other side has just closed says nothing about the request, which never arrived.
async function attempt<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    if (!(error instanceof StaleConnectionError)) throw error
    tally.reconnected += 1
    return await request()
  }
}

function neighbours(spiffeId: string, peers: readonly Peer[]): readonly Peer[] {
  const at = peers.findIndex((peer) => peer.spiffeId === spiffeId)
  // Far apart in the list: mostly workloads of other agents.
  const step = Math.max(1, Math.floor(peers.length / (NEIGHBOURS + 1)))
  return Array.from({ length: NEIGHBOURS }, (_, n) => peers[(at + 1 + (n + 1) * step) % peers.length]).filter(
    (peer) => peer !== undefined && peer.spiffeId !== spiffeId,
  ) as readonly Peer[]
}

const pauseFor = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(milliseconds, undefined, { signal }).catch(() => undefined)

process.on('message', (order: Order) => {
  const work: Promise<unknown> = orders[order.order](order as never)
  work.then(
    (answer) => process.send?.({ to: order.order, answer }),
    (error: unknown) => process.send?.({ to: order.order, error: AimsError.is(error) ? error.code : String(error) }),
  )
})
process.on('disconnect', () => process.exit())
