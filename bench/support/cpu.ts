import type { Measured } from '../harness.ts'

/** Something whose processor time is measured: `use` does it so many times and tells the microseconds it took. */
export interface CpuCase {
  readonly name: string
  /** How many times it is used before it is measured. Default: as all others. */
  readonly warmUp?: number
  use(times: number): Promise<number>
}

/** Runs all cases in turn and compares the processor time of each with that of the first in the same round. */
export async function cpuRounds(
  cases: readonly CpuCase[],
  { rounds, times, warmUp = times }: { readonly rounds: number; readonly times: number; readonly warmUp?: number },
): Promise<readonly Measured[]> {
  const isQuick = process.env.AIMS_BENCH_QUICK === '1'
  const took = cases.map((): number[] => [])
  for (const one of cases) await one.use(isQuick ? times : (one.warmUp ?? warmUp))
  for (let round = 0; round < (isQuick ? 1 : rounds); round += 1) {
    for (const [index, one] of cases.entries()) took[index]?.push((await one.use(times)) / times)
  }
  return cases.map(({ name }, index) => {
    const mine = took[index] ?? []
    const ratios = mine.map((time, round) => time / (took[0]?.[round] ?? Number.NaN))
    return { name, ratio: median(ratios), microseconds: median(mine) }
  })
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
