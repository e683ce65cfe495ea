// Checks Signature Version 4 from the raw request, written from the documentation and on its own: a mistake in the signer of
// the library is not repeated here.
import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export interface SigV4User {
  readonly secret: string
  readonly token?: string
}

export type SigV4Refusal = 'InvalidClientTokenId' | 'SignatureDoesNotMatch' | 'RequestExpired'

export interface SigV4Judged<User> {
  readonly user: User
  readonly isPresigned: boolean
  readonly url: URL
  readonly region: string
  readonly service: string
}

/** Who signed a request, or why it is refused. `now`: seconds since the epoch. */
export function judgeSigV4<User extends SigV4User>(
  request: IncomingMessage,
  body: string | Buffer,
  users: { readonly [accessKeyId: string]: User },
  now: number,
): SigV4Judged<User> | SigV4Refusal {
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
  if (user === undefined || (token ?? undefined) !== user.token) return 'InvalidClientTokenId'

  const query = (url.search.slice(1) === '' ? [] : url.search.slice(1).split('&'))
    .filter((pair) => !pair.startsWith('X-Amz-Signature='))
    .sort()
    .join('&')
  const signedNames = names.split(';')
  const headers = signedNames.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`).join('')
  const hex = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
  const canonical = `${request.method}\n${url.pathname}\n${query}\n${headers}\n${names}\n${hex(body)}`
  const toSign = `AWS4-HMAC-SHA256\n${date}\n${day}/${region}/${service}/${end}\n${hex(canonical)}`
  const mac = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest()
  const key = mac(mac(mac(mac(`AWS4${user.secret}`, day), region), service), 'aws4_request')
  if (mac(key, toSign).toString('hex') !== signature) return 'SignatureDoesNotMatch'
  // Every x-amz header and the host must have been signed.
  const mustBeSigned = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'))
  if (!mustBeSigned.every((name) => signedNames.includes(name))) return 'SignatureDoesNotMatch'

  const at = Date.parse(date.replace(/(....)(..)(..)T(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z')) / 1000
  const life = isPresigned ? Number(url.searchParams.get('X-Amz-Expires')) : 900
  if (!(Math.abs(now - at) <= Math.max(life, 300)) || now > at + life) return 'RequestExpired'
  return { user, isPresigned, url, region, service }
}
