import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'

/** The chain as Node hands it to `checkServerIdentity`, DER, leaf first; a root, which refers to itself, ends it. */
export function presentedChain(certificate: PeerCertificate | DetailedPeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  const seen = new Set<object>()
  let next: PeerCertificate | DetailedPeerCertificate | undefined = certificate
  while (next?.raw !== undefined && !seen.has(next)) {
    seen.add(next)
    chain.push(next.raw)
    next = 'issuerCertificate' in next ? next.issuerCertificate : undefined
  }
  return chain
}
