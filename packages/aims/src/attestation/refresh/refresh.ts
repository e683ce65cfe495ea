import { asBuffer } from '../../base/bytes.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { type Outbound, RateLimitedError } from '../../base/outbound.ts'
import type { CollateralDirectory } from '../collateral-directory.ts'

/** A file of collateral as its vendor publishes it. */
export interface FreshFile {
  readonly name: string
  readonly bytes: Uint8Array
  /**
   * Throws when these bytes must not take the place of those at hand: older, or not of the kind.
   *
   * @throws {@link AimsError} `attestation.collateral_*`
   */
  check(present: Uint8Array | undefined): void
}

/** Something that is fetched in one request. */
export interface RefreshTask<Purpose extends string = string> {
  readonly purpose: Purpose
  readonly url: string
  /** The name of the file that matters most, for the report. */
  readonly name: string
  /** Never changes at its vendor: not asked for again. */
  readonly isFixed?: true
  readonly types?: readonly string[]
  readonly headers?: { readonly [name: string]: string }
  /** @throws {@link AimsError} `attestation.collateral_malformed` */
  read(body: Uint8Array, headers: ReadonlyMap<string, string>): readonly FreshFile[]
}

/** What became of one task. */
export type RefreshOutcome =
  | { readonly name: string; readonly state: 'new' | 'changed' | 'unchanged' | 'kept' }
  | { readonly name: string; readonly state: 'failed'; readonly code: AimsErrorCode; readonly message: string }

/** What a refresh is given. */
export interface RefreshOptions<Purpose extends string> {
  readonly directory: CollateralDirectory
  readonly outbound: Outbound<Purpose>
  /** Waits; given by tests. */
  sleep(milliseconds: number): Promise<void>
  /** Milliseconds between two requests to the same host. Default 1000: AMD's service counts. */
  readonly pause?: number
}

const RETRIES = 2
/** Milliseconds. A host that asks for more is asked again at the next refresh. */
const LONGEST_WAIT = 60_000

/**
 * Fetches collateral and puts it into a directory. One request at a time, with a pause between requests to the same host; a
 * host that asks to wait is given time twice. A task that fails leaves the files at hand as they are, and the others go on.
 *
 * Does not verify signatures: the verifiers do, each time. It refuses to put an older file in the place of a newer one.
 */
export async function refreshCollateral<Purpose extends string>(
  tasks: readonly RefreshTask<Purpose>[],
  options: RefreshOptions<Purpose>,
): Promise<readonly RefreshOutcome[]> {
  const { directory, pause = 1000, sleep } = options
  const outcomes: RefreshOutcome[] = []
  let lastHost = ''
  for (const task of tasks) {
    if (task.isFixed === true && directory.get(task.name) !== undefined) {
      outcomes.push({ name: task.name, state: 'kept' })
      continue
    }
    const { host } = new URL(task.url)
    if (host === lastHost) await sleep(pause)
    lastHost = host
    outcomes.push(await run(task, options))
  }
  return outcomes
}

async function run<Purpose extends string>(
  task: RefreshTask<Purpose>,
  { directory, outbound, sleep }: RefreshOptions<Purpose>,
): Promise<RefreshOutcome> {
  const { name } = task
  try {
    const { status, body, headers } = await patiently(sleep, () =>
      outbound.fetch(task.purpose, task.url, requestOf(task)),
    )
    if (status === 404) throw new AimsError('attestation.collateral_missing', 'the vendor does not have this')
    const files = task.read(body, headers)
    const present = files.map((file) => directory.get(file.name))
    // All of them, before the first is replaced.
    for (const [i, file] of files.entries()) file.check(present[i])
    const isSame = files.every(({ bytes }, i) => present[i] !== undefined && asBuffer(bytes).equals(present[i]))
    if (isSame) return { name, state: 'unchanged' }
    const state = present.every((one) => one === undefined) ? 'new' : 'changed'
    for (const file of files) directory.put(file.name, file.bytes)
    return { name, state }
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return { name, state: 'failed', code: error.code, message: error.message }
  }
}

function requestOf({ types, headers }: RefreshTask) {
  return { ...(types === undefined ? {} : { types }), ...(headers === undefined ? {} : { headers }) }
}

async function patiently<T>(sleep: (milliseconds: number) => Promise<void>, ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask()
    } catch (error) {
      const wait = error instanceof RateLimitedError ? (error.retryAfter ?? 5 * 4 ** attempt) * 1000 : undefined
      if (wait === undefined || wait > LONGEST_WAIT || attempt >= RETRIES) throw error
      await sleep(wait)
    }
  }
}
