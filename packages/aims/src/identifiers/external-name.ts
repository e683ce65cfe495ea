import type { WorkloadId } from './spiffe-id.ts'

/**
 * Tells which identifier to expect behind an external name, or that none is configured: then nobody is expected.
 *
 * An identifier is never derived from a host name, address or path; whoever deploys says which belongs to which.
 *
 * @see draft-ietf-wimse-identifier-03, on mapping external names
 */
export type ExternalNameMapper = (name: URL | string) => WorkloadId | undefined

/**
 * Maps names by a fixed table. A key is a host as URLs print it (`api.example.com`, `api.example.com:8443`), or an
 * origin (`https://api.example.com`), which wins over the host. Matching is exact: a host without a port is the
 * scheme's own port, and there are no wildcards.
 *
 * A string is a URL if it contains `://`, otherwise a host. The path, query and user of a URL do not matter.
 *
 * @throws TypeError for a key that is neither a host nor an origin, or not in the form URLs print.
 */
export function mapExternalNames(table: { readonly [hostOrOrigin: string]: WorkloadId }): ExternalNameMapper {
  const ids = new Map(Object.entries(table))
  for (const key of ids.keys()) {
    const url = URL.parse(key.includes('://') ? key : `https://${key}`)
    if (url === null || (key !== url.host && key !== originOf(url))) {
      throw new TypeError(`not a host or origin in canonical form: ${JSON.stringify(key)}`)
    }
  }
  return (name) => {
    if (typeof name === 'string' && !name.includes('://')) return ids.get(name.toLowerCase())
    const url = URL.parse(String(name))
    return url === null ? undefined : (ids.get(originOf(url)) ?? ids.get(url.host))
  }
}

// Not `URL.origin`, which is the text `null` for every scheme that browsers do not know.
function originOf(url: URL): string {
  return `${url.protocol}//${url.host}`
}
