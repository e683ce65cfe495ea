const REASONS: { readonly [errno: string]: string | undefined } = {
  EACCES: 'this user may not open it',
  ECONNREFUSED: 'nobody listens there',
  ENOENT: 'there is no such socket',
}

/** Why a connection was not made, in words, when the kernel says something that can be mended; `undefined` otherwise. */
export function connectFailure(cause: unknown): string | undefined {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return Object.hasOwn(REASONS, errno) ? REASONS[errno] : undefined
}

/** True when the kernel has refused this user, and nobody else perhaps. */
export function isForbidden(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EACCES'
}
