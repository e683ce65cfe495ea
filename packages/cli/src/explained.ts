import type { AuditEvent, Check } from 'aims/base'
import { type AuditRecord, diagnose, type NamedCause } from 'aims/monitoring'
import { meaningOf } from './meaning.ts'

/** What a record says, and what that means. */
export interface Explained extends Omit<AuditRecord, 'version' | 'correlationId' | 'reasons'> {
  readonly reasons: readonly { readonly reason: string; readonly meaning: string | undefined }[]
  /** What can be behind a refusal, likeliest first. */
  readonly causes: readonly NamedCause[]
}

/** Explains one record: the checks that were made, and what can be behind a refusal. */
export function explainRecord(record: AuditRecord): Explained {
  const { version: _version, correlationId: _id, reasons = [], checks = [], ...rest } = record
  return {
    ...rest,
    reasons: reasons.map((reason) => ({ reason, meaning: meaningOf(reason) })),
    checks,
    causes: rest.decision === 'deny' ? diagnose({ reasons, checks }) : [],
  }
}

/** The same for people. The log has encoded control characters already. */
export function readable(record: Explained): string {
  const { index, time, type, agent, action, resource, decision, policy, reasons, details, checks = [], causes } = record
  const policies = policy === undefined || policy.ids.length === 0 ? 'none' : policy.ids.join(', ')
  const lines = [
    `${time}  ${decision}  ${type}  (record ${index})`,
    `  who:    ${agent?.id ?? 'nobody who could prove it'}${agent?.method === undefined ? '' : `, by ${agent.method}`}`,
    `  what:   ${action} ${resource.type} ${resource.id}`,
    ...reasons.map(({ reason, meaning }) => `  why:    ${reason}${meaning === undefined ? '' : `: ${meaning}`}`),
    ...(policy === undefined ? [] : [`  policy: ${policies}, of ${policy.version}`]),
    ...(details === undefined ? [] : [`  with:   ${factsOf(details)}`]),
    ...checks.flatMap(checkLines),
    ...causes.flatMap(causeLines),
  ]
  return `${lines.join('\n')}\n`
}

/** Of a refusal: the check that failed, and what can be behind it. */
export function failureLines({ reasons = [], checks = [] }: Pick<AuditEvent, 'reasons' | 'checks'>): readonly string[] {
  const failed = checks.filter(({ outcome }) => outcome === 'failed')
  return [...failed.flatMap(checkLines), ...diagnose({ reasons, checks }).flatMap(causeLines)]
}

function factsOf(details: NonNullable<AuditRecord['details']>): string {
  return Object.entries(details)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

function checkLines({ check, outcome, expected, observed, difference }: Check): readonly string[] {
  if (outcome === 'passed') return [`  passed  ${check}${observed === undefined ? '' : `: ${observed}`}`]
  return [
    `  FAILED  ${check}${difference === undefined ? '' : ` (${difference})`}`,
    ...(expected === undefined ? [] : [`            expected: ${expected}`]),
    ...(observed === undefined ? [] : [`            observed: ${observed}`]),
  ]
}

function causeLines({ id, because, fix }: NamedCause, at: number): readonly string[] {
  return [
    `  ${at === 0 ? 'cause: ' : 'or:    '} ${id}: ${because}`,
    ...(fix === '' ? [] : [`            change:   ${fix}`]),
  ]
}
