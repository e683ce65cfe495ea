import { AimsError, type AuditEvent, isJsonObject, type JsonObject } from 'aims/base'
import { type AuditEntry, type AuditLog, formatReceipt, type RecordFilter } from 'aims/monitoring'
import type { Access, Call, Caller, Route } from '../http/route.ts'
import { objectBody } from './read.ts'

/** Which events a caller may report, by area or by type. The server's own facts come from the server alone. */
const REPORTABLE: { readonly [access in Exclude<Access, 'public'>]: readonly string[] } = {
  reporter: [
    'authentication',
    'authorization',
    'agent',
    'service',
    // What it has left out, and that it has begun to.
    'monitoring.refusals-limited',
    'monitoring.refusals-omitted',
  ],
  registrar: [],
  // What an agent refuses never reaches the issuer.
  agent: ['attestation', 'provisioning.refused', 'provisioning.rejected'],
  downstream: [],
  admin: ['operation', 'policy'],
}

/** Most records in one answer. */
const PAGE = 500

/** The transparency log: report, list, prove, export. */
export function auditRoutes(log: AuditLog): readonly Route[] {
  const admin = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      method: 'POST',
      path: '/v1/audit/events',
      access: 'reporter',
      entrances: ['unix', 'https'],
      summary: 'Records an event that the caller observed. Answered when it is durable.',
      body: { type: 'object', description: 'An audit event; the server adds details.reporter, time and index' },
      handle: async (call) => ({ status: 201, body: await log.append(reportedEvent(call)) }),
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/audit/records',
      summary: 'Lists records, newest first.',
      query: {
        type: 'type of event',
        agent: 'identifier of the agent',
        correlationId: 'all records of one transaction',
        decision: 'allow, deny or none',
        before: 'only records before this index',
        limit: `at most so many, up to ${PAGE}; 100 unless told`,
      },
      handle: ({ query }) => ({
        status: 200,
        body: { records: log.list(filterOf(query)).map(({ record }) => record) },
      }),
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/audit/records/{index}',
      summary: 'Gives the bytes of a record with all an outsider needs to check that the log has it.',
      handle: ({ params }) => {
        const index = integer('index', params.index)
        const receipt = formatReceipt(log.receipt(index))
        const [entry] = log.read(index, index + 1)
        if (entry === undefined) throw new AimsError('audit.unknown_index', 'the log has no such record')
        return { status: 200, body: { ...exported(entry), receipt, vkey: log.vkey } }
      },
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/audit/consistency',
      summary: 'Shows that the log of one size begins with the log of a smaller one.',
      query: { from: 'the smaller size', to: 'the larger size; the newest unless told' },
      handle: ({ query }) => {
        const checkpoint = log.checkpoint()
        const to = query.to === undefined ? log.size : integer('to', query.to)
        const hashes = log.consistencyProof(integer('from', query.from), to).map(base64)
        return { status: 200, body: { from: integer('from', query.from), to, hashes, checkpoint } }
      },
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/audit/export',
      summary: `Gives the bytes of up to ${PAGE} records, from an index on.`,
      query: { from: 'the first index; 0 unless told' },
      handle: ({ query }) => {
        const from = query.from === undefined ? 0 : integer('from', query.from)
        const entries = log.read(from, from + PAGE)
        return { status: 200, body: { next: from + entries.length, size: log.size, records: entries.map(exported) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/audit/checkpoint',
      access: 'public',
      entrances: ['unix', 'https'],
      summary: 'Gives the newest signed checkpoint, as a signed note.',
      handle: () => ({ status: 200, text: { type: 'text/plain; charset=utf-8', content: log.checkpoint() } }),
    },
  ]
}

/** The event with the name of who reported it, which is proven and cannot be chosen. */
function reportedEvent(call: Call): AuditEvent {
  const event = objectBody(call)
  const { caller } = call
  if (typeof event.type !== 'string' || !mayReport(caller, event.type)) {
    throw new AimsError('operation.not_permitted', 'this caller may not report events of this type')
  }
  const details: JsonObject = isJsonObject(event.details) ? event.details : {}
  if ('reporter' in details) {
    throw new AimsError('operation.request_malformed', 'details.reporter is set by the server')
  }
  // The log checks every member; the type only says what it will find.
  const reported: JsonObject = { ...event, details: { ...details, reporter: caller.name } }
  return reported as JsonObject & AuditEvent
}

function mayReport({ access }: Caller, type: string): boolean {
  const names = [...access].flatMap((one) => (one === 'public' ? [] : REPORTABLE[one]))
  return names.some((name) => (name.includes('.') ? type === name : type.startsWith(`${name}.`)))
}

function filterOf(query: Call['query']): RecordFilter {
  const { type, agent, correlationId, decision, before, limit } = query
  if (decision !== undefined && decision !== 'allow' && decision !== 'deny' && decision !== 'none') {
    throw new AimsError('operation.request_malformed', 'decision is allow, deny or none')
  }
  return {
    ...(type === undefined ? {} : { type }),
    ...(agent === undefined ? {} : { agent }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(decision === undefined ? {} : { decision }),
    ...(before === undefined ? {} : { before: integer('before', before) }),
    limit: Math.min(limit === undefined ? 100 : integer('limit', limit), PAGE),
  }
}

function integer(name: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new AimsError('operation.request_malformed', `${name} is a whole number`)
  }
  return Number(text)
}

function exported({ bytes, record }: AuditEntry): { readonly bytes: string; readonly record: AuditEntry['record'] } {
  return { bytes: base64(bytes), record }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
