// Bundle endpoints of test trust domains, on ports of this machine.
import type { RequestListener } from 'node:http'
import { connect } from 'node:net'
import { verificationKey, WorkloadKey } from '../../packages/aims/src/base/keys.ts'
import type { OutboundOptions } from '../../packages/aims/src/base/outbound.ts'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import type { TrustBundle } from '../../packages/aims/src/credentials/bundle/bundle.ts'
import { serializeBundle } from '../../packages/aims/src/credentials/bundle/serialize.ts'
import type { X509Svid } from '../../packages/aims/src/credentials/x509-svid/source.ts'
import { PUBLIC_ADDRESS, type TlsHost, tlsHost } from './tls-host.ts'
import { type TestCa, testCa } from './x509-identities.ts'

/** A trust domain that others federate with: a CA, and keys for JWT-SVIDs and WITs. */
export interface FederatedDomain {
  readonly ca: TestCa
  readonly jwtKey: WorkloadKey
  readonly witKey: WorkloadKey
  readonly bundle: TrustBundle
}

export async function federatedDomain(name: string, sequence = 5n): Promise<FederatedDomain> {
  const ca = await testCa(name)
  const jwtKey = WorkloadKey.generate()
  const witKey = WorkloadKey.generate()
  const authority = ({ kid, publicKey }: WorkloadKey) => new Map([[kid, verificationKey(publicKey, { kid })]])
  const bundle = {
    ...ca.bundle,
    jwtAuthorities: authority(jwtKey),
    witAuthorities: authority(witKey),
    sequence,
    refreshHint: 60,
  }
  return { ca, jwtKey, witKey, bundle }
}

/** What an endpoint answers. */
export const serving: (bundle: TrustBundle | string) => RequestListener = (bundle) => (_request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(typeof bundle === 'string' ? bundle : serializeBundle(bundle, { includeWit: true }))
}

/** Starts an endpoint that presents this X.509-SVID. */
export function spiffeEndpoint(svid: X509Svid, listener: RequestListener): Promise<TlsHost> {
  const cert = svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join('')
  const key = svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' })
  return tlsHost(['ignored.example'], listener, { cert, key })
}

/** A network in which every name is public and `hosts` says where its connections end. */
export function network(
  hosts: { readonly [name: string]: TlsHost },
  addresses: { readonly [name: string]: string } = {},
): Pick<OutboundOptions<string>, 'resolve' | 'connect'> & { readonly connected: readonly string[] } {
  const connected: string[] = []
  const names = Object.keys(hosts)
  const addressOf = (name: string): string =>
    addresses[name] ?? PUBLIC_ADDRESS.replace(/\d+$/, String(names.indexOf(name) + 1))
  return {
    connected,
    resolve: async (name) => [addressOf(name)],
    connect(address, port) {
      connected.push(`${address}:${port}`)
      const name = names.find((one) => addressOf(one) === address) ?? ''
      return connect({ host: '127.0.0.1', port: hosts[name]?.port ?? 1 })
    },
  }
}
