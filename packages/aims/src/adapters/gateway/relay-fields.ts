import type { OutgoingHttpHeaders } from 'node:http'
import type { RawHeaders } from '../../authentication/carriage.ts'
import { AimsError } from '../../base/errors.ts'

/** Fields about one connection, never about the message. `Connection` may name more. @see RFC 9110 section 7.6.1 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
])

/** What `Connection` may name. Anything else would be a request to take a field of the message away. */
const CONNECTION_OPTIONS: ReadonlySet<string> = new Set(['close', 'keep-alive', 'upgrade', 'te', 'http2-settings'])

// No object: clients choose the names that are looked up, `__proto__` among them.
const PLAIN: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['connection', (value) => value.split(',').every((option) => CONNECTION_OPTIONS.has(option.trim()))],
  ['transfer-encoding', (value) => value === 'chunked'],
])

/** Fields that say where a message goes or ends; two of them are two messages to two readers. */
const SINGLE_FIELDS = ['host', 'content-length', 'content-type', 'transfer-encoding', 'upgrade'] as const

/**
 * Refuses heads that two servers could read differently, beyond what the parser refuses.
 *
 * @throws {@link AimsError} `authentication.duplicate_field`, `authentication.malformed_field`
 * @see security notes H1; RFC 9112 section 11.2
 */
export function requirePlainHead(headers: RawHeaders): void {
  const names = headers.map(([name]) => name.toLowerCase())
  for (const name of SINGLE_FIELDS) {
    if (names.indexOf(name) !== names.lastIndexOf(name)) {
      throw new AimsError('authentication.duplicate_field', 'a field about the message occurs twice')
    }
  }
  for (const [name, value] of headers) {
    if (PLAIN.get(name.toLowerCase())?.(value.toLowerCase()) === false) {
      throw new AimsError('authentication.malformed_field', 'Connection or Transfer-Encoding is not a plain one')
    }
  }
}

/** The fields of a message for its next hop: without those about this connection, and without some more. */
export function endToEnd(headers: RawHeaders, remove: readonly string[] = []): RawHeaders {
  const others = new Set(remove.map((name) => name.toLowerCase()))
  return headers.filter(([name]) => {
    const field = name.toLowerCase()
    return !HOP_BY_HOP.has(field) && !others.has(field)
  })
}

/** Fields by name, as Node takes them: one value, or all of several. */
export function grouped(headers: RawHeaders): OutgoingHttpHeaders {
  const groups = new Map<string, string[]>()
  for (const [name, value] of headers) {
    const field = name.toLowerCase()
    const values = groups.get(field)
    if (values === undefined) groups.set(field, [value])
    else values.push(value)
  }
  return Object.fromEntries([...groups].map(([name, values]) => [name, values.length > 1 ? values : values[0]]))
}
