import { settle } from './support/table.ts'

/** Set by `tools/bench.ts --quick`: only show that the benchmarks run. */
const QUICK = process.env.AIMS_BENCH_QUICK === '1'

/** One thing to measure. `run` does it `times` times, inline, so that the loop costs nothing; it may be asynchronous. */
export interface BenchCase {
  readonly name: string
  run(times: number): void | Promise<void>
}

export interface Measured {
  readonly name: string
  /** Median over the rounds of this case's time divided by the first case's time in the same round. */
  readonly ratio: number
  /** Median, microseconds. Information only: it depends on the machine. */
  readonly microseconds: number
}

/** How much is measured. */
interface RoundRobinOptions {
  /** Default 9. */
  readonly rounds?: number
  /** Of one case in one round. Default 200. */
  readonly ms?: number
  /** The time that passes, and not that of the processor. */
  readonly clock?: boolean
  /** How many times each case runs before it is measured, beside the search for how often it fits into `ms`. Default 0. */
  readonly warmUp?: number
}

/** Times after which the checks of tokens are compiled for good. */
export const WARM = 20_000
const WARM_UP_TURNS = 4

/**
 * Runs all cases in turn, round after round, and compares each with the first of the same round: what disturbs the
 * machine then disturbs all of them. Measures the processor time of the whole process, garbage collection included, so
 * that time in which others have the processor does not count; with `clock`, the time that passes, where waiting for a
 * disk is part of the cost.
 */
export async function roundRobin(
  cases: readonly BenchCase[],
  options: RoundRobinOptions = {},
): Promise<readonly Measured[]> {
  const { rounds, ms, warmUp } = QUICK
    ? { rounds: 2, ms: 20, warmUp: 0 }
    : { rounds: 9, ms: 200, warmUp: 0, ...options }
  const microseconds = options.clock === true ? timePassed : processorTime
  const prepared: { name: string; run: BenchCase['run']; times: number; took: number[] }[] = []
  for (const one of cases) {
    prepared.push({ name: one.name, run: one.run.bind(one), times: await timesFor(one, ms, microseconds), took: [] })
  }
  // In turn, too: what one case compiles, the next may make the engine compile anew.
  for (let turn = 0; turn < WARM_UP_TURNS && warmUp > 0; turn += 1) {
    for (const one of prepared) await one.run(Math.ceil(warmUp / WARM_UP_TURNS))
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const one of prepared) one.took.push((await microseconds(() => one.run(one.times))) / one.times)
  }
  const base = prepared[0]?.took ?? []
  return prepared.map(({ name, took }) => ({
    name,
    ratio: median(took.map((time, round) => time / (base[round] ?? Number.NaN))),
    microseconds: median(took),
  }))
}

// Also warms the case up.
async function timesFor(one: BenchCase, ms: number, microseconds: typeof timePassed): Promise<number> {
  let times = 16
  for (;;) {
    const took = await microseconds(() => one.run(times))
    if (took > ms * 250) return Math.max(1, Math.round((times * ms * 1000) / took))
    times *= 2
  }
}

async function processorTime(action: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await action()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

async function timePassed(action: () => void | Promise<void>): Promise<number> {
  const start = process.hrtime.bigint()
  await action()
  return Number(process.hrtime.bigint() - start) / 1000
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** A goal on a ratio; CI allows 15 % slack. */
export interface Goal {
  readonly id: string
  readonly case: string
  /** The ratio must be at most this. */
  readonly atMost: number
}

/** Prints the table, and a line per goal. Sets the exit code when a goal is missed by more than the slack. */
export function report(title: string, measured: readonly Measured[], goals: readonly Goal[] = []): void {
  console.log(title)
  for (const { name, ratio, microseconds: us } of measured) {
    console.log(`  ${ratio.toFixed(3).padStart(8)}x  ${us.toFixed(1).padStart(9)} us  ${name}`)
  }
  const [base] = measured
  for (const { id, case: name, atMost } of goals) {
    const found = measured.find((one) => one.name === name)
    if (found === undefined) throw new TypeError(`no case is named ${name}`)
    settle({ id, measured: found.ratio, unit: 'x', against: base?.name ?? '', limit: { atMost } })
    if (!QUICK && found.ratio > atMost * 1.15) process.exitCode = 1
  }
}
