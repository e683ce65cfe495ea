import type { ServerResponse } from 'node:http'
import { AimsError, type AimsErrorCode, ERROR_CODES } from 'aims/base'

// Areas of codes and the status they mean; what is absent is 502: something between here and the destination.
const BY_AREA: { readonly [area: string]: number } = {
  attestation: 403,
  provisioning: 403,
  egress: 403,
  operation: 503,
}

const BY_CODE: { readonly [code in AimsErrorCode]?: number } = {
  'egress.rate_limited': 429,
  'egress.too_busy': 503,
  'egress.target_malformed': 400,
  'egress.request_malformed': 400,
  'egress.host_refused': 421,
  'egress.body_too_large': 413,
  'egress.response_invalid': 502,
  'egress.response_too_large': 502,
  'egress.secret_unknown': 503,
  'egress.secrets_damaged': 503,
  'outbound.timeout': 504,
}

/** Says why a request was not passed on: RFC 9457, with the code and the id of the record. */
export function answerProblem(response: ServerResponse, error: unknown, id: string): void {
  if (response.headersSent) {
    // The caller has seen a part already: an end that is none tells it so.
    response.destroy()
    return
  }
  const code = codeOf(error)
  const body = JSON.stringify({ type: 'about:blank', title: ERROR_CODES[code], status: statusOf(code), code, id })
  response.writeHead(statusOf(code), {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    // What is left of the request is not read as the beginning of another one (H1).
    connection: 'close',
  })
  response.end(body)
}

/** What is told of an error. Messages and causes may be of others. */
export function codeOf(error: unknown): AimsErrorCode {
  return AimsError.is(error) ? error.code : 'operation.internal'
}

/** The status for a code. */
export function statusOf(code: AimsErrorCode): number {
  if (code === 'operation.internal') return 500
  return BY_CODE[code] ?? BY_AREA[code.slice(0, code.indexOf('.'))] ?? 502
}
