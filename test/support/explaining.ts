import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Check, type Observer, WorkloadKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import { aims } from './cli.ts'

/** What `aims explain` says of a record. */
export interface Explanation {
  readonly reasons: readonly { readonly reason: string }[]
  readonly checks: readonly Check[]
  readonly causes: readonly { readonly id: string; readonly because: string; readonly fix: string }[]
}

/** A log in a directory as a server has it, for `aims explain`. */
export interface ExplainingLog extends Disposable {
  readonly observer: Observer
  /** Runs `aims explain ID --log`, and gives the refusal that it tells. */
  explain(id: string): Promise<Explanation>
  /** The id of the newest refusal, for callers that are told none. */
  newest(): string
  readonly size: number
}

export function explainingLog(): ExplainingLog {
  const directory = mkdtempSync(join(tmpdir(), 'aims-explain-'))
  const signer = WorkloadKey.generate('Ed25519')
  const log = AuditLog.open({ path: join(directory, 'log.sqlite'), origin: 'example.com/audit', signer })
  return {
    observer: log,
    explain: (id) => explainIn(directory, id),
    newest: () => log.list({ decision: 'deny', limit: 1 })[0]?.record.correlationId ?? 'none',
    get size() {
      return log.size
    },
    [Symbol.dispose]() {
      log.close()
      rmSync(directory, { recursive: true })
    },
  }
}

/** The refusal with an id, out of the log of a server's data directory. */
export async function explainIn(directory: string, id: string): Promise<Explanation> {
  const { exit, results } = await aims('explain', id, '--log', directory)
  assert.equal(exit, 0, JSON.stringify(results))
  const records = results[0]?.records as readonly (Explanation & { readonly decision: string })[]
  const refusal = records.find(({ decision }) => decision === 'deny')
  assert.ok(refusal, 'the log has a refusal with this id')
  return refusal
}
