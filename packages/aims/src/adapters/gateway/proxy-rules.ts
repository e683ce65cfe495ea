import type { Gate } from './gate.ts'
import { type GatewayTls, isLocal, type ListenAddress } from './listen.ts'

/** Something a proxy asks. */
export interface AskedByProxy {
  readonly gate: Gate
  readonly listen: ListenAddress
  readonly tls?: GatewayTls
}

/**
 * Whoever asks such a service says what the request was. That is to be believed from the own machine, or from somebody who
 * proves to be the proxy; and the certificate of the proxy is never that of a caller.
 *
 * @throws TypeError
 */
export function requireTrustedListener({ gate, listen, tls }: AskedByProxy): void {
  if (gate.authenticator.methods.includes('mtls')) {
    throw new TypeError(
      "behind a proxy the certificate of a connection is not the caller's: leave mtls out of the methods",
    )
  }
  if (tls === undefined ? !isLocal(listen) : tls.admitWithoutCertificate === true) {
    throw new TypeError(
      'anybody could ask: listen on a Unix socket or 127.0.0.1, or demand the certificate of the proxy',
    )
  }
}
