import { assumePrincipal, type Principal, type PrincipalFacts } from '../authentication/principal.ts'
import { parseSpiffeId, type SpiffeId } from '../identifiers/spiffe-id.ts'
import type { PolicySource } from './engine.ts'
import { type AccessRequest, httpAction, serviceResource } from './request.ts'

// The cast of the tests of this folder: the identifiers of the AIMS overview page.
export const BOT: SpiffeId = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
export const EVENTS: SpiffeId = parseSpiffeId('spiffe://example.com/service/events-api')
export const CALENDAR: SpiffeId = parseSpiffeId('spiffe://example.com/service/calendar')

/** What `authenticate` would return for a caller with WIT and WPT. */
export function principal(id: SpiffeId = BOT, changes: Partial<PrincipalFacts> = {}): Principal {
  return assumePrincipal({
    id,
    method: 'wit+wpt',
    profile: 'wimse',
    credential: { type: 'wit', id: 'serial-1' },
    covers: { method: true, target: true, body: true },
    expiresAt: 2_000_000_000,
    ...changes,
  })
}

/** `POST /api/v1/events` on the events API, by the calendar bot. */
export function accessRequest(changes: Partial<AccessRequest> = {}): AccessRequest {
  return {
    principal: principal(),
    action: httpAction('POST', '/api/v1/events'),
    resource: serviceResource(EVENTS),
    ...changes,
  }
}

let sets = 0

/** Policies p0, p1 ... as a set of their own. */
export function policies(...texts: readonly string[]): PolicySource {
  sets += 1
  return { version: `sha256:test-${sets}`, policies: texts.map((text, index) => ({ id: `p${index}`, text })) }
}
