// What a TLS server for `localhost` shows, and by which authority its clients know it.
import { WorkloadKey } from 'aims/base'
import { createX509Authority, issueCaCertificate, issueX509Svid } from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'

/** All of it PEM, as `node:https` and grpc-js take it. */
export async function certificates(): Promise<{ authority: Buffer; tls: { cert_chain: Buffer; private_key: Buffer } }> {
  const trustDomain = parseTrustDomain('example.com')
  const [signer, key] = [WorkloadKey.generate(), WorkloadKey.generate()]
  const now = Math.floor(Date.now() / 1000)
  const times = { notBefore: now - 60, notAfter: now + 600 }
  const certificate = await issueCaCertificate({ trustDomain, signer, ...times })
  const spiffeId = parseSpiffeId('spiffe://example.com/service/notes')
  const request = { spiffeId, publicKey: key.publicKey, dnsNames: ['localhost'], ...times }
  const svid = await issueX509Svid(request, createX509Authority({ trustDomain, signer, certificate }))
  const pem = (der: Uint8Array): Buffer =>
    Buffer.from(`-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`)
  return {
    authority: pem(certificate),
    tls: {
      cert_chain: Buffer.concat(svid.certificates.map(pem)),
      private_key: Buffer.from(key.tlsKey.export({ type: 'pkcs8', format: 'pem' })),
    },
  }
}
