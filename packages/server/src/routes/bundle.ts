import { AimsError } from 'aims/base'
import { serializeBundle, type TrustBundle } from 'aims/credentials'
import type { Route } from '../http/route.ts'

/**
 * The bundle endpoint of the trust domain: for everybody, without authentication.
 *
 * @see SPIFFE Federation, section "SPIFFE Bundle Endpoint"
 */
export function bundleRoute(source: { bundle(): TrustBundle }): Route {
  return {
    method: 'GET',
    path: '/v1/bundle',
    head: false,
    access: 'public',
    entrances: ['unix', 'https'],
    summary: 'Gives the SPIFFE bundle of the trust domain: this is its bundle endpoint.',
    query: { include: 'wit-svid: also the keys of WITs, which older readers do not know' },
    handle: ({ query }) => {
      const { include } = query
      if (include !== undefined && include !== 'wit-svid') {
        throw new AimsError('operation.request_malformed', 'include is wit-svid')
      }
      const content = serializeBundle(currentBundle(source), { includeWit: include === 'wit-svid' })
      return { status: 200, text: { type: 'application/json', content } }
    },
  }
}

// Whatever the reason: for those who ask it is a fault of ours, status 500.
function currentBundle(source: { bundle(): TrustBundle }): TrustBundle {
  try {
    return source.bundle()
  } catch (cause) {
    throw new Error('there is no bundle to serve', { cause })
  }
}
