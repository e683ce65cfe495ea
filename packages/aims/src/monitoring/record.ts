import { decodeUtf8 } from '../base/bytes.ts'
import { MAX_CHECK_TEXT, MAX_CHECKS } from '../base/check.ts'
import { AimsError, refuseAs } from '../base/errors.ts'
import type { AuditEvent } from '../base/event.ts'
import { canonicalJson } from '../base/jcs.ts'
import { type JsonObject, parseJsonObject } from '../base/json.ts'
import { findEventType } from './event-types.ts'
import { type Clean, count, facts, list, object, oneOf, text } from './fields.ts'

/** An event that has its place in a log. */
export interface AuditRecord extends AuditEvent {
  readonly version: 1
  /** Its place, counted from 0. */
  readonly index: number
  /** When it was reported: RFC 3339, UTC, with milliseconds, e.g. `2026-11-24T09:30:00.000Z`. */
  readonly time: string
}

/** An event that has been checked and cleaned, and can be recorded. Only {@link cleanEvent} makes one. */
export type CleanEvent = AuditEvent & { readonly __brand: 'CleanEvent' }

/** Bytes of one record. tlog-tiles allows 65,535. */
export const MAX_RECORD_LENGTH = 16_384

const IDENTIFIER = 2048
const WORD = 128
const NAME = /^[a-z][a-z0-9.-]*$/

const REQUIRED: { readonly [name: string]: Clean } = {
  type: text(WORD, /^[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+$/),
  resource: object({ type: text(WORD), id: text(IDENTIFIER) }),
  action: text(256),
  decision: oneOf('allow', 'deny', 'none'),
  correlationId: text(WORD),
}

const OPTIONAL: { readonly [name: string]: Clean } = {
  agent: object(
    { id: text(IDENTIFIER) },
    { credential: object({ type: text(WORD), id: text(256) }), method: text(WORD), profile: text(WORD) },
  ),
  subject: object({ id: text(IDENTIFIER) }, { issuer: text(IDENTIFIER), type: text(WORD) }),
  policy: object({ ids: list(text(256), 256), version: text(256) }),
  reasons: list(text(256), 256),
  checks: list(
    object(
      { check: text(WORD, NAME), outcome: oneOf('passed', 'failed') },
      { expected: text(MAX_CHECK_TEXT), observed: text(MAX_CHECK_TEXT), difference: text(WORD, NAME) },
    ),
    MAX_CHECKS,
  ),
  posture: object({ type: text(WORD) }, { binding: text(WORD), selectors: list(text(1024), 256) }),
  remediation: object({ action: text(256), cause: text(1024) }),
  details: facts(32, text(1024)),
}

const cleanFields = object(REQUIRED, OPTIONAL)
const cleanRecordFields = object({ ...REQUIRED, version: oneOf(1), index: count, time: checkTime }, OPTIONAL)

/**
 * Checks that an event has the fields AIMS asks for and no others, and cleans its text. Fields that are not on the list
 * are refused; control characters are encoded; long text is cut and keeps its digest.
 *
 * The search for tokens and keys is a last net with wide meshes: callers do not put them in.
 *
 * @throws {@link AimsError} `audit.missing_field`, `audit.unknown_field`, `audit.invalid_field`, `audit.too_large`,
 *   `audit.forbidden_value`
 * @see draft-ietf-wimse-aims-00, section "Agent Monitoring, Observability and Remediation"
 */
export function cleanEvent(event: AuditEvent): CleanEvent {
  const cleaned = cleanFields(event, 'event')
  requireAgent(event)
  return cleaned as JsonObject & CleanEvent
}

// A refusal can come before anyone is known; nothing is granted to nobody.
function requireAgent({ type, agent, decision }: AuditEvent): void {
  if (agent === undefined && decision !== 'deny' && findEventType(type)?.agent === true) {
    throw new AimsError('audit.missing_field', 'event.agent is missing')
  }
}

/**
 * Writes a record in its one form: RFC 8785 JSON as UTF-8. These bytes are what the log hashes.
 *
 * @param time - milliseconds since the epoch
 * @throws {@link AimsError} `audit.too_large`
 */
export function encodeRecord(event: CleanEvent, index: number, time: number): Buffer {
  const bytes = Buffer.from(canonicalJson({ ...event, version: 1, index, time: new Date(time).toISOString() }))
  if (bytes.length > MAX_RECORD_LENGTH) throw new AimsError('audit.too_large', 'the record is too large')
  return bytes
}

/**
 * Reads the bytes of a record: canonical, of a version we know, with the fields a record has and no others.
 *
 * Does not check that a log contains it.
 *
 * @throws {@link AimsError} `audit.malformed_record`, `audit.unsupported_version`
 */
export function decodeRecord(bytes: Uint8Array): AuditRecord {
  const parsed = refuseAs('audit.malformed_record', 'not the bytes of a record', () => {
    if (bytes.length > MAX_RECORD_LENGTH) throw new AimsError('audit.too_large', 'the record is too large')
    return parseJsonObject(bytes)
  })
  if (typeof parsed.version === 'number' && parsed.version !== 1) {
    throw new AimsError('audit.unsupported_version', 'the record has a format version that is not known here')
  }
  const record = refuseAs('audit.malformed_record', 'not the fields of a record', () => {
    const cleaned = cleanRecordFields(parsed, 'record') as JsonObject & AuditRecord
    requireAgent(cleaned)
    return cleaned
  })
  // Cleaning a clean record changes nothing, so this also finds text that was not cleaned.
  if (canonicalJson(record) !== decodeUtf8(bytes)) throw new AimsError('audit.malformed_record', 'not canonical')
  return record
}

function checkTime(value: unknown, path: string): string {
  const wellFormed = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)
  if (!wellFormed || !isRealTime(value)) throw new AimsError('audit.invalid_field', `${path} is not RFC 3339 in UTC`)
  return value
}

// Date.parse reads February 30 as March 2.
function isRealTime(text: string): boolean {
  const time = Date.parse(text)
  return !Number.isNaN(time) && new Date(time).toISOString() === text
}
