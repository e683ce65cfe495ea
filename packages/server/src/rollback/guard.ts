import { randomUUID } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import {
  AimsError,
  type AuditEvent,
  type Clock,
  type KeyEncryptionKey,
  type Observer,
  type TroubleLog,
  troubleLog,
} from 'aims/base'
import { type AuditLog, type AuditReader, parseCheckpoint, parseUnverifiedNote } from 'aims/monitoring'
import type { Meta } from '../store/meta.ts'
import type { Seal } from '../store/seal.ts'
import { type Remembered, readRollbackMemory, type Withdrawal, writeRollbackMemory } from './memory.ts'
import { mergeWithdrawals, newestWithdrawals, undoneIn } from './withdrawals.ts'

/** Compares store and log with what is remembered of them elsewhere, and keeps that up to date. */
export interface RollbackGuard {
  /** Opens the log with the remembered checkpoint; without it when an operator accepts an older one. */
  openLog(open: (remembered: string | undefined) => AuditLog): AuditLog
  /** Records what was accepted and what was lost by it, then remembers the present state, and every later one. */
  begin(observer: Observer, say: (line: string) => void): Promise<void>
  /** Remembers the present state, if it is another one. @throws {@link AimsError} `operation.rollback_file_unwritable` */
  remember(options?: { readonly generation?: number }): void
  /** Remembers for the last time. */
  close(): void
}

/** What a guard works with. */
export interface RollbackGuardOptions {
  /** Where it is remembered. */
  readonly file: string
  readonly key: KeyEncryptionKey
  readonly trustDomain: string
  readonly meta: Meta
  readonly seal: Seal
  /** The store. */
  readonly db: DatabaseSync
  readonly clock: Clock
  /** An operator has said that an older store or log is right. */
  readonly accept: boolean
}

/** Milliseconds after a change of the store, and between looks at the log. */
const SOON = 250
const TICK = 5000

/**
 * Opens the guard and checks the store.
 *
 * @throws {@link AimsError} `operation.store_rolled_back`, `operation.rollback_memory_missing`,
 *   `operation.rollback_memory_invalid`
 */
export function openRollbackGuard(options: RollbackGuardOptions): RollbackGuard {
  const { file, key, trustDomain, meta, seal, db, clock, accept } = options
  const seen = readRollbackMemory(file, key)
  const accepted: AimsError[] = []
  const refuseUnlessAccepted = (error: AimsError): void => {
    if (!accept) throw error
    accepted.push(error)
  }
  const problem = findProblem(seen, options)
  if (problem !== undefined) refuseUnlessAccepted(problem)

  let log: AuditReader | undefined
  let written: Remembered | undefined
  let withdrawals = seen?.withdrawals ?? []
  const timers: NodeJS.Timeout[] = []
  let soon: NodeJS.Timeout | undefined
  let trouble: TroubleLog | undefined
  // A memory that could not be written stays behind, which refuses nothing that is right.
  const attempt = (): void => {
    soon = undefined
    try {
      remember()
      trouble?.over('written again')
    } catch (error) {
      trouble?.tell(error, error instanceof Error ? error.message : 'it cannot be written')
    }
  }

  const remember: RollbackGuard['remember'] = ({ generation = meta.counter('generation') } = {}) => {
    if (log === undefined) throw new TypeError('the log has not been opened')
    const state = { trustDomain, checkpoint: log.checkpoint(), revision: meta.counter('revision'), generation }
    if (written?.checkpoint === state.checkpoint && written.generation === generation) return
    withdrawals = mergeWithdrawals(withdrawals, newestWithdrawals(log))
    const next = { ...state, withdrawals }
    writeRollbackMemory(file, key, next)
    written = next
  }
  return {
    openLog(open) {
      try {
        const opened = open(seen?.checkpoint)
        log = opened
        return opened
      } catch (error) {
        if (!AimsError.is(error) || !(error.code in LOG_PROBLEMS)) throw error
        refuseUnlessAccepted(new AimsError(error.code, `${error.message}; compared with ${file}`, { cause: error }))
      }
      const opened = open(undefined)
      log = opened
      return opened
    },
    async begin(observer, say) {
      if (log === undefined) throw new TypeError('the log has not been opened')
      if (accepted.length > 0) {
        const size = log.size
        const isUndone = undoneIn(db, clock())
        const lost = withdrawals.filter((one) => one.index >= size || isUndone(one))
        for (const event of acceptedEvents(accepted, { seen, size, trustDomain, lost })) await observer.record(event)
        for (const { type, id, spiffeId } of lost)
          say(`aims server: lost by the older store: ${type} ${id} ${spiffeId}`)
        withdrawals = withdrawals.filter((one) => !lost.includes(one))
        seal.transaction(() => meta.overtake(clock()))
      }
      remember()
      // From here on a file that is missing is missed.
      if (meta.counter('generation') === 0) seal.transaction(() => meta.set('generation', '1'))
      remember()
      trouble = troubleLog('aims server: rollback memory', say)
      timers.push(setInterval(attempt, TICK).unref())
      seal.onChange(() => {
        soon ??= setTimeout(attempt, SOON).unref()
      })
    },
    remember,
    close() {
      for (const timer of timers) clearInterval(timer)
      clearTimeout(soon)
      if (written !== undefined) attempt()
    },
  }
}

