/** Says whether a path is one of those that a pattern names. */
export type PathPattern = (path: string) => boolean

const LITERAL = /^[A-Za-z0-9\-._~!$&'()+,=:@%]*$/

/**
 * Reads a pattern of paths: `/v1/events` is that path, `/v1/events/*` any one segment below it, `/v1/**` everything below
 * `/v1`. A star is a whole segment, two stars stand at the end.
 *
 * @returns `undefined` for what is no pattern.
 */
export function parsePathPattern(pattern: string): PathPattern | undefined {
  if (!pattern.startsWith('/') || pattern.length > 2048) return undefined
  const segments = pattern.slice(1).split('/')
  const takesRest = segments.at(-1) === '**'
  if (takesRest) segments.pop()
  const isFine = segments.every(
    (segment, at) =>
      segment === '*' ||
      (LITERAL.test(segment) &&
        segment !== '.' &&
        segment !== '..' &&
        // An empty last segment is a final slash.
        (segment !== '' || (at === segments.length - 1 && !takesRest))),
  )
  if (!isFine) return undefined
  return (path) => {
    const parts = path.slice(1).split('/')
    if (takesRest ? parts.length <= segments.length : parts.length !== segments.length) return false
    return segments.every((segment, at) => (segment === '*' ? parts[at] !== '' : segment === parts[at]))
  }
}
