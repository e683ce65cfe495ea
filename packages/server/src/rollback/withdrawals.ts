import type { DatabaseSync } from 'node:sqlite'
import type { AuditEvent } from 'aims/base'
import type { AuditReader, AuditRecord } from 'aims/monitoring'
import type { Withdrawal } from './memory.ts'

/**
 * The types of events that an older store would undo. With a query, the store itself says that it knows nothing of one that is
 * in its log: such a row is never made again in the right way.
 */
const WITHDRAWALS: { readonly [type in AuditEvent['type']]?: { readonly undone?: string } } = {
  'provisioning.entry-deleted': { undone: 'SELECT 1 FROM entries WHERE id = ?' },
  'provisioning.agent-retired': {},
  'provisioning.revoked': {
    undone: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM revocations WHERE substr(id, instr(id, ' ') + 1) = ?)",
  },
  'provisioning.agent-banned': {},
  'provisioning.agent-evicted': {},
  'provisioning.join-token-revoked': {},
  // A key that leaked is in the bundle again, and may sign.
  'provisioning.key-revoked': { undone: 'SELECT 1 FROM keys WHERE id = ?' },
  'provisioning.key-tainted': { undone: "SELECT 1 FROM keys WHERE id = ? AND state <> 'tainted'" },
  'provisioning.federation-ended': {},
}
const TYPES = Object.keys(WITHDRAWALS) as readonly AuditEvent['type'][]

/** So many are remembered, of each type; of revocations, so many by operators and so many by agents. */
const KEPT = 100
/** Of records that are looked through for them. */
const MAX_PAGES = 20
const NOBODY: NonNullable<AuditRecord['agent']> = { id: '' }

/** The newest records of a log that took something away, of each type. */
export function newestWithdrawals(log: AuditReader): readonly Withdrawal[] {
  return TYPES.flatMap((type) =>
    newestOf(log, type).map(({ index, resource, details, agent = NOBODY }) => ({
      index,
      type,
      id: resource.id,
      spiffeId: String(details?.spiffeId ?? ''),
      // What revocations mean ends with what they revoke.
      ...(type === 'provisioning.revoked' ? { until: Number(details?.expiresAt) } : {}),
      ...(isByAgent({ type, resource, agent }) ? { byAgent: true } : {}),
    })),
  )
}

// Agents revoke sub-agents of their own as often as they like: that pushes no revocation of an operator out.
function newestOf(log: AuditReader, type: AuditEvent['type']): readonly AuditRecord[] {
  const found: AuditRecord[] = []
  const counts = [0, 0]
  let before: number | undefined
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page = log
      .list({ type, limit: KEPT, ...(before === undefined ? {} : { before }) })
      .map(({ record }) => record)
    for (const record of page) {
      const kind = isByAgent(record) ? 1 : 0
      counts[kind] = (counts[kind] ?? 0) + 1
      if ((counts[kind] ?? 0) <= KEPT) found.push(record)
    }
    before = page.at(-1)?.index
    if (page.length < KEPT || counts[0] === undefined || counts[0] >= KEPT) break
  }
  return found
}

/** An agent is the one who revoked what is below itself. */
function isByAgent({ type, resource, agent = NOBODY }: Pick<AuditRecord, 'type' | 'resource' | 'agent'>): boolean {
  return type === 'provisioning.revoked' && agent !== NOBODY && resource.id.startsWith(`${agent.id}/`)
}

/** What was remembered before and what is found now: the newest of each type, oldest first. */
export function mergeWithdrawals(before: readonly Withdrawal[], now: readonly Withdrawal[]): readonly Withdrawal[] {
  const all = new Map([...before, ...now].map((one) => [one.index, one]))
  const kept = TYPES.flatMap((type) =>
    [true, false].flatMap((byAgent) =>
      [...all.values()]
        .filter((one) => one.type === type && (one.byAgent === true) === byAgent)
        .sort((a, b) => a.index - b.index)
        .slice(-KEPT),
    ),
  )
  return kept.sort((a, b) => a.index - b.index)
}

/** Tells whether a store knows nothing of a withdrawal that is in its log. */
export function undoneIn(db: DatabaseSync, now: number): (withdrawal: Withdrawal) => boolean {
  return ({ type, id, until }) => {
    const { undone } = WITHDRAWALS[type as AuditEvent['type']] ?? {}
    if (undone === undefined || (until !== undefined && until <= now)) return false
    return db.prepare(undone).get(id) !== undefined
  }
}
