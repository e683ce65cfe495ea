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
  /** The code in the record of a gateway that sees the request as it was sent. */
  readonly code?: string
  /** The code of a gateway that takes reserved fields away; `none`: then the request is good, and goes through without them. */
  readonly codeWithout?: string
}

/** What becomes of an attack, exactly. */
export type Outcome =
  /** The gateway has refused it, and recorded why. */
  | { readonly refused: string; readonly status: number }
  /** The proxy, or the parser, has refused it before anybody was asked. 0: without a word. */
  | { readonly unasked: number }
  /** It went through as the good request that it is without what must not count. */
  | 'harmless'

/** How one kind of gateway takes attacks. */
export interface Habits {
  /** Reserved fields are taken away. Otherwise requests with them are refused. */
  readonly removesFields: boolean
  /** The status of a refusal, where it is not that of the code. */
  readonly statusOf?: (code: string) => number
  /** By the name of the attack: what the proxy refuses itself, repairs, or shows otherwise than it came. */
  readonly exceptions: { readonly [attack: string]: Outcome }
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
  ['client-cert: :AAAA:', 'authentication.reserved_field'],
  ['Client-Cert-Chain: :AAAA:', 'authentication.reserved_field'],
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
    code: 'authentication.reserved_field',
    codeWithout: 'authentication.missing',
  },
  ...FORGED_FIELDS.map(
    ([field, code]): Attack => ({
      name: `a good request with ${field.split(':')[0]}`,
      bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', [field]),
      code,
      codeWithout: 'none',
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
  },
  {
    name: 'a blank before the colon',
    bytes: (wit) => good(wit, 'GET /api/events HTTP/1.1', '/api/events', [`aims-caller-id : ${ADMIN}`]),
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
  },
  {
    name: 'a Connection field that takes a field away',
    bytes: (wit) =>
      good(wit, 'GET /api/events HTTP/1.1', '/api/events', ['Connection: aims-caller-id, authorization, x-a']),
    code: 'authentication.malformed_field',
  },
]

/** @throws for an attack whose outcome nobody has told, and for an exception that is none of an attack */
function outcomeOf(attack: Attack, { removesFields, statusOf = usualStatus, exceptions }: Habits): Outcome {
  const unknown = Object.keys(exceptions).find((name) => !ATTACKS.some((one) => one.name === name))
  if (unknown !== undefined) throw new Error(`there is no attack ${unknown}`)
  const exception = exceptions[attack.name]
  if (exception !== undefined) return exception
  const code = removesFields ? (attack.codeWithout ?? attack.code) : attack.code
  if (code === 'none') return 'harmless'
  if (code === undefined) throw new Error(`what becomes of ${attack.name}?`)
  return { refused: code, status: statusOf(code) }
}

const UNAUTHENTICATED = ['authentication.missing', 'authentication.missing_proof', 'proof.target_mismatch']

/** The status of a refusal where the gateway speaks to the client itself. */
export function usualStatus(code: string): number {
  return UNAUTHENTICATED.includes(code) ? 401 : 400
}

/** Runs one attack, and fails when anything else came of it, or the service saw anything that it must not. */
export async function withstands(gateway: GatewayUnderTest, attack: Attack, habits: Habits): Promise<void> {
  const { port, service, events, wit } = gateway
  const expected = outcomeOf(attack, habits)
  const [before, recorded] = [service.seen.length, events.length]
  const answer = await exchange(port, attack.bytes(wit))
  const seen = service.seen.slice(before)
  const records = events.slice(recorded).map(({ decision, reasons = [] }) => [decision, ...reasons])
  if (expected === 'harmless') {
    assert.equal(statusOf(answer), 200)
    assert.deepEqual(records, [['allow']])
    assert.equal(seen.length, 1)
    for (const one of seen) requireHonest(one, wit)
    return
  }
  assert.deepEqual(seen, [])
  assert.deepEqual(records, 'refused' in expected ? [['deny', expected.refused]] : [])
  assert.equal(statusOf(answer), 'refused' in expected ? expected.status : expected.unasked)
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
