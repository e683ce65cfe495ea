import { setTimeout as sleep } from 'node:timers/promises'
import { isJsonObject, type JsonObject } from 'aims/base'
import type { Crew, Fleet } from './fleet.ts'
import { KINDS, type Kind, orderOf } from './protocol.ts'

/** How the end of an agent went. */
export interface Revoked {
  /** Identities on the list, that of the agent included. */
  readonly identities: number
  /** Verifiers, and attempts with stolen credentials at them. */
  readonly verifiers: number
  readonly tried: number
  /** Milliseconds from the request to ban until the last attempt that any verifier accepted; 0: none was after it. */
  readonly lastAccepted: { readonly [kind in Kind]: number }
  /** Workloads of the banned agent that still have an identity. */
  readonly stillServed: number
}

/** Times that every verifier must have refused in a row, for each kind. */
const ENOUGH = 10
/** Milliseconds: below the time that the stolen credentials have left. */
const PATIENCE = 8000

/**
 * Bans one agent together with all that it served, while somebody uses copies of the credentials of its workloads at one
 * service of every other process. Rotation of authorities must have ended, or the thief would not recognise services.
 */
export async function revokeAgent(fleet: Fleet, agent: number): Promise<Revoked> {
  const taken = fleet.crews.filter((crew) => crew.agent === agent)
  const others = fleet.crews.filter((crew) => crew.agent !== agent)
  const verifiers = others.flatMap(({ peers }) => peers.slice(0, 1))
  const id = await idOf(fleet, agent)
  // Nobody calls them any more, and what they call with from now on is stolen.
  const remaining = others.flatMap(({ peers }) => peers)
  for (const { child } of others) await orderOf(child, { order: 'call', peers: remaining })
  await Promise.all(taken.map(({ child }) => orderOf(child, { order: 'steal', peers: verifiers })))

  const began = Date.now()
  const answer = await fleet.api.send({ method: 'POST', path: `/v1/agents/${id}/ban?revoke=true` })
  if (!isJsonObject(answer) || !Array.isArray(answer.revoked)) throw new TypeError('nothing was revoked')
  const loot = await settled(taken, began)
  await Promise.all(taken.map(({ child }) => orderOf(child, { order: 'giveUp' })))
  const counts = await Promise.all(taken.map(({ child }) => orderOf(child, { order: 'count' })))
  const last = (kind: Kind): number => Math.max(0, ...loot.map(({ lastAccepted }) => lastAccepted[kind] - began))
  return {
    identities: answer.revoked.length,
    verifiers: verifiers.length,
    tried: loot.reduce((sum, { tried }) => sum + tried, 0),
    lastAccepted: { mtls: last('mtls'), 'wit+wpt': last('wit+wpt'), 'jwt-svid': last('jwt-svid') },
    stillServed: counts.reduce((sum, { served }) => sum + served, 0),
  }
}

async function settled(taken: readonly Crew[], began: number) {
  for (;;) {
    const loot = await Promise.all(taken.map(({ child }) => orderOf(child, { order: 'loot' })))
    if (loot.every(({ refusedSince }) => KINDS.every((kind) => refusedSince[kind] >= ENOUGH))) return loot
    if (Date.now() - began > PATIENCE) throw new Error('a verifier still accepts what was revoked, or cannot be asked')
    await sleep(100)
  }
}

async function idOf({ api }: Fleet, agent: number): Promise<string> {
  const answer = await api.send({ method: 'GET', path: '/v1/agents' })
  const agents = isJsonObject(answer) && Array.isArray(answer.agents) ? answer.agents.filter(isJsonObject) : []
  const isMeant = ({ selectors }: JsonObject): boolean =>
    Array.isArray(selectors) && selectors.includes(`join-token:name:agent-${agent}`)
  return String(agents.find(isMeant)?.id)
}
