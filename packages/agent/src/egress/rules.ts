import { readFileSync } from 'node:fs'
import {
  AimsError,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  type Networks,
  networks,
  parseOutboundUrl,
} from 'aims/base'
import { type IdMatcher, isBelow, isExactly, parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import { isSelector } from 'aims/provisioning'
import { isToken } from './fields.ts'
import { type PathPattern, parsePathPattern } from './path-pattern.ts'
import { isSecretName } from './secrets/secret-name.ts'

/** What the broker attaches to a request. */
export type RuleCredential =
  /** A WIT and a proof for this very request. */
  | { readonly kind: 'wit'; readonly audience: string }
  /** A WIT and a signature over the request. With `peer` the answer must be signed by that workload. */
  | { readonly kind: 'http-signature'; readonly audience: string; readonly peer: SpiffeId | undefined }
  /** The X.509-SVID of the workload, towards a server that is exactly `peer`. */
  | { readonly kind: 'mtls'; readonly peer: SpiffeId }
  /** A JWT-SVID for this audience: whoever receives it holds it, too. */
  | { readonly kind: 'jwt-svid'; readonly audience: string }
  /** A secret of an older service, known here by its name. */
  | { readonly kind: 'secret'; readonly secret: string; readonly place: SecretPlace }
  /** Nothing. */
  | { readonly kind: 'none' }
  /** Nothing, and the broker passes on bytes that it cannot read. */
  | { readonly kind: 'tunnel' }

/** Where a secret stands in a request. */
export type SecretPlace =
  | { readonly in: 'header'; readonly name: string; readonly prefix: string }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'basic'; readonly user: string }

/** Who may ask what of one destination, and what proves it there. */
export interface BrokerRule {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly methods: ReadonlySet<string>
  readonly paths: readonly PathPattern[]
  readonly agents: readonly IdMatcher[]
  /** All of them must be true of the process that asks. */
  readonly selectors: readonly string[]
  readonly credential: RuleCredential
  /** So many requests of one workload in so many seconds. */
  readonly rate: { readonly requests: number; readonly seconds: number } | undefined
  /** Networks that are not public and may be reached. */
  readonly networks: Networks
  /** PEM of the authorities of the destination. Absent: those of the web. */
  readonly authorities: string | undefined
  /** What becomes of credentials that the caller sends itself. */
  readonly ownCredentials: 'remove' | 'refuse'
  /** Bytes. */
  readonly maxRequest: number
  readonly maxResponse: number
  /** Seconds in which nothing comes. */
  readonly timeout: number
}

const MIB = 1024 * 1024
const MAX_RULES = 1000
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'])

/**
 * Reads the rules of the broker: a map from name to rule. A member that nobody knows, or one of the wrong form, refuses
 * all of them.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming rule and member
 */
export function parseBrokerRules(rules: JsonObject): readonly BrokerRule[] {
  const names = Object.keys(rules)
  if (names.length > MAX_RULES) throw invalid(`more than ${MAX_RULES} rules`)
  return names.map((name) => {
    // `https` begins the other form of a base URL.
    if (!/^[a-z0-9](?:[a-z0-9-]{0,62})$/.test(name) || name === 'https')
      throw invalid(`${JSON.stringify(name.slice(0, 64))}: a name is lower-case letters, digits and -, and not https`)
    return parseRule(name, rules[name] ?? null)
  })
}

function parseRule(name: string, value: JsonValue): BrokerRule {
  const members = new Members(name, value, [...MEMBERS])
  const credential = parseCredential(new Members(`${name}: credential`, members.required('credential'), undefined))
  const isTunnel = credential.kind === 'tunnel'
  const { host, port } = members.read('to', parseDestination)
  const agents = members.list('agents', parseAgents)
  if (agents.length === 0) throw members.invalid('agents', 'name at least one SPIFFE ID')
  return {
    name,
    host,
    port,
    methods: new Set(isTunnel ? [] : members.list('methods', parseMethod)),
    paths: isTunnel ? [] : members.list('paths', (text) => found(parsePathPattern(text))),
    agents,
    selectors: members.optionalList('selectors', (text) => (isSelector(text) ? text : fail())),
    credential,
    rate: members.optional('rate', parseRate),
    networks: networksOf(members),
    authorities: members.optional('authorities', readAuthorities),
    ownCredentials:
      members.optional('ownCredentials', (text) => oneOf(text, ['remove', 'refuse'] as const)) ?? 'remove',
    maxRequest: members.optional('maxRequest', bytes) ?? 16 * MIB,
    maxResponse: members.optional('maxResponse', bytes) ?? 256 * MIB,
    timeout: members.optional('timeout', (seconds) => integer(seconds, 1, 3600)) ?? 60,
  }
}

const MEMBERS = [
  'to',
  'methods',
  'paths',
  'agents',
  'selectors',
  'credential',
  'rate',
  'networks',
  'authorities',
  'ownCredentials',
  'maxRequest',
  'maxResponse',
  'timeout',
] as const

const CREDENTIAL_MEMBERS: { readonly [kind in RuleCredential['kind']]: readonly string[] } = {
  wit: ['audience'],
  'http-signature': ['audience', 'peer'],
  mtls: ['peer'],
  'jwt-svid': ['audience'],
  secret: ['secret', 'header', 'prefix', 'query', 'basic'],
  none: [],
  tunnel: [],
}

