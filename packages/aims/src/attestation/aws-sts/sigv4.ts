import { createHash, createHmac } from 'node:crypto'

/** Credentials of AWS. Secret. */
export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** With temporary credentials. */
  readonly sessionToken?: string
}

/** What is signed: one request, in its parts. */
export interface SigV4Request {
  readonly method: 'GET' | 'POST'
  /** Absolute path, encoded. */
  readonly path: string
  readonly query: { readonly [name: string]: string }
  /** Names in lower case; all are signed. */
  readonly headers: { readonly [name: string]: string }
  readonly body: string
  readonly region: string
  readonly service: string
  /** `YYYYMMDDTHHMMSSZ` */
  readonly date: string
}

/** The signature of AWS Signature Version 4, hex. */
export function signatureV4(request: SigV4Request, credentials: AwsCredentials): string {
  const { method, path, query, headers, body, region, service, date } = request
  const canonical = [
    method,
    path,
    canonicalQuery(query),
    ...Object.keys(headers)
      .toSorted()
      .map((name) => `${name}:${headers[name]}`),
    '',
    signedHeaders(headers),
    sha256Hex(body),
  ].join('\n')
  const day = date.slice(0, 8)
  const toSign = ['AWS4-HMAC-SHA256', date, `${day}/${region}/${service}/aws4_request`, sha256Hex(canonical)].join('\n')
  const key = [day, region, service, 'aws4_request'].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${credentials.secretAccessKey}`),
  )
  return hmac(key, toSign).toString('hex')
}

/** Names of the signed headers, as they stand in a request. */
export function signedHeaders(headers: SigV4Request['headers']): string {
  return Object.keys(headers).toSorted().join(';')
}

/** A query in the one form that is signed: sorted, with every character encoded that is not unreserved. */
export function canonicalQuery(query: SigV4Request['query']): string {
  return Object.entries(query)
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** Seconds since the epoch as `YYYYMMDDTHHMMSSZ`. */
export function sigV4Date(seconds: number): string {
  return new Date(Math.floor(seconds) * 1000).toISOString().replaceAll(/[-:]|\.000/g, '')
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
