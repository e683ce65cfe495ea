import { isBlankAt, trimBlanks } from './blanks.ts'
import { asBuffer } from './bytes.ts'
import { AimsError } from './errors.ts'

/** One HTTP/1.1 request, taken apart. Nothing in it is decoded, joined or normalised. */
export interface HttpRequest {
  readonly method: string
  /** As on the wire. */
  readonly target: string
  /** Every field line in order, names as written, values without the blanks around them; bytes read as Latin-1. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array
}

/** Bounds for one message. */
export interface HttpOptions {
  /**
   * The bytes are a file with this one message: its lines may end with LF alone, if all of the head do, `Host` may be
   * absent, and without a field that says its length the body is the rest. What editors do to the end of a file does no
   * harm: without a body the empty line may be missing, and after `Content-Length` bytes a line end may follow. Never for
   * a connection. Default false.
   */
  readonly isFile?: boolean
  /** Bytes of request line and fields. Default 16,384. */
  readonly maxHead?: number
  /** Default 100. */
  readonly maxFields?: number
  /** Bytes. Default 262,144. */
  readonly maxBody?: number
}

/**
 * Reads one whole HTTP/1.1 request, strictly: what two readers could understand in two ways is refused. No folded lines,
 * no blanks before a colon, one `Host`, one way to tell the length, no chunk extensions, no trailers, nothing behind it.
 *
 * @throws {@link AimsError} `http.malformed`, `http.too_large`
 * @see RFC 9112 sections 2 to 7
 */
export function parseHttpRequest(raw: Uint8Array, options: HttpOptions = {}): HttpRequest {
  const { isFile = false, maxHead = 16_384, maxFields = 100, maxBody = 262_144 } = options
  const bytes = asBuffer(raw)
  const { lines, bodyStart } = splitHead(bytes, isFile, maxHead)
  const [requestLine = '', ...fieldLines] = lines
  if (fieldLines.length > maxFields) throw new AimsError('http.too_large', `more than ${maxFields} fields`)
  const request = REQUEST_LINE.exec(requestLine)
  if (request === null) malformed('the request line')
  const [, method = '', target = ''] = request
  if (!isTarget(method, target)) malformed('the request target')
  const headers = fieldLines.map(readField)
  const hosts = valuesOf(headers, 'host')
  if (hosts.length > 1 || (hosts.length === 0 && !isFile)) malformed('Host')
  const body = readBody(headers, bytes.subarray(bodyStart), isFile)
  if (body.length > maxBody) throw new AimsError('http.too_large', `the body has more than ${maxBody} bytes`)
  return { method, target, headers, body }
}

/** One HTTP/1.1 response, taken apart. Nothing in it is decoded, joined or normalised. */
export interface HttpResponse {
  readonly status: number
  readonly headers: HttpRequest['headers']
  readonly body: Uint8Array
}

/**
 * Reads one whole HTTP/1.1 response, as strictly as {@link parseHttpRequest}. Without a field that says its length the
 * body is the rest, as the end of a connection says it.
 *
 * @throws {@link AimsError} `http.malformed`, `http.too_large`
 */
export function parseHttpResponse(raw: Uint8Array, options: HttpOptions = {}): HttpResponse {
  const { isFile = false, maxHead = 16_384, maxFields = 100, maxBody = 262_144 } = options
  const bytes = asBuffer(raw)
  const { lines, bodyStart } = splitHead(bytes, isFile, maxHead)
  const [statusLine = '', ...fieldLines] = lines
  if (fieldLines.length > maxFields) throw new AimsError('http.too_large', `more than ${maxFields} fields`)
  const status = STATUS_LINE.exec(statusLine)?.[1]
  if (status === undefined) malformed('the status line')
  const headers = fieldLines.map(readField)
  const isWhole = valuesOf(headers, 'content-length').length + valuesOf(headers, 'transfer-encoding').length === 0
  const rest = bytes.subarray(bodyStart)
  const body = isWhole ? rest : readBody(headers, rest, isFile)
  if (body.length > maxBody) throw new AimsError('http.too_large', `the body has more than ${maxBody} bytes`)
  return { status: Number(status), headers, body }
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: [\t -~\u0080-\u00ff]*)?$/
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP\/1\.1$/
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const NOT_IN_VALUE = /[^\t -~\u0080-\u00ff]/

function splitHead(
  bytes: Buffer,
  isFile: boolean,
  maxHead: number,
): { readonly lines: readonly string[]; readonly bodyStart: number } {
  const usesLf = isFile && bytes[bytes.indexOf('\n') - 1] !== 0x0d
  const end = usesLf ? '\n' : '\r\n'
  const headEnd = bytes.subarray(0, maxHead + 4).indexOf(`${end}${end}`)
  if (headEnd === -1) {
    if (bytes.length > maxHead) throw new AimsError('http.too_large', `the head has more than ${maxHead} bytes`)
    if (!isFile) malformed('the head does not end')
    const text = bytes.toString('latin1')
    return { lines: (text.endsWith(end) ? text.slice(0, -end.length) : text).split(end), bodyStart: bytes.length }
  }
  // A CR or LF left in a line is no character of any line.
  return { lines: bytes.toString('latin1', 0, headEnd).split(end), bodyStart: headEnd + 2 * end.length }
}

function isTarget(method: string, target: string): boolean {
  if (target.includes('#')) return false
  if (method === 'CONNECT') return /^[^/?]+:[0-9]+$/.test(target)
  return target.startsWith('/') || /^https?:\/\/[^/?]+/.test(target) || (method === 'OPTIONS' && target === '*')
}

function readField(line: string): readonly [string, string] {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(0, colon))
  if (isBlankAt(line, 0)) malformed('a folded field, which belongs on one line')
  if (!FIELD_NAME.test(name) || NOT_IN_VALUE.test(line)) malformed('a field')
  return [name, trimBlanks(line.slice(colon + 1))]
}

