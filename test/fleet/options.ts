import { parseArgs } from 'node:util'

/** What a run is made of. */
export interface FleetOptions {
  readonly minutes: number
  readonly workloads: number
  readonly agents: number
  /** Seconds between two keys of the same kind, authorities included. */
  readonly rotate: number
  /** Workloads that share a process. Each has an identity, an entry and connections of its own all the same. */
  readonly perProcess: number
  /** Milliseconds between two requests of one workload. */
  readonly pace: number
  readonly json: boolean
}

const USAGE = `usage: npm run fleet -- [options]
  --minutes N       how long keys rotate under traffic (default 10)
  --workloads N     altogether (default 200)
  --agents N        on other hosts, so to speak: processes that know the server by HTTPS alone (default 5)
  --rotate SECONDS  between two keys of the same kind, authorities included (default 20)
  --per-process N   workloads that share a process (default 8)
  --pace MS         between two requests of one workload (default 2000)
  --json            the result as one line of JSON`

/** Reads the command line. @throws Error with the usage, for what is none of it */
export function readOptions(args: readonly string[]): FleetOptions {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: text,
      workloads: text,
      agents: text,
      rotate: text,
      'per-process': text,
      pace: text,
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`)
    process.exit()
  }
  const number = (name: Exclude<keyof typeof values, 'json' | 'help'>, otherwise: number, least: number): number => {
    const value = Number(values[name] ?? otherwise)
    if (!(value >= least)) throw new Error(`--${name} is a number of at least ${least}\n${USAGE}`)
    return value
  }
  return {
    minutes: number('minutes', 10, 0.1),
    workloads: number('workloads', 200, 4),
    agents: number('agents', 5, 2),
    // Below, a successor has no time to reach everybody before it signs.
    rotate: number('rotate', 20, 10),
    perProcess: number('per-process', 8, 1),
    pace: number('pace', 2000, 10),
    json: values.json === true,
  }
}
