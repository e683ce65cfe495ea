import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/clock.ts'
import { startDeadline } from '../../base/deadline.ts'
import { AimsError } from '../../base/errors.ts'
import { openConnection } from '../../base/outbound-connection.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { joinSpiffeId } from '../../identifiers/spiffe-id.ts'
import { clientCertificate, parseServerAddress, serverTlsOptions, untrustedBy } from '../evidence/server-tls.ts'
import { firstAnswer } from '../grpc/first-answer.ts'
import { GrpcConnection, type GrpcTarget } from '../grpc/grpc-connection.ts'
import { GRPC_STATUS } from '../workload-api/service.ts'
import { readSpireBundle, type SpireTrust } from './bundle.ts'
import type { NewDownstreamX509CaRequest, SpireJwtKey } from './messages.ts'
import { SPIRE_SERVER_API } from './service.ts'

/** Where a SPIRE server is, how it is recognised, and who asks. */
export interface SpireServerOptions {
  /** `https://HOST:PORT`, the port that its agents use. */
  readonly server: string
  /** Of its trust domain. */
  readonly bundle: TrustBundle
  /** Shown to it. */
  readonly svid: X509Svid
  readonly clock: Clock
}

/** The API of a SPIRE server, as far as servers below it need it. */
export interface SpireServer {
  /** The bundle of the trust domain, with the keys of all servers below it. @throws {@link AimsError} also `bundle.*` */
  fetchBundle(): Promise<SpireTrust>
  /**
   * Has the key of a CA certified.
   *
   * @returns DER, as they came: the new CA, then those above it without the root
   */
  newDownstreamX509Ca(request: NewDownstreamX509CaRequest): Promise<readonly Uint8Array[]>
  /** Adds a key of JWT-SVIDs to the bundle. Nothing takes it out before it ends. */
  publishJwtAuthority(key: SpireJwtKey): Promise<void>
  close(): void
}

/** Milliseconds. */
const TIMEOUT = 10_000
/** Bytes of one answer. */
const MAX_MESSAGE = 4 * 1024 * 1024

/**
 * Makes the client of a SPIRE server: gRPC over TLS 1.3 with both certificates. The server's must be the X.509-SVID
 * `spiffe://TRUST-DOMAIN/spire/server` under an authority of the bundle.
 *
 * All methods throw {@link AimsError} `provisioning.server_untrusted`, `.endpoint_unavailable`, `.timeout`,
 * `.malformed_message`, `.message_too_large`; `operation.not_permitted`, `.unauthenticated`, `.unknown_route`,
 * `.request_malformed`, `.busy` after the status of the call.
 *
 * @throws {@link AimsError} `provisioning.invalid_endpoint`
 */
export function spireServer(options: SpireServerOptions): SpireServer {
  const connection = new GrpcConnection(targetOf(options), MAX_MESSAGE)
  const waiting = { timeout: TIMEOUT }
  const { trustDomain } = options.bundle
  return {
    fetchBundle: () =>
      firstAnswer(connection, SPIRE_SERVER_API.getBundle, {}, (one) => readSpireBundle(one, trustDomain), waiting),
    newDownstreamX509Ca: (request) =>
      firstAnswer(connection, SPIRE_SERVER_API.newDownstreamX509Ca, request, ({ caCertChain }) => caCertChain, waiting),
    async publishJwtAuthority(key) {
      await firstAnswer(connection, SPIRE_SERVER_API.publishJwtAuthority, key, (keys) => keys, waiting)
    },
    close: () => connection.close(),
  }
}

function targetOf({ server, bundle, svid, clock }: SpireServerOptions): GrpcTarget {
  const { host, port } = parseServerAddress(server)
  const serverId = joinSpiffeId(bundle.trustDomain, 'spire', 'server')
  return {
    origin: server,
    metadata: {},
    codes: {
      [GRPC_STATUS.invalidArgument]: 'operation.request_malformed',
      [GRPC_STATUS.deadlineExceeded]: 'provisioning.timeout',
      [GRPC_STATUS.permissionDenied]: 'operation.not_permitted',
      [GRPC_STATUS.resourceExhausted]: 'operation.busy',
      [GRPC_STATUS.unimplemented]: 'operation.unknown_route',
      [GRPC_STATUS.unauthenticated]: 'operation.unauthenticated',
    },
    async open(): Promise<Duplex> {
      using deadline = startDeadline(TIMEOUT)
      const socket = await openConnection({
        host,
        port,
        addresses: [host],
        tls: { ...serverTlsOptions(bundle, serverId, clock), ...clientCertificate(svid), ALPNProtocols: ['h2'] },
        signal: deadline.signal,
      }).catch((error: unknown) => {
        const cause = error instanceof Error ? error.cause : undefined
        throw untrustedBy(cause) ?? new AimsError('provisioning.endpoint_unavailable', 'cannot connect', { cause })
      })
      if (socket.alpnProtocol === 'h2') return socket
      socket.destroy()
      throw new AimsError('provisioning.malformed_message', 'the server does not speak HTTP/2')
    },
  }
}
