import type { RawHeaders } from '../../authentication/carriage.ts'
import type { Principal } from '../../authentication/principal.ts'

/** The fields by which a gateway tells the service behind it who calls. No client may send one of this beginning. */
export const CALLER_FIELDS: readonly string[] = [
  'aims-caller-id',
  'aims-caller-method',
  'aims-caller-assurance',
  'aims-caller-covers',
  'aims-caller-via',
  'aims-caller-parent',
  'aims-request-id',
]

const OURS = /^aims-(?:caller-|request-id$)/

/**
 * What a client may not tell the service: who it is, as only a gateway may, and that its method or its path is another one
 * than was judged.
 */
const FORGED: ReadonlySet<string> = new Set([
  'x-forwarded-client-cert',
  // RFC 9440, section 2.4: who ends TLS takes away what a client sends under these names.
  'client-cert',
  'client-cert-chain',
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-method',
  'x-original-url',
  'x-original-uri',
  'x-forwarded-method',
  'x-forwarded-uri',
  'x-rewrite-url',
])

/** What no client may send, in the spelling with dashes. */
export const RESERVED_FIELDS: readonly string[] = [...CALLER_FIELDS, ...FORGED]

/** The proofs themselves: used up, or not for the service. */
const PROOFS: ReadonlySet<string> = new Set(['workload-identity-token', 'workload-proof-token'])

/** True for a field that would tell the service something only a gateway knows. `aims_caller.id` is read like the one with dashes. */
export function isReservedField(name: string): boolean {
  // WSGI makes one name of dashes and underscores, CGI (lighttpd, older Apache) of every character that is no letter or digit.
  const field = name.toLowerCase().replace(/[^a-z0-9]/g, '-')
  return OURS.test(field) || FORGED.has(field)
}

/** The fields of a request that must not reach the service, as they are written there. */
export function fieldsToRemove(headers: RawHeaders, caller: Principal | undefined): readonly string[] {
  const names = headers.map(([name]) => name)
  return [...new Set(names)].filter((name) => isReservedField(name) || isProof(name, headers, caller))
}

function isProof(name: string, headers: RawHeaders, caller: Principal | undefined): boolean {
  const field = name.toLowerCase()
  if (PROOFS.has(field)) return true
  if (field !== 'authorization') return false
  // A bearer token that somebody else is to judge stays, unless a proof came with it under the same name.
  const hasProof = headers.some(([one, value]) => one === name && /^wpt /i.test(value))
  return hasProof || caller?.method === 'jwt-svid' || caller?.profile === 'aims-00'
}

/** Who calls, in fields. Values have one line of visible ASCII. */
export function callerFields(caller: Principal | undefined, requestId: string): RawHeaders {
  const id: RawHeaders = [['aims-request-id', requestId]]
  if (caller === undefined) return id
  const { covers, via, delegation } = caller
  const covered = (['method', 'target', 'body'] as const).filter((part) => covers[part])
  return [
    ['aims-caller-id', caller.id],
    ['aims-caller-method', caller.method],
    ['aims-caller-assurance', caller.assurance],
    ['aims-caller-covers', covered.length === 0 ? 'none' : covered.join(' ')],
    ...(via === undefined ? [] : [['aims-caller-via', via] as const]),
    ...(delegation === undefined ? [] : [['aims-caller-parent', delegation.parent] as const]),
    ...id,
  ]
}
