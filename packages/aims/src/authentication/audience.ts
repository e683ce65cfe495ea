/** By what a service knows itself. */
export interface OwnNames {
  /** Compared byte for byte with an audience without its query and fragment; one that has them is meant whole. */
  readonly audiences: readonly string[]
  /** With the path of this very request, further audiences. Default none. */
  readonly origins?: readonly string[]
}

/** The audience that a proof is for, when it is one of ours. @param isWhole - Query and fragment count. */
export function ownAudience(
  given: string,
  { audiences, origins }: OwnNames,
  target: string | undefined,
  isWhole = false,
): string | undefined {
  if (audiences.includes(given)) return given
  const audience = isWhole ? given : given.replace(QUERY_OR_FRAGMENT, '')
  if (audiences.includes(audience)) return audience
  const path = target?.split('?', 1)[0]
  return path !== undefined && isOnOrigin(audience, path, origins) ? audience : undefined
}

const QUERY_OR_FRAGMENT = /[?#].*$/s

/** True for a URI that is this target at one of the origins. */
export function isOnOrigin(uri: string, target: string, origins: readonly string[] = []): boolean {
  // A target without the slash would go on with the name of the host: `https://api.example.com` and `.evil.example/`.
  return target.startsWith('/') && origins.some((origin) => uri === `${origin}${target}`)
}
