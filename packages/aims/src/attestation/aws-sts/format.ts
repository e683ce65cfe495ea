import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import type { StsEndpoint } from './endpoints.ts'

/** Name of the signed header that ties a request to a challenge. */
export const BINDING_HEADER = 'x-aims-binding'
/** The only body that is sent. */
export const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'
export const CONTENT_TYPE = 'application/x-www-form-urlencoded; charset=utf-8'

/** A signed request for GetCallerIdentity, taken apart. Nothing else of what was sent is kept. */
export interface StsRequest {
  /** `query`: presigned. `header`: signed in its Authorization header. */
  readonly form: 'query' | 'header'
  readonly endpoint: StsEndpoint
  readonly accessKeyId: string
  /** `YYYYMMDDTHHMMSSZ` */
  readonly date: string
  /** Seconds; presigned only. */
  readonly expires?: number
  readonly sessionToken?: string
  /** Absent in a bare address: the verifier knows what it asked for. */
  readonly binding?: string
  /** Hex. */
  readonly signature: string
}

type Values = { readonly [name: string]: string | undefined }
/** The whole form of each value, and whether it may be absent. */
type Forms = { readonly [name: string]: readonly [form: RegExp, optional?: 'optional'] }

const CREDENTIAL = '([A-Z0-9]{16,128})/([0-9]{8})/([a-z0-9-]{1,40})/sts/aws4_request'
const DATE = /^[0-9]{8}T[0-9]{6}Z$/
const SIGNATURE = /^[0-9a-f]{64}$/
const TOKEN = /^[A-Za-z0-9+/=]{16,4096}$/
const BINDING = /^[!-~]{1,512}$/

const QUERY: Forms = {
  Action: [/^GetCallerIdentity$/],
  Version: [/^2011-06-15$/],
  'X-Amz-Algorithm': [/^AWS4-HMAC-SHA256$/],
  'X-Amz-Credential': [new RegExp(`^${CREDENTIAL}$`)],
  'X-Amz-Date': [DATE],
  'X-Amz-Expires': [/^(?:0|[1-9][0-9]{0,2})$/],
  'X-Amz-Security-Token': [TOKEN, 'optional'],
  'X-Amz-Signature': [SIGNATURE],
  'X-Amz-SignedHeaders': [new RegExp(`^host;${BINDING_HEADER}$`)],
}
const QUERY_HEADERS: Forms = { [BINDING_HEADER]: [BINDING, 'optional'] }
const AUTHORIZATION = new RegExp(
  `^AWS4-HMAC-SHA256 Credential=${CREDENTIAL}, ?SignedHeaders=([a-z0-9;-]{1,200}), ?Signature=([0-9a-f]{64})$`,
)
const HEADERS: Forms = {
  authorization: [AUTHORIZATION],
  'content-type': [/^application\/x-www-form-urlencoded; charset=utf-8$/],
  [BINDING_HEADER]: [BINDING],
  'x-amz-date': [DATE],
  'x-amz-security-token': [TOKEN, 'optional'],
}

/**
 * Takes a signed request apart: JSON `{"method", "url", "headers", "body"}`, the presigned address itself, or that
 * address in base64url behind a prefix such as `k8s-aws-v1.`. Everything that may be in it is listed here, with its form;
 * anything else is refused, also what AWS would ignore.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.issuer_unknown` for a host that is not configured
 */
