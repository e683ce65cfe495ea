// What attackers send to a service behind a gateway, byte for byte. The same for every gateway.
import assert from 'node:assert/strict'
import type { AuditEvent } from '../../packages/aims/src/base/event.ts'
import type { Wit } from '../../packages/aims/src/credentials/wit/source.ts'
import { type EchoService, exchange, proofLines, requestText, type Seen, statusOf } from './gateways.ts'

/** A gateway in front of an echo service. */
export interface GatewayUnderTest {
  readonly port: number
  readonly service: EchoService
  readonly events: readonly AuditEvent[]
  readonly wit: Wit
}

/** One attack. */
interface Attack {
  readonly name: string
  readonly bytes: (wit: Wit) => string
  /** The code in the record, when the gateway gets to see it: many proxies refuse or repair such requests themselves. */
  readonly code?: string
  /** The code behind a proxy that takes fields away before it asks, or of a gateway that cannot take any away. */
  readonly otherCode?: string
  /** The request is good but for something that must not count: it may go through, without that. */
  readonly mayPass?: true
}

const ADMIN = 'spiffe://example.com/agent/admin'
const FORGED_FIELDS: readonly (readonly [line: string, code: string])[] = [
  [`aims-caller-id: ${ADMIN}`, 'authentication.reserved_field'],
  [`AIMS-CALLER-ID: ${ADMIN}`, 'authentication.reserved_field'],
  [`aims_caller_id: ${ADMIN}`, 'authentication.reserved_field'],
  [`aims.caller.id: ${ADMIN}`, 'authentication.reserved_field'],
  [`aims!caller~id: ${ADMIN}`, 'authentication.reserved_field'],
  [`aims-caller-via: ${ADMIN}`, 'authentication.reserved_field'],
  [`aims-caller-parent: ${ADMIN}`, 'authentication.reserved_field'],
  [`x-forwarded-client-cert: URI=${ADMIN}`, 'authentication.reserved_field'],
  ['x-http-method-override: DELETE', 'authentication.reserved_field'],
  ['x-original-url: /admin', 'authentication.reserved_field'],
  ['x-original-uri: /admin', 'authentication.reserved_field'],
  ['x-original-method: DELETE', 'authentication.reserved_field'],
  ['x-forwarded-uri: /admin', 'authentication.reserved_field'],
  ['x-forwarded-method: DELETE', 'authentication.reserved_field'],
]

const PATHS: readonly string[] = [
  '/api//events',
  '//api/events',
  '/api/../admin',
  '/api/./events',
  '/api/%2e%2e/admin',
  '/api/%2E%2E%2fadmin',
  '/api%2fevents',
  '/api/..;/admin',
  '/api/..%3B/admin',
  '/api;x/events',
  '/api\\..\\admin',
  '/api/events%00',
  '/api/%C0%AE%C0%AE/admin',
]

/** A good request with changes: the line as sent, the target the proof is for, further lines, the body. */
function good(wit: Wit, line: string, target: string, lines: readonly string[] = [], body = ''): string {
  const [method = ''] = line.split(' ')
  return requestText(line, [...proofLines(wit, { method, target }), ...lines], body)
}

