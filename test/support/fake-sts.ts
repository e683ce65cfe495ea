// The security token service on loopback. It checks the signature of the raw request.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metadataExchange } from '../../packages/aims/src/attestation/collect/metadata.ts'
import type { Exchange } from '../../packages/aims/src/attestation/exchange.ts'
import { judgeSigV4 } from './sigv4-judge.ts'

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
  const judged = judgeSigV4(request, body, users, now)
  if (typeof judged === 'string') return refusal(403, judged)
  const { user, isPresigned, url } = judged
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
