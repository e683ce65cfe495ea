import { setTimeout as sleep } from 'node:timers/promises'
import { AimsError } from 'aims/base'
import { bundleSource } from 'aims/credentials'
import { parseWorkloadSpiffeId, trustDomainOf } from 'aims/identifiers'
import { AUDIENCE, Caller } from './credentials.ts'
import { KINDS, type Kind, type Loot, type Peer } from './protocol.ts'
import type { FleetWorkload } from './workload.ts'

/** Milliseconds between two tries at one verifier. */
const PAUSE = 50

/** How a connection ends that the verifier does not want. Anything else is our own failure, and no refusal. */
const BROKEN_OFF: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE'])

/** Somebody who has copied all credentials of the workloads of a machine, and tries them on the services of others. */
export class Thief {
  readonly #lastAccepted: { [kind in Kind]: number } = { mtls: 0, 'wit+wpt': 0, 'jwt-svid': 0 }
  readonly #refused: { readonly [kind in Kind]: Map<string, number> } = {
    mtls: new Map(),
    'wit+wpt': new Map(),
    'jwt-svid': new Map(),
  }
  #tried = 0
  #failure: unknown
  readonly #givenUp = new AbortController()
  #trying: readonly Promise<void>[] = []

  /** Copies credentials and begins to use them. Resolves when each kind was accepted by each peer. */
  static async take(workloads: readonly FleetWorkload[], peers: readonly Peer[]): Promise<Thief> {
    const thief = new Thief()
    const callers = await Promise.all(
      peers.map(async (peer, index) => {
        const victim = workloads[index % workloads.length]
        if (victim === undefined) throw new TypeError('a crew has a workload')
        const caller = new Caller(await copyOf(victim), peer)
        for (const kind of KINDS) {
          if (!(await thief.#try(caller, kind, peer))) throw new Error(`stolen, and not accepted before: ${kind}`)
        }
        return { caller, peer }
      }),
    )
    thief.#trying = callers.map(({ caller, peer }) => thief.#goOn(caller, peer))
    return thief
  }

  /** Ends after the tries that are under way. */
  async giveUp(): Promise<void> {
    this.#givenUp.abort()
    await Promise.all(this.#trying)
  }

  loot(): Loot {
    if (this.#failure !== undefined) throw this.#failure
    const fewest = (kind: Kind): number => Math.min(...this.#refused[kind].values())
    return {
      tried: this.#tried,
      lastAccepted: this.#lastAccepted,
      refusedSince: { mtls: fewest('mtls'), 'wit+wpt': fewest('wit+wpt'), 'jwt-svid': fewest('jwt-svid') },
    }
  }

  async #goOn(caller: Caller, peer: Peer): Promise<void> {
    while (!this.#givenUp.signal.aborted) {
      for (const kind of KINDS) await this.#try(caller, kind, peer)
      await sleep(PAUSE)
    }
    caller.close()
  }

  async #try(caller: Caller, kind: Kind, peer: Peer): Promise<boolean> {
    this.#tried += 1
    const isAccepted = await caller.call(kind, this.#tried).then(
      ({ status }) => status === 200,
      (error: NodeJS.ErrnoException) => {
        if (!BROKEN_OFF.has(error.code ?? '')) this.#failure ??= error
        return false
      },
    )
    const refused = this.#refused[kind]
    refused.set(peer.spiffeId, isAccepted ? 0 : (refused.get(peer.spiffeId) ?? 0) + 1)
    if (isAccepted) this.#lastAccepted[kind] = Date.now()
    return isAccepted
  }
}

async function copyOf({ workload, spiffeId }: FleetWorkload) {
  const trustDomain = trustDomainOf(parseWorkloadSpiffeId(spiffeId))
  const bundle = workload.bundles.bundleFor(trustDomain)
  if (bundle === undefined) throw new AimsError('x509.untrusted_domain', 'a workload without a bundle')
  // What the workload keeps may have little time left. An agent gives half of a life at least, so that a token is refused
  // because it was revoked, and not for its age.
  const [jwt] = await workload.client.fetchJwtSvids({ audience: AUDIENCE, spiffeId: parseWorkloadSpiffeId(spiffeId) })
  if (jwt === undefined) throw new TypeError('a workload without a token')
  const [svid, wit] = [workload.x509.x509Svid(), workload.wit.wit()]
  return {
    x509: { x509Svid: () => svid },
    wit: { wit: () => wit },
    jwt: async () => jwt.token,
    bundles: bundleSource(bundle),
  }
}