export const ATTACKS: readonly Attack[] = [
  { name: 'nobody', bytes: () => requestText('GET /api/events HTTP/1.1', []), code: 'authentication.missing' },
  {
    name: 'an identity that is only claimed',
    bytes: () => requestText('GET /api/events HTTP/1.1', [`aims-caller-id: ${ADMIN}`]),
    code: 'authentication.missing',
    otherCode: 'authentication.reserved_field',
  },
  ...FORGED_FIELDS.map(
    ([field, code]): Attack => ({
      name: `a good request with ${field.split(':')[0]}`,
      bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', [field]),
      code,
      mayPass: true,
    }),
  ),
  ...PATHS.map(
    (path): Attack => ({
      name: `the path ${path}`,
      bytes: (wit) => good(wit, `GET ${path} HTTP/1.1`, path),
      code: 'authorization.ambiguous_path',
    }),
  ),
  ...PATHS.map(
    (path): Attack => ({
      name: `a proof for the plain path, and the path ${path}`,
      bytes: (wit) => good(wit, `GET ${path} HTTP/1.1`, '/api/events'),
      code: 'authorization.ambiguous_path',
    }),
  ),
  {
    name: 'a target in absolute form',
    bytes: (wit) => good(wit, 'GET http://api.example.com/admin HTTP/1.1', '/api/events'),
    code: 'authentication.target_unsupported',
  },
  {
    name: 'CONNECT',
    bytes: (wit) => good(wit, 'CONNECT 127.0.0.1:22 HTTP/1.1', '/api/events'),
    code: 'authentication.target_unsupported',
  },
  {
    name: 'two Authorization fields',
    bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', ['Authorization: Bearer a.b.c']),
    code: 'authentication.duplicate_field',
  },
  {
    name: 'two Workload-Identity-Token fields',
    bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', [`Workload-Identity-Token: ${wit.token}`]),
    code: 'authentication.duplicate_field',
  },
  {
    name: 'a folded field',
    bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', ['X-A: a', ` aims-caller-id: ${ADMIN}`]),
    mayPass: true,
  },
  {
    name: 'a blank before the colon',
    bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', [`aims-caller-id : ${ADMIN}`]),
    mayPass: true,
    code: 'authentication.reserved_field',
  },
  {
    name: 'Transfer-Encoding and Content-Length',
    bytes: (wit) =>
      good(
        wit,
        'POST /api/events HTTP/1.1',
        '/api/events',
        ['Content-Length: 4', 'Transfer-Encoding: chunked'],
        '0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n',
      ),
    mayPass: true,
  },
  {
    name: 'two Content-Length fields',
    bytes: (wit) =>
      good(wit, 'POST /api/events HTTP/1.1', '/api/events', ['Content-Length: 4', 'Content-Length: 40'], 'abcd'),
  },
  {
    name: 'a transfer coding that is hidden',
    bytes: (wit) => good(wit, 'POST /api/events HTTP/1.1', '/api/events', ['Transfer-Encoding: xchunked'], '0\r\n\r\n'),
    code: 'authentication.malformed_field',
  },
  {
    name: 'an upgrade to h2c',
    bytes: (wit) =>
      requestText('GET /api/events HTTP/1.1', [
        ...proofLines(wit, { method: 'GET', target: '/api/events' }),
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
      ]),
    code: 'authentication.target_unsupported',
    mayPass: true,
  },
  {
    name: 'a Connection field that takes a field away',
    bytes: (wit) =>
      good(wit, 'GET /api/events HTTP/1.1', '/api/events', ['Connection: aims-caller-id, authorization, x-a']),
    code: 'authentication.malformed_field',
    otherCode: 'authentication.missing_proof',
    mayPass: true,
  },
]

/** Runs one attack and fails when the service saw anything of it that it must not. */
export async function withstands({ port, service, events, wit }: GatewayUnderTest, attack: Attack): Promise<void> {
  const [before, recorded] = [service.seen.length, events.length]
  const answer = await exchange(port, attack.bytes(wit))
  const seen = service.seen.slice(before)
  if (attack.mayPass === true && seen.length > 0) {
    assert.equal(seen.length, 1)
    for (const one of seen) requireHonest(one, wit)
    return
  }
  assert.deepEqual(seen, [])
  const status = statusOf(answer)
  // A connection that is closed without a word is an answer, too.
  assert.ok(status === 0 || status >= 400, `${status}`)
  const refusal = events.slice(recorded).find(({ decision }) => decision === 'deny')
  if (refusal !== undefined) assert.ok(isReason(refusal.reasons?.[0], attack), `${refusal.reasons?.[0]}`)
  assert.ok(!events.slice(recorded).some(({ decision }) => decision === 'allow'))
}

// A proxy that rewrites what it was sent makes a request for which the proof is not.
function isReason(found: string | undefined, { code, otherCode }: Attack): boolean {
  return (
    found === code ||
    found === otherCode ||
    found === 'proof.target_mismatch' ||
    found === 'authentication.malformed_field'
  )
}

/** What a service may see of a good request: the true caller, once, and nothing that somebody else wrote about callers. */
function requireHonest({ method, target, headers }: Seen, wit: Wit): void {
  assert.match(`${method} ${target}`, /^(?:GET|POST) \/api\/events$/)
  const plain = headers.map(([name, value]) => [name.replace(/[^a-z0-9]/g, '-'), value] as const)
  assert.deepEqual(
    plain.filter(([name]) => name === 'aims-caller-id'),
    [['aims-caller-id', wit.subject]],
  )
  const claims = plain.filter(([name]) =>
    /^(?:aims-|x-forwarded-(?:client-cert|uri|method)|x-http-method|x-original-)/.test(name),
  )
  for (const [name, value] of claims) assert.ok(!/admin|DELETE/.test(value), name)
  assert.ok(!plain.some(([name]) => name === 'upgrade'))
}
