import { trimBlanks } from '../../base/blanks.ts'
import { AimsError } from '../../base/errors.ts'
import {
  type Dictionary,
  type Item,
  NO_PARAMETERS,
  type Parameters,
  parseDictionary,
  parseItem,
  parseList,
} from '../../base/structured-fields.ts'
import {
  serializeDictionary,
  serializeItem,
  serializeList,
  serializeMember,
} from '../../base/structured-fields-writer.ts'
import type { RawHeaders } from '../carriage.ts'
import type { Message } from './message.ts'
import { invalid, missing } from './refuse.ts'

type StructuredType = 'item' | 'list' | 'dictionary'

/** Fields that are structured, as their specifications say: `;sf` cannot be computed for any other. */
const STRUCTURED_FIELDS: { readonly [field: string]: StructuredType } = {
  accept: 'list',
  'accept-encoding': 'list',
  'accept-language': 'list',
  'accept-signature': 'dictionary',
  'alt-svc': 'dictionary',
  'cache-control': 'dictionary',
  'cache-status': 'list',
  'cdn-cache-control': 'dictionary',
  'client-cert': 'item',
  'client-cert-chain': 'list',
  connection: 'list',
  'content-digest': 'dictionary',
  'content-encoding': 'list',
  'content-language': 'list',
  'content-length': 'item',
  'content-type': 'item',
  date: 'item',
  expect: 'dictionary',
  host: 'item',
  origin: 'item',
  pragma: 'dictionary',
  prefer: 'dictionary',
  'preference-applied': 'dictionary',
  priority: 'dictionary',
  'proxy-status': 'list',
  'repr-digest': 'dictionary',
  signature: 'dictionary',
  'signature-input': 'dictionary',
  'signature-agent': 'dictionary',
  te: 'list',
  trailer: 'list',
  'transfer-encoding': 'list',
  vary: 'list',
  'want-content-digest': 'dictionary',
  'want-repr-digest': 'dictionary',
}

/** The value of a field as a signature covers it. @see RFC 9421 section 2.1 */
export function fieldValue(name: string, parameters: Parameters, message: Message): string {
  if (parameters.size === 0) return fieldText(message.headers, name) ?? missing('a field')
  if (parameters.has('name')) invalid('name is for @query-param')
  const lines = fieldLines(parameters.has('tr') ? (message.trailers ?? []) : message.headers, name)
  if (lines.length === 0) missing('a field')
  const key = parameters.get('key')
  if (parameters.has('bs')) {
    if (parameters.has('sf') || key !== undefined) invalid('bs goes with neither sf nor key')
    return lines.map((line) => wrapped(line)).join(', ')
  }
  const joined = lines.join(', ')
  if (key !== undefined)
    return memberOf(
      readAs(() => parseDictionary(joined)),
      String(key.value),
    )
  return parameters.has('sf') ? canonical(name, joined) : joined
}

/** A field as one line, or nothing where the message does not have it. */
export function fieldText(headers: RawHeaders, name: string): string | undefined {
  const lines = fieldLines(headers, name)
  return lines.length > 1 ? lines.join(', ') : lines[0]
}

/** Every line of a field, without the blanks around it, folded lines on one. */
export function fieldLines(headers: RawHeaders, name: string): readonly string[] {
  const lines: string[] = []
  for (const [written, value] of headers) {
    if (written.length !== name.length || written.toLowerCase() !== name) continue
    lines.push(trimBlanks(value.includes('\n') ? value.replace(FOLD, ' ') : value))
  }
  return lines
}

// At most one run of blanks on either side of the line end, so that no text makes it go back.
const FOLD = /(?<![ \t])[ \t]*\r?\n[ \t]+/g

function wrapped(line: string): string {
  const value = { type: 'bytes', value: Buffer.from(line, 'latin1') } as const
  return serializeItem({ kind: 'item', value, parameters: NO_PARAMETERS })
}

function memberOf(dictionary: Dictionary, key: string): string {
  const member = dictionary.get(key)
  return member === undefined ? missing('a member of a field') : serializeMember(member)
}

const CANONICAL: { readonly [type in StructuredType]: (text: string) => string } = {
  item: (text) => serializeItem(parseItem(text) satisfies Item),
  list: (text) => serializeList(parseList(text)),
  dictionary: (text) => serializeDictionary(parseDictionary(text)),
}

function canonical(name: string, text: string): string {
  const type = Object.hasOwn(STRUCTURED_FIELDS, name) ? STRUCTURED_FIELDS[name] : undefined
  if (type === undefined) invalid('the field is not known to be structured')
  return readAs(() => CANONICAL[type](text))
}

function readAs<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('signature.invalid_component', 'a covered field is not structured as its component says', {
      cause,
    })
  }
}
