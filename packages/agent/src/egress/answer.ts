import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Duplex, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { PatternTable } from 'aims/base'
import { AimsError, createScrubber, scrubText } from 'aims/base'
import type { Attachment } from './attach.ts'
import { type FieldPairs, fieldsToReturn, pairsOf } from './fields.ts'
import type { BrokerRule } from './rules.ts'

const DECODERS: { readonly [coding: string]: () => Duplex } = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
}

/** Bytes of an answer that is judged as a whole. */
const MAX_JUDGED = 1024 * 1024

/** How an answer is looked through. */
export interface AnswerRules extends Pick<Attachment, 'verify'> {
  readonly rule: BrokerRule
  readonly method: string
  readonly tables: readonly PatternTable[]
}

/**
 * Hands an answer on to the caller: without fields that are none of its business, decompressed, and with everything
 * hidden covered, in fields and body.
 *
 * @throws {@link AimsError} `egress.response_invalid`, `egress.response_too_large`; what `verify` throws
 */
export async function returnAnswer(
  answer: IncomingMessage,
  response: ServerResponse,
  rules: AnswerRules,
): Promise<void> {
  const { rule, method, tables, verify } = rules
  const fields = pairsOf(answer.rawHeaders)
  const coding = (answer.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  const decoder = decoderOf(coding)
  requireOnlyChunks(answer)
  const length = coding === 'identity' ? answer.headers['content-length'] : undefined
  if (Number(length ?? 0) > rule.maxResponse) throw tooLarge()
  const shown = shownFields(fields, tables)
  if (length !== undefined && /^[0-9]{1,15}$/.test(length)) shown.push('content-length', length)
  const status = answer.statusCode ?? 502
  const head = (): void => void response.writeHead(status, shown)
  if (verify !== undefined) {
    // Judged before anybody sees any of it, as it came over the wire.
    const body = await readJudged(answer)
    verify({ status, headers: fields, body })
    head()
    response.end(scrubbed(decoder === undefined ? body : await decode(decoder(), body), tables))
    return
  }
  head()
  if (method === 'HEAD' || status === 204 || status === 304) {
    answer.resume()
    response.end()
    return
  }
  const scrub = scrubbing(rule.maxResponse, tables)
  await (decoder === undefined ? pipeline(answer, scrub, response) : pipeline(answer, decoder(), scrub, response))
}

function shownFields(fields: FieldPairs, tables: readonly PatternTable[]): string[] {
  return fieldsToReturn(fields).flatMap(([name, value]) =>
    // A field whose very name shows something is left out.
    scrubText(name, tables) === name ? [name, scrubText(value, tables)] : [],
  )
}

function scrubbing(limit: number, tables: readonly PatternTable[]): Transform {
  const scrubber = createScrubber(tables)
  let size = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      if (size > limit) done(tooLarge())
      else done(null, scrubber.push(chunk))
    },
    flush(done) {
      done(null, scrubber.end())
    },
  })
}

function scrubbed(body: Buffer, tables: readonly PatternTable[]): Buffer {
  const scrubber = createScrubber(tables)
  return Buffer.concat([scrubber.push(body), scrubber.end()])
}

async function readJudged(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_JUDGED) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function decode(decoder: Duplex, body: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  decoder.end(body)
  for await (const chunk of decoder as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_JUDGED) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// Node undoes chunks alone, and no field would tell the caller of another transfer coding.
function requireOnlyChunks({ headers: { 'transfer-encoding': coding = 'chunked' } }: IncomingMessage): void {
  if (coding.toLowerCase() === 'chunked') return
  throw new AimsError('egress.response_invalid', 'the answer has a transfer coding besides chunked')
}

function decoderOf(coding: string): (() => Duplex) | undefined {
  if (coding === 'identity') return undefined
  const decoder = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined
  if (decoder !== undefined) return decoder
  throw new AimsError('egress.response_invalid', 'the answer has a coding that was not asked for')
}

function tooLarge(): AimsError {
  return new AimsError('egress.response_too_large', 'the answer is larger than the rule allows')
}
