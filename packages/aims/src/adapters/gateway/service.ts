import { Agent, type ClientRequest, type RequestOptions, request as requestOf } from 'node:http'
import type { RawHeaders } from '../../authentication/carriage.ts'
import { grouped } from './relay-fields.ts'

/** The service behind a gateway, on this machine: a Unix socket, or a port. Plain HTTP/1.1. */
export type ServiceAddress = { readonly path: string } | { readonly host: string; readonly port: number }

/** How to reach the service. */
export interface ServiceOptions {
  readonly address: ServiceAddress
  /** Milliseconds without a byte from or to the service until it is given up. Default 60,000. */
  readonly timeout?: number
}

/** Opens requests to the service. */
export interface Service {
  open(method: string, target: string, headers: RawHeaders): ClientRequest
  close(): void
}

const MAX_SOCKETS = 1024
/** Milliseconds. */
export const SERVICE_TIMEOUT = 60_000

/** The service at an address; connections are used again. */
export function serviceAt({ address, timeout = SERVICE_TIMEOUT }: ServiceOptions): Service {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
  const place: RequestOptions =
    'path' in address ? { socketPath: address.path } : { host: address.host, port: address.port }
  return {
    open: (method, target, headers) =>
      requestOf({
        ...place,
        agent,
        method,
        // As it came: what was judged is what the service gets.
        path: target,
        headers: grouped(headers),
        setHost: false,
        timeout,
        insecureHTTPParser: false,
      }),
    close: () => agent.destroy(),
  }
}
