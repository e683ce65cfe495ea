import { AimsError } from '../base/errors.ts'
import { type Hidden, hiddenKey, hiddenToken } from '../base/scrub/forms.ts'
import { type PatternTable, patternTable } from '../base/scrub/pattern-table.ts'
import { createScrubber, scrubText } from '../base/scrub/scrubber.ts'

/** Fields of a request that hold credentials. Others, by their names, with the options. */
const CREDENTIAL_FIELDS = [
  'authorization',
  'cookie',
  'dpop',
  'proxy-authorization',
  'signature',
  'txn-token',
  'workload-identity-token',
  'workload-proof-token',
  'x-api-key',
]
/** Of a response: what a caller could hold, and what is no longer true of a body that was looked through. */
const NOT_SHOWN = ['set-cookie', 'set-cookie2', 'signature', 'signature-input', 'content-digest', 'repr-digest']
const MIN_KEY = 16

/** What to hide besides, and how to send. */
export interface HidingFetchOptions {
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch
  /** Further fields of requests, lower-case, whose values must not come back. Default none. */
  readonly fields?: readonly string[]
}

/**
 * A `fetch` whose responses do not repeat the credentials of their requests: in fields and body they are covered with
 * asterisks, in every usual encoding and however the body is cut. Put it between a proving `fetch` and the network when a
 * language model reads what comes back: `provingFetch(wits, { audience, fetch: hidingFetch() })`. An error keeps its code, and
 * nothing of what a service sent.
 *
 * Does not hide what a service tells in a code of its own, or credentials shorter than 16 characters. A response that
 * must be signed is refused when something in its body had to be covered.
 *
 * @see draft-ietf-wimse-aims-00, section "Agent Credential Provisioning": the model must not have access to credentials
 */
export function hidingFetch(options: HidingFetchOptions = {}): typeof globalThis.fetch {
  const { fetch = globalThis.fetch, fields = [] } = options
  const names = [...CREDENTIAL_FIELDS, ...fields]
  return async (input, init) => {
    // Not by making a request of it: its body would be used up.
    const given = input instanceof Request ? input : undefined
    const headers = new Headers(init?.headers ?? given?.headers)
    const hidden = names.flatMap((name) => hiddenOf(headers.get(name)))
    if (hidden.length === 0) return await fetch(input, init)
    const tables = [patternTable(hidden)]
    const signal = init?.signal ?? given?.signal
    const toldAs = (error: unknown): unknown => (signal?.aborted === true ? signal.reason : plainError(error, tables))
    try {
      return covered(await fetch(input, init), tables, toldAs)
    } catch (error) {
      throw toldAs(error)
    }
  }
}

// A parser of HTTP puts what it could not read into its error, where `inspect` shows it.
function plainError(error: unknown, tables: readonly PatternTable[]): Error {
  if (AimsError.is(error)) return new AimsError(error.code, error.message)
  const { message, code } = factsOf(error instanceof Error ? (error.cause ?? error) : error)
  const cause = Object.assign(new Error(scrubText(message, tables)), code === undefined ? {} : { code })
  return new TypeError('fetch failed', { cause })
}

function factsOf(cause: unknown): { readonly message: string; readonly code?: string } {
  if (!(cause instanceof Error)) return { message: 'no error of fetch' }
  const { message } = cause
  const isCode = 'code' in cause && typeof cause.code === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(cause.code)
  return isCode ? { message, code: String(cause.code) } : { message }
}

function hiddenOf(value: string | null): readonly Hidden[] {
  if (value === null) return []
  // The scheme before a token, the name before a signature.
  const text = value.replace(/^[A-Za-z-]+ +/, '')
  if (/^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)) return hiddenToken(text)
  const key = Buffer.from(text.replace(/^[\w-]+=:|:$/g, ''), 'latin1')
  // In Basic, the password by itself as well.
  const password = /^basic /i.test(value)
    ? Buffer.from(text, 'base64')
        .toString('latin1')
        .replace(/^[^:]*:/, '')
    : ''
  return [key, Buffer.from(password, 'latin1')].filter(({ length }) => length >= MIN_KEY).map(hiddenKey)
}

function covered(response: Response, tables: readonly PatternTable[], toldAs: (error: unknown) => unknown): Response {
  const headers = new Headers()
  for (const [name, value] of response.headers) {
    if (!NOT_SHOWN.includes(name) && scrubText(name, tables) === name) headers.append(name, scrubText(value, tables))
  }
  const { status, body } = response
  const shown = body === null ? null : failingAs(body.pipeThrough(covering(tables)), toldAs)
  // Without the reason phrase, which is the service's own words.
  return new Response(shown, { status, headers })
}

// The same stream, whose error is another one.
function failingAs(
  stream: ReadableStream<Uint8Array>,
  toldAs: (error: unknown) => unknown,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader()
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        controller.error(toldAs(error))
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

function covering(tables: readonly PatternTable[]): TransformStream<Uint8Array, Uint8Array> {
  const scrubber = createScrubber(tables)
  return new TransformStream({
    transform(chunk, controller) {
      const shown = scrubber.push(Buffer.from(chunk))
      if (shown.length > 0) controller.enqueue(shown)
    },
    flush(controller) {
      const shown = scrubber.end()
      if (shown.length > 0) controller.enqueue(shown)
    },
  })
}
