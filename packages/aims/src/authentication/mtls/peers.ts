import type { TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import type { VerifiedX509Svid } from '../../credentials/x509-svid/x509-svid.ts'
import type { IdMatcher } from '../../identifiers/matcher.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { certificatePrincipal, type Principal } from '../principal.ts'
import { requireLiveCertificate, verifyChain } from './chain.ts'
import { peerCertificatesOf } from './material.ts'

/** Who may be at the other end of a connection. */
export interface PeerRules {
  readonly bundles: BundleSource
  /** Which identifiers are expected. */
  readonly peer: IdMatcher
  /** The only trust domain peers come from. Default: all that have a bundle. */
  readonly trustDomain?: TrustDomain
  /** `wic`: also Workload Identity Certificates that are no X.509-SVIDs. Default `svid`. */
  readonly mode?: 'svid' | 'wic'
  /** Accept peers whose certificate has an Ed25519 key. Default false. */
  readonly ed25519?: boolean
  /** Which certificates were revoked: refused at the handshake, and open connections are closed. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Default: the machine's. */
  readonly clock?: Clock
}

const principals = new WeakMap<TLSSocket, Principal>()

/**
 * The principal at the other end of a connection that {@link rotatingServer} or {@link mtlsAgent} has admitted.
 *
 * Knows of the identity at that time; while it lives, the connection is closed when its authority is removed or its
 * certificate ends.
 *
 * @throws {@link AimsError} `authentication.no_client_certificate` for a connection that nobody has checked, or whose
 *   client presented no certificate
 */
export function peerPrincipal(socket: TLSSocket): Principal {
  const principal = principals.get(socket)
  if (principal === undefined || socket.destroyed) {
    throw new AimsError('authentication.no_client_certificate', 'no verified certificate on this connection')
  }
  return principal
}

/** Verifies who presented a chain, and that it is expected. @throws {@link AimsError} `x509.*`, `authentication.peer_unexpected` */
export function verifyPeer(chain: readonly Uint8Array[], rules: PeerRules): VerifiedX509Svid {
  const { bundles, peer, trustDomain, mode = 'svid', ed25519 = false, clock = systemClock } = rules
  const now = clock()
  const svid = verifyChain(chain, { bundles, mode, ed25519, now })
  if (trustDomain !== undefined && svid.trustDomain !== trustDomain) {
    throw new AimsError('x509.wrong_trust_domain', 'the peer is of another trust domain than expected')
  }
  // `true` and nothing else: a promise is truthy.
  if (peer(svid.subject) !== true) {
    throw new AimsError('authentication.peer_unexpected', 'the peer is authentic but not expected')
  }
  requireLiveCertificate(rules.revocations, svid, now)
  return svid
}

/** The connections with a verified peer: verified again when a bundle changes, and closed when that fails. */
export class Peers {
  readonly #rules: PeerRules
  readonly #live = new Set<TLSSocket>()

  constructor(rules: PeerRules) {
    this.#rules = rules
  }

  /** Verifies the peer of a socket after its handshake and before anything else is done with it. @throws {@link AimsError} */
  admit(socket: TLSSocket): void {
    // Its chain was not sent again, and was perhaps checked by other rules.
    if (socket.isSessionReused()) throw new AimsError('authentication.resumed_session', 'the session was resumed')
    const svid = verifyPeer(peerCertificatesOf(socket), this.#rules)
    this.#live.add(socket)
    socket.once('close', () => this.#live.delete(socket))
    principals.set(socket, certificatePrincipal(svid))
  }

  /** Closes the connections whose peer would not be admitted any more, and tells of each. */
  recheck(onClosed: (error: AimsError, socket: TLSSocket) => void): void {
    for (const socket of this.#live) {
      try {
        verifyPeer(peerCertificatesOf(socket), this.#rules)
      } catch (error) {
        if (!AimsError.is(error)) throw error
        socket.destroy()
        onClosed(error, socket)
      }
    }
  }
}
