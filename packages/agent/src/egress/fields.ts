import { AimsError } from 'aims/base'
import type { BrokerRule } from './rules.ts'

/** Header fields as they came or go: pairs in order. */
export type FieldPairs = readonly (readonly [name: string, value: string])[]

/** True for the name of a header field or method (RFC 9110, section 5.6.2). */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,128}$/.test(text)
}

/** About one connection, and never passed on (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Carry credentials, or are where we put ours. */
const CREDENTIALS = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'cookie2',
  'workload-identity-token',
  'workload-proof-token',
  'txn-token',
  'dpop',
  'signature',
  'signature-input',
  'accept-signature',
  'wimse-aud',
  'x-api-key',
  'api-key',
  'x-auth-token',
])

/** What the broker says itself, or what could be used to get an answer in pieces, or to speak for others. */
const NOT_PASSED_ON = new Set([
  'host',
  'content-length',
  'expect',
  'accept-encoding',
  'range',
  'if-range',
  'forwarded',
  'via',
  'x-real-ip',
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  // Some servers take another path, method or host out of these than the one that a rule has allowed.
  'x-original-url',
  'x-original-uri',
  'x-original-method',
  'x-original-host',
  'x-rewrite-url',
  'x-host',
  // Who calls, as a proxy in front of a server says it (RFC 9440, and common use).
  'client-cert',
  'client-cert-chain',
  'x-client-ip',
  'true-client-ip',
])
const FORWARDED = /^x-forwarded-/

/** Give a caller something to hold that it must not have. */
const NOT_RETURNED = new Set([
  'set-cookie',
  'set-cookie2',
  'authorization',
  'proxy-authorization',
  'cookie',
  'authentication-info',
  'www-authenticate',
  'content-length',
  'content-encoding',
  'alt-svc',
  'signature',
  'signature-input',
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
  'workload-identity-token',
  'workload-proof-token',
  'txn-token',
])

const MAX_FIELDS = 100

/** What Node tells of the header of a request, and which we look at ourselves. */
export function pairsOf(rawHeaders: readonly string[]): FieldPairs {
  const pairs: (readonly [string, string])[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    pairs.push([(rawHeaders[at] ?? '').toLowerCase(), rawHeaders[at + 1] ?? ''])
  }
  return pairs
}

/**
 * Refuses a header that can be read in more than one way.
 *
 * @throws {@link AimsError} `egress.request_malformed`
 * @see RFC 9112 sections 3.2, 6.1 and 6.3
 */
export function requirePlainFields(fields: FieldPairs): void {
  const count = (name: string): number => fields.filter(([one]) => one === name).length
  if (fields.length > MAX_FIELDS) throw malformed('more header fields than are taken')
  if (count('host') !== 1) throw malformed('not exactly one Host')
  for (const name of ['content-length', 'transfer-encoding', 'content-type', 'content-encoding', 'expect']) {
    if (count(name) > 1) throw malformed('a field that may come once comes twice')
  }
  if (count('content-length') + count('transfer-encoding') > 1) throw malformed('two lengths of one body')
  const coding = fields.find(([name]) => name === 'transfer-encoding')?.[1]
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') throw malformed('a transfer coding besides chunked')
  if (count('upgrade') > 0) throw malformed('another protocol is asked for')
  // Another spelling of a field that is taken out.
  if (fields.some(([name]) => plain(name) !== name && isTakenOut(plain(name))))
    throw malformed('a field in a spelling that servers read differently')
}

/**
 * The fields of a caller that go on to the destination.
 *
 * @throws {@link AimsError} `egress.own_credentials`, when the rule refuses them; `egress.request_malformed`
 */
export function fieldsToPassOn(fields: FieldPairs, { ownCredentials, credential }: BrokerRule): FieldPairs {
  const named = new Set(
    fields.filter(([name]) => name === 'connection').flatMap(([, value]) => value.toLowerCase().split(/[ \t]*,[ \t]*/)),
  )
  const ours = credential.kind === 'secret' && credential.place.in === 'header' ? credential.place.name : undefined
  if (ours !== undefined && fields.some(([name]) => name !== ours && plain(name) === plain(ours)))
    throw malformed('the field of the credential in a spelling that servers read alike')
  const isCredential = (name: string): boolean => CREDENTIALS.has(name) || name === ours
  if (ownCredentials === 'refuse' && fields.some(([name]) => isCredential(name)))
    throw new AimsError('egress.own_credentials', 'the request carries a credential of its own')
  return fields.filter(([name]) => !isTakenOut(name) && !isCredential(name) && !named.has(name))
}

/** The fields of an answer that its caller may see. Their values have been looked through by nobody yet. */
export function fieldsToReturn(fields: FieldPairs): FieldPairs {
  return fields.filter(([name]) => !HOP_BY_HOP.has(name) && !NOT_RETURNED.has(name))
}

function isTakenOut(name: string): boolean {
  return HOP_BY_HOP.has(name) || NOT_PASSED_ON.has(name) || FORWARDED.test(name) || CREDENTIALS.has(name)
}

// WSGI makes one name of `x_vendor_key` and `x-vendor-key`, CGI of every character that is no letter or digit.
function plain(name: string): string {
  return name.replace(/[^a-z0-9]/g, '-')
}

function malformed(what: string): AimsError {
  return new AimsError('egress.request_malformed', `the request cannot be passed on: ${what}`)
}
