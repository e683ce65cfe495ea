import { AimsError } from '../base/errors.ts'
import { parseWorkloadSpiffeId, type SpiffeId } from '../identifiers/spiffe-id.ts'
import type { RawHeaders } from './carriage.ts'

/** The field in which Envoy says whose certificate it has verified. */
const FORWARDED_CERTIFICATE = 'x-forwarded-client-cert'

/** What a proxy says of the client behind it. It is as good as the proxy's word. */
export interface ForwardedCertificate {
  readonly id: SpiffeId
  /** SHA-256 of the certificate, lower-case hex, where the proxy tells it. */
  readonly hash?: string
}

/**
 * Reads `X-Forwarded-Client-Cert`, strictly: one field, about one client (Envoy: `SANITIZE_SET`), with one URI that is
 * the SPIFFE ID of a workload. `By`, `Subject`, `DNS`, `Cert` and `Chain` are not looked at.
 *
 * @returns `undefined` where the proxy says nothing.
 * @throws {@link AimsError} `authentication.duplicate_field`, `authentication.malformed_field`
 * @see Envoy, "HTTP header manipulation", x-forwarded-client-cert
 */
export function readForwardedCertificate(headers: RawHeaders): ForwardedCertificate | undefined {
  const [field, ...others] = headers.filter(([name]) => name.toLowerCase() === FORWARDED_CERTIFICATE)
  if (field === undefined) return undefined
  if (others.length > 0) {
    throw new AimsError('authentication.duplicate_field', 'X-Forwarded-Client-Cert occurs more than once')
  }
  const pairs = readPairs(field[1])
  const uris = pairs.filter(([key]) => key === 'uri')
  const hash = pairs.find(([key]) => key === 'hash')?.[1]
  const [uri] = uris
  if (uri === undefined || uris.length > 1) malformed('it does not name one URI')
  if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash)) malformed('Hash is not SHA-256 in hex')
  return { id: readId(uri[1]), ...(hash === undefined ? {} : { hash }) }
}

const PAIR = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=\s]*))/y
const KEYS: ReadonlySet<string> = new Set(['by', 'hash', 'cert', 'chain', 'subject', 'uri', 'dns'])

// A comma would begin what another proxy said before.
function readPairs(text: string): readonly (readonly [key: string, value: string])[] {
  const pairs: [string, string][] = []
  for (let at = 0; ; at += 1) {
    PAIR.lastIndex = at
    const pair = PAIR.exec(text)
    const key = pair?.[1]?.toLowerCase() ?? ''
    if (pair === null || !KEYS.has(key)) malformed('it is not one list of known keys and values')
    pairs.push([key, pair[2]?.replace(/\\(.)/g, '$1') ?? pair[3] ?? ''])
    at = PAIR.lastIndex
    if (at === text.length) return pairs
    if (text[at] !== ';') malformed('it is about more than one client')
  }
}

function readId(uri: string): SpiffeId {
  try {
    return parseWorkloadSpiffeId(uri)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('authentication.malformed_field', 'X-Forwarded-Client-Cert names no SPIFFE ID', { cause })
  }
}

function malformed(why: string): never {
  throw new AimsError('authentication.malformed_field', `X-Forwarded-Client-Cert cannot be used: ${why}`)
}
