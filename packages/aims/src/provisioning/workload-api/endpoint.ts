import { isIP } from 'node:net'
import { AimsError } from '../../base/errors.ts'

/** Where a Workload API listens. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** The environment variable that names the Workload API. */
export const ENDPOINT_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET'

/**
 * Reads the address of a Workload API: `unix:///run/aims/agent.sock` or `tcp://127.0.0.1:8000`.
 *
 * Strict: nothing beside scheme and absolute path for `unix`, an IP address and a port for `tcp`, no escapes.
 *
 * @throws {@link AimsError} `provisioning.invalid_endpoint`
 * @see SPIFFE Workload Endpoint, section 4
 */
export function parseEndpoint(address: string): Endpoint {
  const [, path] = /^unix:\/\/(\/[^?#%\u0000-\u0020\u007f]*[^/?#%\u0000-\u0020\u007f])$/.exec(address) ?? []
  if (path !== undefined) {
    if (path.split('/').slice(1).some(isNoSegment)) throw invalid('the path has an empty, . or .. segment')
    return { kind: 'unix', path }
  }
  const [, ipv6, ipv4, digits] = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/.exec(address) ?? []
  const host = ipv6 ?? ipv4 ?? ''
  const port = Number(digits)
  if (isIP(host) === (ipv6 === undefined ? 4 : 6) && port <= 65_535) return { kind: 'tcp', host, port }
  throw invalid('the address is not unix:///absolute/path or tcp://IP:PORT')
}

/**
 * The address to use: the one given, or that of the environment variable `SPIFFE_ENDPOINT_SOCKET`.
 *
 * @throws {@link AimsError} `provisioning.no_endpoint`, `provisioning.invalid_endpoint`
 */
export function resolveEndpoint(address: string | undefined, environment: NodeJS.ProcessEnv): Endpoint {
  const given = address ?? environment[ENDPOINT_VARIABLE]
  if (given === undefined || given === '') {
    throw new AimsError('provisioning.no_endpoint', `no address is given and ${ENDPOINT_VARIABLE} is not set`)
  }
  return parseEndpoint(given)
}

function isNoSegment(segment: string): boolean {
  return segment === '' || segment === '.' || segment === '..'
}

function invalid(message: string): AimsError {
  return new AimsError('provisioning.invalid_endpoint', message)
}
