import { request as httpRequest } from 'node:http'
import { AimsError } from '../../base/errors.ts'
import type { Exchange, ExchangeRequest, ExchangeResponse } from '../exchange.ts'

const MAX_ANSWER = 65_536

/**
 * Makes the {@link Exchange} for metadata services, which speak plain HTTP on a link-local address: no redirects, no
 * proxy, answers of at most 64 KiB.
 *
 * @param timeout - Milliseconds until the whole answer must be here. Default 2000.
 */
export function metadataExchange(timeout = 2000): Exchange {
  return ({ method, url, headers, body }) =>
    new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeout)
      const request = httpRequest(url, { method, headers, signal, agent: false }, (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > MAX_ANSWER) request.destroy(new Error('the answer is larger than 64 KiB'))
          else chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const answered = Object.entries(response.headers).filter(
            (one): one is [string, string] => typeof one[1] === 'string',
          )
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(answered),
            body: Buffer.concat(chunks),
          })
        })
      })
      request.on('error', reject)
      request.end(body)
    })
}

/**
 * Asks a metadata service and returns the body of its answer 200; `undefined` when nobody answers at all.
 *
 * @throws {@link AimsError} `attestation.collection_failed`
 */
export async function askMetadata(exchange: Exchange, request: ExchangeRequest): Promise<Uint8Array | undefined> {
  return (await answerOfMetadata(exchange, request))?.body
}

/** {@link askMetadata} with the headers of the answer. */
export async function answerOfMetadata(
  exchange: Exchange,
  request: ExchangeRequest,
): Promise<ExchangeResponse | undefined> {
  let answer: ExchangeResponse
  try {
    answer = await exchange(request)
  } catch {
    return undefined
  }
  if (answer.status !== 200) {
    throw new AimsError('attestation.collection_failed', `the metadata service answers ${answer.status}`)
  }
  return answer
}
