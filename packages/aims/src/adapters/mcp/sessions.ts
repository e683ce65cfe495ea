import type { IncomingMessage, ServerResponse } from 'node:http'

export const SESSION_FIELD = 'mcp-session-id'

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
