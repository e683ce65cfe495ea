import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type BareItem,
  type Item,
  type Member,
  type Parameters,
  parseDictionary,
  parseItem,
  parseList,
} from '../../packages/aims/src/base/structured-fields.ts'
import {
  serializeDictionary,
  serializeItem,
  serializeList,
} from '../../packages/aims/src/base/structured-fields-writer.ts'
import { type Case, type Outcome, outcomeOf, suite } from './suite.ts'

type Bare = boolean | number | string | { readonly __type: string; readonly value: string | number }
type Pairs<T> = readonly (readonly [string, T])[]
type Expected = readonly [Bare | readonly Expected[], Pairs<Bare>]

interface Vector {
  readonly name: string
  readonly raw?: readonly string[]
  readonly header_type: 'item' | 'list' | 'dictionary'
  readonly expected?: unknown
  readonly must_fail?: boolean
  readonly can_fail?: boolean
  readonly canonical?: readonly string[]
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

function fromBase32(text: string): Buffer {
  const bits = [...text.replace(/=+$/, '')].map((c) => BASE32.indexOf(c).toString(2).padStart(5, '0')).join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

// What our values look like in the notation of the suite.
function bare({ type, value }: BareItem): Bare {
  if (type === 'bytes') return { __type: 'binary', value: Buffer.from(value as Uint8Array).toString('hex') }
  if (type === 'token' || type === 'date') return { __type: type, value: value as string }
  if (type === 'display-string') return { __type: 'displaystring', value: value as string }
  return value as Bare
}

const pairs = (parameters: Parameters): Pairs<Bare> => Array.from(parameters, ([key, value]) => [key, bare(value)])

function member(one: Member): unknown {
  return one.kind === 'item' ? [bare(one.value), pairs(one.parameters)] : [one.items.map(member), pairs(one.parameters)]
}

// The suite writes bytes in base32, and both sides may have decimals that are whole.
function comparable(value: unknown): string {
  return JSON.stringify(value, (_, one) =>
    one?.__type === 'binary' && /[A-Z2-7=]/.test(one.value) && !/^[0-9a-f]*$/.test(one.value)
      ? { ...one, value: fromBase32(one.value).toString('hex') }
      : one,
  )
}

const KINDS = {
  item: (text: string) => {
    const item = parseItem(text)
    return { found: member(item), canonical: serializeItem(item) }
  },
  list: (text: string) => {
    const list = parseList(text)
    return { found: list.map(member), canonical: serializeList(list) }
  },
  dictionary: (text: string) => {
    const dictionary = parseDictionary(text)
    return {
      found: Array.from(dictionary, ([key, one]) => [key, member(one)]),
      canonical: serializeDictionary(dictionary),
    }
  },
}

function parseCase(file: string, vector: Vector): Case {
  const { name, raw = [], header_type: kind, expected, must_fail, can_fail, canonical = raw } = vector
  return {
    id: `${file}: ${name}`,
    expected: must_fail === true ? 'reject' : can_fail === true ? 'either' : 'accept',
    ...(must_fail === true ? { code: 'http.malformed_field' } : {}),
    async run(): Promise<Outcome> {
      return outcomeOf(() => {
        const { found, canonical: written } = KINDS[kind](raw.join(', '))
        if (must_fail === true) return
        if (comparable(found) !== comparable(expected)) throw new Error(`read as ${comparable(found)}`)
        if (written !== canonical.join(', ')) throw new Error(`written as ${written}`)
      })
    },
  }
}

function toBare(value: Bare): BareItem {
  if (typeof value === 'boolean') return { type: 'boolean', value }
  if (typeof value === 'number') return { type: Number.isInteger(value) ? 'integer' : 'decimal', value }
  if (typeof value === 'string') return { type: 'string', value }
  const { __type: type, value: inner } = value
  if (type === 'binary') return { type: 'bytes', value: fromBase32(String(inner)) }
  if (type === 'date') return { type, value: Number(inner) }
  return { type: type === 'displaystring' ? 'display-string' : 'token', value: String(inner) }
}

const toParameters = (given: Pairs<Bare>): Parameters => new Map(given.map(([key, value]) => [key, toBare(value)]))

function toMember([value, parameters]: Expected): Member {
  return Array.isArray(value)
    ? { kind: 'inner-list', items: value.map(toMember) as Item[], parameters: toParameters(parameters) }
    : { kind: 'item', value: toBare(value as Bare), parameters: toParameters(parameters) }
}

const WRITERS = {
  item: (value: unknown) => serializeItem(toMember(value as Expected) as Item),
  list: (value: unknown) => serializeList((value as Expected[]).map(toMember)),
  dictionary: (value: unknown) =>
    serializeDictionary(new Map((value as Pairs<Expected>).map(([key, one]) => [key, toMember(one)]))),
}

function writeCase(file: string, { name, header_type: kind, expected, must_fail, canonical = [] }: Vector): Case {
  return {
    id: `${file}: ${name}`,
    expected: must_fail === true ? 'reject' : 'accept',
    async run(): Promise<Outcome> {
      let written: string
      try {
        written = WRITERS[kind](expected)
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        return { accepted: false, code: 'TypeError' }
      }
      if (must_fail !== true && written !== canonical.join(', ')) throw new Error(`${name} is written as ${written}`)
      return { accepted: true }
    },
  }
}

const load = (dir: string, make: (file: string, vector: Vector) => Case): readonly Case[] =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => (JSON.parse(readFileSync(join(dir, file), 'utf8')) as Vector[]).map((one) => make(file, one)))

suite('structured-fields', 'suites/structured-fields', (dir) => load(dir, parseCase))
suite('structured-fields-writing', 'suites/structured-fields/serialisation-tests', (dir) => load(dir, writeCase))
