import type { ProblemResponse } from '../../authentication/problem.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'

const ANSWERS: { readonly [code in AimsErrorCode]?: { readonly status: number; readonly title: string } } = {
  'mcp.host_refused': { status: 403, title: 'Another host' },
  'mcp.origin_refused': { status: 403, title: 'Another origin' },
  'mcp.denied': { status: 403, title: 'Not permitted' },
  'mcp.undecided': { status: 503, title: 'Cannot be decided now' },
  // The same for a session of somebody else and one that never was.
  'mcp.session_unknown': { status: 404, title: 'No such session' },
}

/** What to answer when a request is refused for what MCP asks beyond a proof; `undefined` for all other errors. */
export function mcpProblem(error: unknown, id: string): ProblemResponse | undefined {
  if (!AimsError.is(error)) return undefined
  const answer = ANSWERS[error.code]
  if (answer === undefined) return undefined
  return {
    status: answer.status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
    body: JSON.stringify({ type: 'about:blank', ...answer, code: error.code, id }),
  }
}