export function parseSts(evidence: string, endpoints: ReadonlyMap<string, StsEndpoint>): StsRequest {
  const { method, url, headers, body } = partsOf(evidence)
  const [, host = '', query] = /^https:\/\/([^/?#@:]+)\/(?:\?([^#]*))?$/.exec(url) ?? []
  if (host === '') throw malformed('the address is not https://<host>/')
  const endpoint = endpoints.get(host)
  if (endpoint === undefined) {
    throw new AimsError('attestation.issuer_unknown', 'the host is not an endpoint of a configured region')
  }
  if (method === 'GET' && query !== undefined && body === undefined) {
    const values = { ...checked(decodeQuery(query), QUERY), ...checked(headers, QUERY_HEADERS) }
    return presigned(values, endpoint)
  }
  if (method === 'POST' && query === undefined && body === BODY) return signed(checked(headers, HEADERS), endpoint)
  throw malformed('neither a presigned GET nor the POST of GetCallerIdentity')
}

interface Parts {
  readonly method: unknown
  readonly url: string
  readonly headers: ReadonlyMap<string, string>
  readonly body: unknown
}

function partsOf(evidence: string): Parts {
  const text = evidence.trim()
  if (text.startsWith('https://')) return { method: 'GET', url: text, headers: new Map(), body: undefined }
  const [, token] = /^[a-z0-9-]{1,32}\.([A-Za-z0-9_-]+)$/.exec(text) ?? []
  if (token !== undefined) {
    return {
      method: 'GET',
      url: Buffer.from(token, 'base64url').toString('latin1'),
      headers: new Map(),
      body: undefined,
    }
  }
  const document = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () => parseJsonObject(text))
  const { method, url, headers = {}, body, ...rest } = document
  if (typeof url !== 'string' || !isJsonObject(headers) || Object.keys(rest).length > 0) {
    throw malformed('takes method, url, headers and body')
  }
  return { method, url, headers: headersOf(headers), body }
}

function headersOf(headers: JsonObject): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (typeof value !== 'string' || map.has(lower)) throw malformed('a header is not one text')
    map.set(lower, value)
  }
  return map
}

function decodeQuery(query: string): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=')
    const name = decode(pair.slice(0, Math.max(0, at)))
    if (map.has(name)) throw malformed('a parameter occurs twice')
    map.set(name, decode(pair.slice(at + 1)))
  }
  return map
}

function decode(text: string): string {
  if (!/^(?:[A-Za-z0-9._~;/=:-]|%[0-9A-Fa-f]{2})*$/.test(text)) throw malformed('a character of the query')
  return text.replaceAll(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function checked(values: ReadonlyMap<string, string>, forms: Forms): Values {
  for (const name of values.keys()) if (!Object.hasOwn(forms, name)) throw malformed('an unknown parameter or header')
  for (const [name, [form, optional]] of Object.entries(forms)) {
    const value = values.get(name)
    if (value === undefined ? optional === undefined : !form.test(value)) {
      throw malformed(`${name} is missing or does not have its form`)
    }
  }
  return Object.fromEntries(values)
}

function presigned(values: Values, endpoint: StsEndpoint): StsRequest {
  const [, accessKeyId = '', day, region] = new RegExp(`^${CREDENTIAL}$`).exec(values['X-Amz-Credential'] ?? '') ?? []
  const date = values['X-Amz-Date'] ?? ''
  checkScope(day, region, date, endpoint)
  const expires = Number(values['X-Amz-Expires'])
  if (expires > 900) throw malformed('it lives longer than 15 minutes')
  return {
    form: 'query',
    endpoint,
    accessKeyId,
    date,
    expires,
    signature: values['X-Amz-Signature'] ?? '',
    ...optional('sessionToken', values['X-Amz-Security-Token']),
    ...optional('binding', values[BINDING_HEADER]),
  }
}

function signed(values: Values, endpoint: StsEndpoint): StsRequest {
  const [, accessKeyId = '', day, region, names, signature = ''] = AUTHORIZATION.exec(values.authorization ?? '') ?? []
  const date = values['x-amz-date'] ?? ''
  checkScope(day, region, date, endpoint)
  const sent = ['host', ...Object.keys(values).filter((name) => name !== 'authorization')]
  if (names !== sent.toSorted().join(';')) throw malformed('not every header is signed, or one that was not sent is')
  return {
    form: 'header',
    endpoint,
    accessKeyId,
    date,
    signature,
    ...optional('sessionToken', values['x-amz-security-token']),
    ...optional('binding', values[BINDING_HEADER]),
  }
}

function checkScope(day: string | undefined, region: string | undefined, date: string, endpoint: StsEndpoint): void {
  if (day !== date.slice(0, 8) || region !== endpoint.region) {
    throw malformed('the scope of the credential is not the day and the region of the request')
  }
}

function optional<Name extends string>(name: Name, value: string | undefined): { readonly [N in Name]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [N in Name]?: string }
}

function malformed(rule: string): AimsError {
  return new AimsError('attestation.malformed', `the signed request: ${rule}`)
}
