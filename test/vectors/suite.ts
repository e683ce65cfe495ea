import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** One third-party case. `run` says what we do with it; it must not throw for input that is merely refused. */
export interface Case {
  readonly id: string
  readonly expected: 'accept' | 'reject' | 'either'
  /** `accept`, or `reject` with the code we refuse it with. */
  run(): Outcome | Promise<Outcome>
  /** The code a refusal must carry, where the source names one. */
  readonly code?: string
}

export type Outcome = { readonly accepted: true } | { readonly accepted: false; readonly code: string }

export interface Expectations {
  /** Case id -> why we answer otherwise than the source expects. A stale line fails the suite. */
  readonly deviations: { readonly [id: string]: string }
}

const here = fileURLToPath(new URL('.', import.meta.url))
/** Third-party data lies beside the repository and is not part of it. */
const VECTORS: string = process.env.AIMS_VECTORS ?? resolve(here, '../../../shared/vectors')

/**
 * Runs a suite of third-party cases against its expectation file `expectations/NAME.json`.
 * Fails for an unexplained deviation, a stale explanation, and for zero cases. Skipped, with the reason, without the data.
 */
export function suite(
  name: string,
  folder: string,
  load: (dir: string) => readonly Case[] | Promise<readonly Case[]>,
): void {
  const dir = resolve(VECTORS, folder)
  const skip = existsSync(dir) ? false : `no third-party data at ${folder}: set AIMS_VECTORS`
  test(`suite ${name}`, { skip }, async (t) => {
    const cases = await load(dir)
    const deviations = { ...readExpectations(name).deviations }
    const wrong: string[] = []
    for (const one of cases) {
      const outcome = await one.run()
      const answer = outcome.accepted ? 'accept' : 'reject'
      const right =
        (one.expected === 'either' || one.expected === answer) &&
        (outcome.accepted || one.code === undefined || one.code === outcome.code)
      if (right) continue
      const said = outcome.accepted ? 'accepted' : `refused with ${outcome.code}`
      if (deviations[one.id] === undefined) wrong.push(`${one.id}: ${said}, expected ${one.code ?? one.expected}`)
      else delete deviations[one.id]
    }
    for (const id of Object.keys(deviations))
      wrong.push(`${id}: the expectation file explains a deviation that is none`)
    if (cases.length === 0) wrong.push('no case was run')
    t.diagnostic(`suite ${name}: ${cases.length} cases`)
    const report = process.env.AIMS_SUITE_REPORT
    if (report !== undefined) appendFileSync(report, `${name}\t${cases.length}\n`)
    if (wrong.length > 0) throw new Error(`${wrong.length} of ${cases.length} cases:\n${wrong.slice(0, 40).join('\n')}`)
  })
}

/** The expectation file of a suite. */
export function readExpectations(name: string): Expectations {
  const file = resolve(here, 'expectations', `${name}.json`)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { deviations: {} }
}

/** Runs `check`; a thrown error with a code is a refusal, anything else is a defect and stays thrown. */
export async function outcomeOf(check: () => unknown): Promise<Outcome> {
  try {
    await check()
    return { accepted: true }
  } catch (error) {
    const code = (error as { code?: unknown }).code
    if (typeof code === 'string' && code.includes('.')) return { accepted: false, code }
    throw error
  }
}
