// npm run fleet: one identity server, agents on other hosts, and a fleet of workloads that call each other all the time,
// while every key there is - of workloads, agents and authorities - is exchanged every few seconds. Each request is
// verified by a real authenticator over TLS, with the bundles and revocations of that moment. Then one agent is banned,
// and the time is taken until nobody accepts what it was given. Exit code 1 when anything failed.
import { setTimeout as sleep } from 'node:timers/promises'
import { rotateAuthorities } from './authorities.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type FleetOptions, readOptions } from './options.ts'
import { orderOf } from './protocol.ts'
import { failures, line, type Totals, totalsOf } from './report.ts'
import { type Revoked, revokeAgent } from './revoke.ts'

/** Seconds between two lines. */
const REPORT = 30
/** Milliseconds that others go on after the ban: it must not cost them anything. */
const AFTERMATH = 5000

const options = readOptions(process.argv.slice(2))
const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`)
const fleet = await startFleet(options, say)
try {
  process.exitCode = (await run(fleet, options)) ? 0 : 1
} finally {
  await fleet.close()
}

async function run(fleet: Fleet, options: FleetOptions): Promise<boolean> {
  const peers = fleet.crews.flatMap((crew) => crew.peers)
  for (const { child } of fleet.crews) await orderOf(child, { order: 'call', peers })
  const authorities = rotateAuthorities(fleet.admin, { period: options.rotate, publishAhead: fleet.publishAhead })
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  const before = await totalsOf(fleet, authorities.counts)
  const end = options.minutes * 60
  while (seconds() < end) {
    await sleep(Math.min(REPORT, end - seconds()) * 1000)
    say(line(seconds(), await totalsOf(fleet, authorities.counts)))
  }
  await authorities.stop()
  const totals = await totalsOf(fleet, authorities.counts)
  const took = seconds()
  sayCost(before, totals, took, options)

  const revoked = await revokeAgent(fleet, 0).catch((error: unknown) => {
    say(`the ban could not be tried: ${error instanceof Error ? error.message : 'unknown'}`)
    return undefined
  })
  if (revoked !== undefined) sayRevoked(revoked)
  await sleep(AFTERMATH)
  const others = { ...fleet, crews: fleet.crews.filter(({ agent }) => agent !== 0) }
  const after = await totalsOf(others, authorities.counts)
  const failed = failures(totals)
  const unexpected = failuresOf(after, isNotOfThieves)
  say(`afterwards, among the others: ${after.requests} requests, ${unexpected} failed`)
  for (const one of [totals, after]) for (const [why, count] of Object.entries(one.failed)) say(`  ${count} ${why}`)
  const isComplete = hasRotated(totals) && totals.served === options.workloads
  const ok = failed === 0 && unexpected === 0 && isComplete && revoked?.stillServed === 0
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ ok, seconds: took, ...totals, failures: failed, revoked, afterwards: after.failed })}\n`,
    )
  say(ok ? 'ok' : 'FAILED')
  return ok
}

function hasRotated({ rotated: { workloads, authorities } }: Totals): boolean {
  return [...Object.values(workloads), ...Object.values(authorities)].every((count) => count > 0)
}

// Verifiers count what they refuse; what the thief was refused is as it must be.
function isNotOfThieves(reason: string): boolean {
  return reason !== 'refused credential.revoked'
}

function failuresOf({ failed }: Totals, counts: (reason: string) => boolean): number {
  return failures({ failed: Object.fromEntries(Object.entries(failed).filter(([reason]) => counts(reason))) })
}

function sayCost(before: Totals, after: Totals, seconds: number, { workloads, agents }: FleetOptions): void {
  const percent = (used: number, by: number): string => ((used / seconds / by) * 100).toFixed(2)
  const cpu = (who: keyof Totals['cpu']): number => after.cpu[who] - before.cpu[who]
  say(
    `processor time: ${percent(cpu('workloads'), workloads)} % of a core per workload, traffic included; ` +
      `${percent(cpu('agents'), agents)} % per agent; ${percent(cpu('server'), 1)} % for the server`,
  )
  say(`connections that were found closed and made again: ${after.reconnected}`)
}

function sayRevoked({ identities, verifiers, tried, lastAccepted, stillServed }: Revoked): void {
  const times = Object.entries(lastAccepted).map(([kind, milliseconds]) => `${kind} ${milliseconds} ms`)
  say(`one agent banned with --revoke: ${identities} identities on the list, ${tried} tries at ${verifiers} verifiers`)
  say(`from the ban to the last request that anybody accepted: ${times.join(', ')}; then all were refused`)
  say(`workloads of that agent with an identity: ${stillServed}`)
}
