import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'

/** Which identity has opened which session. */
export interface Sessions {
  ownerOf(session: string): WorkloadId | undefined
  open(session: string, owner: WorkloadId): void
  close(session: string): void
}

export const SESSION_FIELD = 'mcp-session-id'

const MAX_SESSIONS = 10_000

/** Sessions in memory, as the transports of the SDK have them, too. Who opens too many loses its own oldest first. */
export function createSessions(perOwner = 100, total: number = MAX_SESSIONS): Sessions {
  const owners = new Map<string, WorkloadId>()
  const opened = new Map<WorkloadId, Set<string>>()
  const close = (session: string): void => {
    const owner = owners.get(session)
    if (owner === undefined) return
    owners.delete(session)
    const own = opened.get(owner)
    own?.delete(session)
    if (own?.size === 0) opened.delete(owner)
  }
  return {
    ownerOf: (session) => owners.get(session),
    close,
    open(session, owner) {
      // An id that a server gives out twice stays with the first.
      if (owners.has(session)) return
      const own = opened.get(owner) ?? new Set()
      if (own.size >= perOwner) closeOldest(own, close)
      if (owners.size >= total) closeOldest(owners.keys(), close)
      owners.set(session, owner)
      opened.set(owner, own.add(session))
    },
  }
}

function closeOldest(sessions: Iterable<string>, close: (session: string) => void): void {
  const [oldest] = sessions
  if (oldest !== undefined) close(oldest)
}

/** Tells which session a response opens, and which one it has ended. */
export function watchSession(
  request: IncomingMessage,
  response: ServerResponse,
  { opened, closed }: { readonly opened: (session: string) => void; readonly closed: (session: string) => void },
): void {
  const { writeHead } = response
  const asked = request.headers[SESSION_FIELD]
  const look = (status: number, given: unknown): void => {
    if (typeof asked === 'string') {
      if (request.method === 'DELETE' && status < 300) closed(asked)
      return
    }
    const session = fieldOf(given) ?? response.getHeader(SESSION_FIELD)
    if (typeof session === 'string' && status < 300) opened(session)
  }
  Object.assign(response, {
    writeHead(status: number, ...rest: readonly unknown[]): ServerResponse {
      look(
        status,
        rest.find((one) => typeof one === 'object'),
      )
      return Reflect.apply(writeHead, response, [status, ...rest])
    },
  })
}

// Fields are given as an object, or as a list of names and values in turn.
function fieldOf(given: unknown): unknown {
  if (typeof given !== 'object' || given === null) return undefined
  const flat: readonly unknown[] = Array.isArray(given) ? given.flat() : Object.entries(given).flat()
  const at = flat.findIndex((item, index) => index % 2 === 0 && String(item).toLowerCase() === SESSION_FIELD)
  return at === -1 ? undefined : flat[at + 1]
}