// What tells that the log is not the one remembered, or not as far.
const LOG_PROBLEMS = { 'audit.rolled_back': true, 'audit.forked': true, 'audit.unknown_signer': true } as const

/**
 * What is wrong with a store, compared with what is remembered of it; `undefined`: nothing.
 *
 * @throws {@link AimsError} `operation.rollback_memory_invalid`
 */
export function findProblem(
  seen: Remembered | undefined,
  { file, meta, trustDomain }: Pick<RollbackGuardOptions, 'file' | 'meta' | 'trustDomain'>,
): AimsError | undefined {
  const generation = meta.counter('generation')
  if (seen === undefined) {
    if (generation === 0) return undefined
    return new AimsError('operation.rollback_memory_missing', `${file}: no such file, and this store had one`)
  }
  if (seen.trustDomain !== trustDomain) {
    // Never accepted: it says nothing about this store.
    throw new AimsError('operation.rollback_memory_invalid', `${file}: is about another trust domain`)
  }
  if (seen.generation <= generation && seen.revision <= meta.counter('revision')) return undefined
  return new AimsError('operation.store_rolled_back', `the store is older than ${file} remembers`)
}

/** What the log says when an operator accepted an older store or log: that, and each withdrawal that was lost by it. */
export function acceptedEvents(
  problems: readonly AimsError[],
  facts: {
    readonly seen: Remembered | undefined
    /** Records in the log that was accepted. */
    readonly size: number
    readonly trustDomain: string
    readonly lost: readonly Withdrawal[]
  },
): readonly AuditEvent[] {
  const { seen, size, trustDomain, lost } = facts
  const correlationId = randomUUID()
  const common = { decision: 'none', correlationId } as const
  const remembered = seen === undefined ? undefined : parseCheckpoint(parseUnverifiedNote(seen.checkpoint).text)
  return [
    {
      ...common,
      type: 'operation.rollback-accepted',
      resource: { type: 'server', id: trustDomain },
      action: 'accept-older-store',
      reasons: [...new Set(problems.map(({ code }) => code))],
      details: {
        size,
        withdrawalsLost: lost.length,
        ...(remembered === undefined
          ? {}
          : { rememberedSize: remembered.size, rememberedRoot: Buffer.from(remembered.root).toString('base64') }),
      },
    },
    ...lost.map(
      ({ type, id, spiffeId, index }): AuditEvent => ({
        ...common,
        type: 'operation.withdrawal-lost',
        resource: { type: 'withdrawal', id },
        action: type,
        details: { lostIndex: index, ...(spiffeId === '' ? {} : { spiffeId }) },
      }),
    ),
  ]
}
