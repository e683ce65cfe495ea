import type { Authenticator } from '../authentication/authenticate.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import { AimsError } from '../base/errors.ts'
import { type Caller, rememberCaller } from './admit.ts'
import { endEventsWith } from './event-stream.ts'
import { type AdapterOptions, MAX_BODY, REQUEST_REFUSALS, toRawHeaders } from './incoming.ts'
import { type BodyRefusals, readBefore } from './read-message.ts'
import { readStream } from './read-stream.ts'
import { MAX_SIGNED_BODY, SIGNATURE_FIELDS } from './signing-response.ts'

export type { Caller } from './admit.ts'
export type { AdapterOptions } from './incoming.ts'

/** Handles a request whose caller is known. `rest` is what the framework passes beside the request. */
export type WebHandler<Rest extends readonly unknown[]> = (
  request: Request,
  caller: Caller,
  ...rest: Rest
) => Response | Promise<Response>

/**
 * Puts authentication in front of a handler that takes a `Request` and returns a `Response`: a route handler of Next.js, and
 * what Bun, Deno and Workers serve. Refused requests get a problem document and never reach it.
 *
 * Such a `Request` has joined header fields. One that was sent twice is no longer a token, and is refused as malformed,
 * unless the server has dropped the second before, as Node does with `Authorization`: then the first is looked at, and nobody
 * sees the second. There is no mTLS here.
 *
 * A response of `text/event-stream` breaks off when the credential of its caller expires or was revoked; what streams otherwise
 * asks `authenticator.watch`.
 */
export function protect<Rest extends readonly unknown[]>(
  authenticator: Authenticator,
  handler: WebHandler<Rest>,
  options: AdapterOptions = {},
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (request, ...rest) => {
    const admitted = await admitWeb(authenticator, request, options)
    if (admitted instanceof Response) return admitted
    const answered = await handler(admitted.request, admitted.caller, ...rest)
    const signed = await signedWhereDemanded(authenticator, admitted, answered, options)
    return endEventsWith(signed, authenticator, admitted.caller)
  }
}

/** A request whose caller is known. */
export interface AdmittedRequest {
  /** With its body to be read again. */
  readonly request: Request
  readonly caller: Caller
}

/**
 * @param wire - What is known of the wire beside the request.
 * @returns The answer when the request is refused; else the request and its caller.
 */
export async function admitWeb(
  authenticator: Authenticator,
  request: Request,
  options: AdapterOptions,
  wire: () => Partial<IncomingRequest> = () => ({}),
): Promise<Response | AdmittedRequest> {
  const correlationId = createCorrelationId()
  let again = request
  const body = async (): Promise<Uint8Array> => {
    if (request.bodyUsed) throw readBefore()
    const limit = options.maxBody ?? MAX_BODY
    const bytes = await readStream(request.body, limit, REQUEST_REFUSALS)
    if (request.body !== null) again = new Request(request, { body: bytes })
    return bytes
  }
  try {
    const incoming = { id: correlationId, method: request.method, target: targetOf(request), body }
    const known = wire()
    const headers = known.headers ?? toRawHeaders([...request.headers].flat())
    const principal = await authenticator.authenticate({ ...incoming, ...known, headers }, options)
    return { request: again, caller: rememberCaller(again, { principal, correlationId }) }
  } catch (error) {
    return refusal(authenticator, error, correlationId, options)
  }
}

// Cut out, not parsed: another URL object would resolve dots once more.
function targetOf({ url }: Request): string {
  return url.slice(url.indexOf('/', url.indexOf('://') + 3))
}

function refusal(authenticator: Authenticator, error: unknown, id: string, options: AdapterOptions): Response {
  const { status, headers, body } = authenticator.problem(error, id, options)
  return new Response(body, { status, headers })
}

const RESPONSE_REFUSALS: BodyRefusals = {
  lost: () => new AimsError('signature.cannot_sign', 'the handler did not complete the response'),
  tooLarge: (limit) => new AimsError('signature.cannot_sign', `the response has more than ${limit} bytes`),
}

/** The response as it goes out: signed, where the caller of the request demands that. */
export async function signedWhereDemanded(
  authenticator: Authenticator,
  { request, caller }: AdmittedRequest,
  response: Response,
  options: AdapterOptions,
): Promise<Response> {
  const signer = authenticator.responseSigner(caller.principal)
  if (signer === undefined) return response
  const limit = options.maxSignedBody ?? MAX_SIGNED_BODY
  try {
    const { status, headers: sent, body: stream } = response
    const body = await readStream(stream, limit, RESPONSE_REFUSALS)
    const headers = new Headers(sent)
    for (const name of SIGNATURE_FIELDS) headers.delete(name)
    const isEmpty = request.method === 'HEAD' || stream === null
    const fields = signer.sign({ status, headers: [...headers], body: isEmpty ? new Uint8Array() : body })
    for (const [name, value] of Object.entries(fields)) headers.set(name, value)
    return new Response(isEmpty ? null : body, { status, headers })
  } catch (error) {
    return refusal(authenticator, error, caller.correlationId, options)
  }
}
