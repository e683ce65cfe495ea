import { constants } from 'node:crypto'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { encodePem } from '../../base/pem.ts'
import { certificateOfTls } from '../../base/x509-certificate.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'

/** TLS 1.3, and 1.2 with AEAD ciphers for peers that cannot do better. */
export type TlsVersion = 'TLSv1.3' | 'TLSv1.2'

const AEAD_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** Certificate, key, versions, and no tickets: what both sides of a connection set. */
export function contextOptions(svid: X509Svid, minVersion: TlsVersion = 'TLSv1.3'): SecureContextOptions {
  return {
    cert: svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join(''),
    // Node takes private keys as text only; it stays in this process.
    key: svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }),
    minVersion,
    ciphers: AEAD_CIPHERS,
    // Without tickets and without a cache, no session can be resumed past a check of the peer.
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

const MAX_CHAIN = 8
const chains = new WeakMap<TLSSocket, readonly Uint8Array[]>()

/**
 * The certificates the peer sent, DER, leaf first; empty when it sent none. The same array for every call with one
 * socket. TLS has checked that the peer holds the key of the leaf, and nothing else is known about them.
 */
export function peerCertificatesOf(socket: TLSSocket): readonly Uint8Array[] {
  const known = chains.get(socket)
  if (known !== undefined) return known
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerX509Certificate?.()
  while (certificate !== undefined && chain.length <= MAX_CHAIN) {
    chain.push(certificateOfTls(certificate))
    certificate = certificate.issuerCertificate
  }
  chains.set(socket, chain)
  return chain
}
