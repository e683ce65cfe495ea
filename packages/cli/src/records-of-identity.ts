import { ancestorsOf, parseSpiffeId, parseWorkloadSpiffeId, pathOf } from 'aims/identifiers'
import type { AuditEntry, AuditReader } from 'aims/monitoring'

/** Newest first. */
const MAX_OF_IDENTITY = 100
/** Of each identity above a sub-agent so many records are searched for it. */
const MAX_OF_ANCESTOR = 10_000

/**
 * What the log knows about an identity, newest first, at most 100. Of a sub-agent that is also what it was made and ended by,
 * which stands in the records of those above it.
 *
 * @throws {@link AimsError} `identifier.*`
 */
export function recordsOfIdentity(reader: AuditReader, spiffeId: string): readonly AuditEntry[] {
  const id = parseSpiffeId(spiffeId)
  const ancestors = pathOf(id) === '' ? [] : ancestorsOf(parseWorkloadSpiffeId(id))
  const own = reader.list({ agent: id, limit: MAX_OF_IDENTITY })
  const above = ancestors.flatMap((agent) =>
    reader.list({ agent, limit: MAX_OF_ANCESTOR }).filter((entry) => isAbout(entry, id)),
  )
  return [...own, ...above].sort((a, b) => b.record.index - a.record.index).slice(0, MAX_OF_IDENTITY)
}

function isAbout({ record: { resource, details } }: AuditEntry, id: string): boolean {
  if (resource.id === id) return true
  const names = typeof details?.names === 'string' ? details.names.split(' ') : []
  return names.some((name) => `${resource.id}/sub/${name}` === id)
}
