import { ancestorsOf, parseSpiffeId, parseWorkloadSpiffeId, pathOf } from 'aims/identifiers'
import type { AuditRecord } from 'aims/monitoring'
import type { RecordSource } from './record-source.ts'

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
export async function recordsOfIdentity(
  records: Pick<RecordSource, 'list'>,
  spiffeId: string,
): Promise<readonly AuditRecord[]> {
  const id = parseSpiffeId(spiffeId)
  const ancestors = pathOf(id) === '' ? [] : ancestorsOf(parseWorkloadSpiffeId(id))
  const found = [...(await records.list({ agent: id, limit: MAX_OF_IDENTITY }))]
  for (const agent of ancestors) {
    const above = await records.list({ agent, limit: MAX_OF_ANCESTOR })
    found.push(...above.filter((record) => isAbout(record, id)))
  }
  return found.sort((a, b) => b.index - a.index).slice(0, MAX_OF_IDENTITY)
}

function isAbout({ resource, details }: AuditRecord, id: string): boolean {
  if (resource.id === id) return true
  const names = typeof details?.names === 'string' ? details.names.split(' ') : []
  return names.some((name) => `${resource.id}/sub/${name}` === id)
}
