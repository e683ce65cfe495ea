// The metadata services of AWS and Azure on loopback, as strict about their protocol as the real ones.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { iidMessage } from './aws-iid.ts'
import { AZURE_NOW, azureContent, azureMessage } from './azure-document.ts'

export interface FakeMetadata {
  readonly endpoint: string
  close(): void
}

interface Answer {
  readonly status: number
  readonly body?: string
}

type Service = (request: IncomingMessage, url: URL) => Answer

async function start(service: Service): Promise<FakeMetadata> {
  const server = createServer((request, response) => {
    // Both refuse whatever came through a proxy.
    const forwarded = request.headers['x-forwarded-for'] !== undefined
    const answer = forwarded ? { status: 403 } : service(request, new URL(request.url ?? '', 'http://metadata'))
    response.writeHead(answer.status).end(answer.body ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

/** Version 2 of the EC2 service. `files` are by path, beside the identity document. */
export function startAwsMetadata(files: { readonly [path: string]: string } = {}): Promise<FakeMetadata> {
  const tokens = new Set<string>()
  return start(({ method, headers }, { pathname }) => {
    if (pathname === '/latest/api/token') {
      if (method !== 'PUT') return { status: 405 }
      const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > 21_600) return { status: 400 }
      const token = `token-${tokens.size}==`
      tokens.add(token)
      return { status: 200, body: token }
    }
    if (!tokens.has(String(headers['x-aws-ec2-metadata-token']))) return { status: 401 }
    if (pathname === '/latest/dynamic/instance-identity/rsa2048') {
      const lines =
        iidMessage()
          .toString('base64')
          .match(/.{1,64}/g) ?? []
      return { status: 200, body: lines.join('\n') }
    }
    const file = files[pathname]
    return file === undefined ? { status: 404 } : { status: 200, body: file }
  })
}

/** `now`: seconds since the epoch, of its clock. */
export function startAzureMetadata(now: () => number = () => AZURE_NOW): Promise<FakeMetadata> {
  return start(({ method, headers }, { pathname, searchParams }) => {
    if (headers.metadata !== 'true' || searchParams.get('api-version') === null) return { status: 400 }
    if (method !== 'GET' || pathname !== '/metadata/attested/document') return { status: 404 }
    const nonce = searchParams.get('nonce')
    if (nonce !== null && !/^[A-Za-z0-9]{1,32}$/.test(nonce)) return { status: 400 }
    const window = { createdOn: Math.floor(now()) - 60, expiresOn: Math.floor(now()) + 21_540 }
    const message = azureMessage(azureContent({ ...(nonce === null ? {} : { nonce }), ...window }))
    return { status: 200, body: JSON.stringify({ encoding: 'pkcs7', signature: message.toString('base64') }) }
  })
}