function valuesOf(headers: HttpRequest['headers'], field: string): readonly string[] {
  return headers.filter(([name]) => name.toLowerCase() === field).map(([, value]) => value)
}

function readBody(headers: HttpRequest['headers'], rest: Buffer, isFile: boolean): Uint8Array {
  const lengths = valuesOf(headers, 'content-length')
  const codings = valuesOf(headers, 'transfer-encoding')
  if (lengths.length + codings.length > 1) malformed('more than one field tells the length')
  const [coding] = codings
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') malformed('Transfer-Encoding')
    return readChunks(rest)
  }
  const [length] = lengths
  if (length === undefined) {
    if (!isFile && rest.length > 0) malformed('a body without Content-Length')
    return rest
  }
  const ends = isFile ? ['', '\n', '\r\n'] : ['']
  const body = ends
    .filter((end) => rest.toString('latin1').endsWith(end))
    .map((end) => rest.subarray(0, rest.length - end.length))
    .find((candidate) => length === String(candidate.length))
  if (body === undefined) malformed('the body is not as long as Content-Length says')
  return body
}

const CHUNK_SIZE = /^[0-9A-Fa-f]{1,8}$/

function readChunks(bytes: Buffer): Uint8Array {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd === -1 ? '' : bytes.toString('latin1', at, lineEnd)
    if (!CHUNK_SIZE.test(size)) malformed('a chunk')
    const start = lineEnd + 2
    const end = start + Number.parseInt(size, 16)
    if (bytes.toString('latin1', end, end + 2) !== '\r\n') malformed('a chunk')
    if (end === start) {
      if (end + 2 !== bytes.length) malformed('the end of the body')
      return Buffer.concat(chunks)
    }
    chunks.push(bytes.subarray(start, end))
    at = end + 2
  }
}

function malformed(what: string): never {
  throw new AimsError('http.malformed', `not a strict HTTP/1.1 message: ${what}`)
}
