// The security token service on loopback. It checks Signature Version 4 from the raw request, written from the
// documentation and on its own: a mistake in the signer of the library is not repeated here.
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metadataExchange } from '../../packages/aims/src/attestation/collect/metadata.ts'
import type { Exchange } from '../../packages/aims/src/attestation/exchange.ts'

export interface StsUser {
  readonly secret: string
  readonly token?: string
  readonly account: string
  readonly arn: string
  readonly userId: string
}

export interface FakeSts {
  /** Sends what is meant for any endpoint of AWS here, with the Host it was meant for. */
  readonly exchange: Exchange
  /** Every request that came, as method and address. */
  readonly requests: readonly {
    readonly method: string
    readonly url: string
    readonly headers: IncomingMessage['headers']
  }[]
  close(): void
}

/** `now`: seconds since the epoch. */
export async function startFakeSts(
  users: { readonly [accessKeyId: string]: StsUser },
  now: () => number,
): Promise<FakeSts> {
  const requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []
  const listener = stsListener(users, now)
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    requests.push({ method, url, headers })
    listener(request, response)
  })
  await listen(server)
  const { port } = server.address() as AddressInfo
  const send = metadataExchange()
  return {
    requests,
    exchange: (request) => {
      const { host, pathname, search, protocol } = new URL(request.url)
      if (protocol !== 'https:') throw new Error('AWS is asked over TLS')
      return send({
        ...request,
        url: `http://127.0.0.1:${port}${pathname}${search}`,
        headers: { ...request.headers, host },
      })
    },
    close: () => server.close(),
  }
}

/** The service itself, whatever carries its requests. */
export function stsListener(users: { readonly [accessKeyId: string]: StsUser }, now: () => number): RequestListener {
  return async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const answer = judge(request, body, users, now())
    const isJson = request.headers.accept === 'application/json'
    response.writeHead(answer.status, { 'content-type': isJson ? 'application/json' : 'text/xml' })
    response.end(isJson ? JSON.stringify(answer.document) : '<ErrorOrResponse/>')
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
}

interface Answer {
  readonly status: number
  readonly document: object
}

const refusal = (status: number, code: string): Answer => ({
  status,
  document: { Error: { Code: code, Type: 'Sender' } },
})

function judge(request: IncomingMessage, body: string, users: { readonly [id: string]: StsUser }, now: number): Answer {
  const url = new URL(request.url ?? '', `http://${request.headers.host}`)
  const isPresigned = url.searchParams.has('X-Amz-Signature')
  const authorization = request.headers.authorization ?? ''
  const field = (name: string) => new RegExp(`${name}=([^,]+)`).exec(authorization)?.[1] ?? ''
  const credential = (isPresigned ? url.searchParams.get('X-Amz-Credential') : field('Credential')) ?? ''
  const names = (isPresigned ? url.searchParams.get('X-Amz-SignedHeaders') : field('SignedHeaders')) ?? ''
  const signature = (isPresigned ? url.searchParams.get('X-Amz-Signature') : field('Signature')) ?? ''
  const date = String((isPresigned ? url.searchParams.get('X-Amz-Date') : request.headers['x-amz-date']) ?? '')
  const token = isPresigned ? url.searchParams.get('X-Amz-Security-Token') : request.headers['x-amz-security-token']
  const [id = '', day = '', region = '', service = '', end = ''] = credential.split('/')
  const user = users[id]
  if (user === undefined || (token ?? undefined) !== user.token) return refusal(403, 'InvalidClientTokenId')

  const query = (url.search.slice(1) === '' ? [] : url.search.slice(1).split('&'))
    .filter((pair) => !pair.startsWith('X-Amz-Signature='))
    .sort()
    .join('&')
  const signedNames = names.split(';')
  const headers = signedNames.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`).join('')
  const hex = (text: string) => createHash('sha256').update(text).digest('hex')
  const canonical = `${request.method}\n${url.pathname}\n${query}\n${headers}\n${names}\n${hex(body)}`
  const toSign = `AWS4-HMAC-SHA256\n${date}\n${day}/${region}/${service}/${end}\n${hex(canonical)}`
  const mac = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest()
  const key = mac(mac(mac(mac(`AWS4${user.secret}`, day), region), service), 'aws4_request')
  if (mac(key, toSign).toString('hex') !== signature) return refusal(403, 'SignatureDoesNotMatch')
  // Every x-amz header and the host must have been signed.
  const mustBeSigned = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'))
  if (!mustBeSigned.every((name) => signedNames.includes(name))) return refusal(403, 'SignatureDoesNotMatch')

  const at = Date.parse(date.replace(/(....)(..)(..)T(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z')) / 1000
  const life = isPresigned ? Number(url.searchParams.get('X-Amz-Expires')) : 900
  if (!(Math.abs(now - at) <= Math.max(life, 300)) || now > at + life) return refusal(403, 'RequestExpired')
  const parameters = isPresigned ? url.searchParams : new URLSearchParams(body)
  if (parameters.get('Action') !== 'GetCallerIdentity') return refusal(400, 'InvalidAction')
  return {
    status: 200,
    document: {
      GetCallerIdentityResponse: {
        GetCallerIdentityResult: { Account: user.account, Arn: user.arn, UserId: user.userId },
        ResponseMetadata: { RequestId: '00000000-0000-0000-0000-000000000000' },
      },
    },
  }
}
