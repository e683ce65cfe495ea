import { AimsError } from '../base/errors.ts'
import { parseWorkloadSpiffeId, pathOf, type SpiffeId, type WorkloadId } from './spiffe-id.ts'

/** The path segment between a parent and the name of its child. */
const SEGMENT = 'sub'
const BETWEEN = `/${SEGMENT}/`
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * The SPIFFE ID of a sub-agent: `spiffe://example.com/agent/planner/sub/reader`.
 *
 * @param name - 1 to 64 letters, digits, dots, dashes and underscores, and not `sub`, which would make two readings of
 *   one path.
 * @throws {@link AimsError} `identifier.bad_path_char`, `identifier.too_long`
 */
export function joinSubAgentId(parent: WorkloadId, name: string): SpiffeId {
  if (!NAME.test(name) || name === SEGMENT) {
    throw new AimsError('identifier.bad_path_char', 'the name of a sub-agent has letters, digits, dots and dashes')
  }
  return parseWorkloadSpiffeId(parent + BETWEEN + name)
}

/** Everybody above an identifier, its root first: of `.../a/sub/b/sub/c` that is `.../a` and `.../a/sub/b`. */
export function ancestorsOf(id: WorkloadId): readonly WorkloadId[] {
  const ancestors: WorkloadId[] = []
  // After the path's own slash: what has no path is nobody.
  let at = id.indexOf(BETWEEN, id.length - pathOf(id).length + 1)
  for (; at !== -1; at = id.indexOf(BETWEEN, at + BETWEEN.length)) ancestors.push(id.slice(0, at) as WorkloadId)
  return ancestors
}

/** True for a child of `parent`: one name below it, and nothing further. */
export function isChildOf(id: WorkloadId, parent: WorkloadId): boolean {
  const start = parent + BETWEEN
  return id.startsWith(start) && !id.slice(start.length).includes('/')
}

/** True for `ancestor` itself, and for its children and theirs. */
export function isSelfOrDescendant(id: WorkloadId, ancestor: WorkloadId): boolean {
  return id === ancestor || id.startsWith(ancestor + BETWEEN)
}