function parseCredential(members: Members): RuleCredential {
  const kind = members.read('kind', (text) => oneOf(text, Object.keys(CREDENTIAL_MEMBERS)) as RuleCredential['kind'])
  members.requireKnown(['kind', ...CREDENTIAL_MEMBERS[kind]])
  const peer = (text: JsonValue): SpiffeId => parseWorkloadSpiffeId(word(text))
  if (kind === 'wit' || kind === 'jwt-svid') return { kind, audience: members.read('audience', word) }
  if (kind === 'http-signature')
    return { kind, audience: members.read('audience', word), peer: members.optional('peer', peer) }
  if (kind === 'mtls') return { kind, peer: members.read('peer', peer) }
  if (kind !== 'secret') return { kind }
  const secret = members.read('secret', (text) => (isSecretName(word(text)) ? word(text) : fail()))
  return { kind, secret, place: parsePlace(members) }
}

function parsePlace(members: Members): SecretPlace {
  const header = members.optional('header', (text) => (isToken(word(text)) ? word(text).toLowerCase() : fail()))
  const prefix = members.optional('prefix', (text) =>
    /^[\x21-\x7e]{1,32} ?$/.test(String(text)) ? String(text) : fail(),
  )
  const query = members.optional('query', (text) => (/^[A-Za-z0-9._~-]{1,64}$/.test(word(text)) ? word(text) : fail()))
  const user = members.optional('basic', (text) =>
    /^[\x21-\x39\x3b-\x7e]{1,128}$/.test(word(text)) ? word(text) : fail(),
  )
  const given = [header, query, user].filter((one) => one !== undefined)
  if (given.length !== 1) throw members.invalid('secret', 'exactly one of header, query and basic says where it stands')
  if (prefix !== undefined && header === undefined)
    throw members.invalid('prefix', 'stands before a secret in a header')
  if (header !== undefined) return { in: 'header', name: header, prefix: prefix ?? '' }
  return query !== undefined ? { in: 'query', name: query } : { in: 'basic', user: user ?? '' }
}

function parseDestination(value: JsonValue): { readonly host: string; readonly port: number } {
  const { host, port, target } = parseOutboundUrl(word(value))
  return target === '/' ? { host, port } : fail()
}

function parseMethod(text: string): string {
  return METHODS.has(text) ? text : fail()
}

// `spiffe://td/agent/*` is everything below, by whole segments.
function parseAgents(text: string): IdMatcher {
  return text.endsWith('/*')
    ? isBelow(parseWorkloadSpiffeId(text.slice(0, -2)))
    : isExactly(parseWorkloadSpiffeId(text))
}

// `100/60s`
function parseRate(value: JsonValue): { readonly requests: number; readonly seconds: number } {
  const [, requests, seconds] = /^([1-9][0-9]{0,6})\/([1-9][0-9]{0,4})s$/.exec(word(value)) ?? fail()
  return { requests: Number(requests), seconds: Number(seconds) }
}

function networksOf(members: Members): Networks {
  const list = members.optionalList('networks', (text) => {
    networks([text])
    return text
  })
  return networks(list)
}

function readAuthorities(value: JsonValue): string {
  const pem = readFileSync(word(value), 'utf8')
  return pem.includes('-----BEGIN CERTIFICATE-----') ? pem : fail()
}

function bytes(value: JsonValue): number {
  return integer(value, 1, 1 << 30)
}

function integer(value: JsonValue, min: number, max: number): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : fail()
}

function oneOf<const Word extends string>(value: JsonValue, words: readonly Word[]): Word {
  return words.find((one) => one === value) ?? fail()
}

function word(value: JsonValue): string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,2048}$/.test(value) ? value : fail()
}

function found<T>(value: T | undefined): T {
  return value ?? fail()
}

function fail(): never {
  throw new AimsError('operation.config_invalid', 'not of the form that is documented')
}

/** The members of one object, each read once and told apart in errors. */
class Members {
  readonly #where: string
  readonly #value: JsonObject

  constructor(where: string, value: JsonValue, known: readonly string[] | undefined) {
    this.#where = where
    if (!isJsonObject(value)) throw invalid(`${where}: a map is needed`)
    this.#value = value
    if (known !== undefined) this.requireKnown(known)
  }

  requireKnown(known: readonly string[]): void {
    const unknown = Object.keys(this.#value).find((member) => !known.includes(member))
    if (unknown !== undefined) throw invalid(`${this.#where}: no member ${JSON.stringify(unknown.slice(0, 64))}`)
  }

  required(name: string): JsonValue {
    const value = this.#value[name]
    if (value === undefined) throw this.invalid(name, 'is missing')
    return value
  }

  read<T>(name: string, parse: (value: JsonValue) => T): T {
    const value = this.required(name)
    try {
      return parse(value)
    } catch (cause) {
      throw this.invalid(name, 'has a value of another form', cause)
    }
  }

  optional<T>(name: string, parse: (value: JsonValue) => T): T | undefined {
    return this.#value[name] === undefined ? undefined : this.read(name, parse)
  }

  list<T>(name: string, parse: (text: string) => T): readonly T[] {
    return this.read(name, (value) => (Array.isArray(value) ? value.map((one) => parse(word(one))) : fail()))
  }

  optionalList<T>(name: string, parse: (text: string) => T): readonly T[] {
    return this.#value[name] === undefined ? [] : this.list(name, parse)
  }

  invalid(name: string, reason: string, cause?: unknown): AimsError {
    return invalid(`${this.#where}: ${JSON.stringify(name)} ${reason}`, cause)
  }
}

function invalid(reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.config_invalid', `"agent.egress.rules": ${reason}`, { cause })
}
