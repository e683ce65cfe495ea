// A host of the internet, on a port of this machine.
import type { RequestListener } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { OutboundOptions, OutboundPurpose } from '../../packages/aims/src/base/outbound.ts'
import { encodePem } from '../../packages/aims/src/base/pem.ts'
import { extendedUsage, makeCertificate, makeRoot, newKey, type PkiCertificate, subjectAltDns } from './vendor-pki.ts'

const root: PkiCertificate = makeRoot('Test Web Root', { key: newKey('P-256') })

/** The authority of all such hosts, PEM. */
export const webAuthority: string = encodePem('CERTIFICATE', root.der)

/** Where the names of these tests lead to: an address of the public internet that nothing is sent to. */
export const PUBLIC_ADDRESS = '93.184.215.14'

export interface TlsHost extends AsyncDisposable {
  readonly port: number
  /** Requests that came, as `GET example.com/path`. */
  readonly requests: readonly string[]
}

/** Starts a host with a certificate for these names. */
export async function tlsHost(
  names: readonly string[],
  listener: RequestListener,
  more: ServerOptions = {},
): Promise<TlsHost> {
  const { der, key } = makeCertificate({
    subject: names[0] ?? '',
    issuer: root,
    key: newKey('P-256'),
    extensions: [subjectAltDns(...names), extendedUsage('1.3.6.1.5.5.7.3.1')],
  })
  const requests: string[] = []
  const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' })
  const server = createServer({ key: pem, cert: encodePem('CERTIFICATE', der), ...more }, (request, response) => {
    requests.push(`${request.method} ${request.headers.host}${request.url}`)
    listener(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Options that lead every name and every connection to this host, and what was connected to. */
export function towards<Purpose extends string>(
  host: TlsHost,
  purposes: { readonly [name in Purpose]: OutboundPurpose },
): OutboundOptions<Purpose> & { readonly connected: readonly string[] } {
  const connected: string[] = []
  return {
    purposes,
    connected,
    resolve: async () => [PUBLIC_ADDRESS],
    connect(address, port): Socket {
      connected.push(`${address}:${port}`)
      return connect({ host: '127.0.0.1', port: host.port })
    },
  }
}
