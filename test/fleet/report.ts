import type { AuthorityRotation } from './authorities.ts'
import type { Fleet } from './fleet.ts'
import { cpuOf } from './processes.ts'
import { type Count, orderOf } from './protocol.ts'

/** The whole fleet at one moment. */
export interface Totals {
  readonly requests: number
  readonly verified: Count['verified']
  readonly failed: Count['failed']
  readonly reconnected: number
  readonly rotated: { readonly workloads: Count['rotated']; readonly authorities: AuthorityRotation['counts'] }
  readonly served: number
  /** Seconds of processor time: all workloads together, the server, all agents together. */
  readonly cpu: { readonly workloads: number; readonly server: number; readonly agents: number }
}

/** Asks everybody. */
export async function totalsOf(fleet: Fleet, authorities: AuthorityRotation['counts']): Promise<Totals> {
  const counts = await Promise.all(fleet.crews.map(({ child }) => orderOf(child, { order: 'count' })))
  return {
    requests: sum(counts, (one) => one.requests),
    verified: merged(counts.map((one) => one.verified)) as Totals['verified'],
    failed: merged(counts.map((one) => one.failed)),
    reconnected: sum(counts, (one) => one.reconnected),
    rotated: { workloads: merged(counts.map((one) => one.rotated)) as Count['rotated'], authorities },
    served: sum(counts, (one) => one.served),
    cpu: {
      workloads: sum(counts, (one) => one.cpu),
      server: cpuOf(fleet.server),
      agents: sum(fleet.agents, cpuOf),
    },
  }
}

/** Failures altogether. */
export function failures({ failed }: Pick<Totals, 'failed'>): number {
  return sum(Object.values(failed), (one) => one)
}

/** One line about what happened until now. */
export function line(seconds: number, totals: Totals): string {
  const { requests, verified, rotated } = totals
  const each = (counts: object): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  return (
    `${seconds.toFixed(0).padStart(4)} s  requests ${requests}  verified ${sum(Object.values(verified), (one) => one)} ` +
    `(${each(verified)})  failed ${failures(totals)} ${failures(totals) === 0 ? '' : `(${each(totals.failed)}) `} new keys of workloads: ${each(rotated.workloads)}; ` +
    `of authorities: ${each(rotated.authorities)}`
  )
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}

function merged(all: readonly { readonly [name: string]: number }[]): { readonly [name: string]: number } {
  const total: { [name: string]: number } = {}
  for (const one of all) for (const [name, count] of Object.entries(one)) total[name] = (total[name] ?? 0) + count
  return total
}
