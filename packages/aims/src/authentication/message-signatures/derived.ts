import type { Parameters } from '../../base/structured-fields.ts'
import { fieldLines } from './fields.ts'
import { isRequest, type Message, type RequestMessage } from './message.ts'
import { invalid, missing } from './refuse.ts'

/** The value of a component that is no field. @see RFC 9421 section 2.2 */
export function derivedValue(name: string, parameters: Parameters, message: Message): string {
  for (const parameter of parameters.keys()) {
    const isAllowed = parameter === 'req' || (parameter === 'name' && name === '@query-param')
    if (!isAllowed) invalid('a derived component has a parameter of fields')
  }
  if (!isRequest(message)) {
    return name === '@status' ? String(message.status).padStart(3, '0') : invalid('it is not one of responses')
  }
  if (name === '@query-param') return queryParameter(String(parameters.get('name')?.value ?? ''), message)
  const derive = Object.hasOwn(OF_REQUESTS, name) ? OF_REQUESTS[name] : undefined
  return derive === undefined ? invalid('it is not one of requests') : derive(message)
}

const OF_REQUESTS: { readonly [name: string]: (request: RequestMessage) => string } = {
  '@method': ({ method }) => method,
  '@path': (request) => pathAndQuery(request).path,
  '@query': (request) => `?${pathAndQuery(request).query ?? ''}`,
  '@request-target': ({ target }) => target,
  '@authority': (request) => authorityOf(request),
  '@scheme': (request) => schemeOf(request),
  '@target-uri': (request) => {
    const absolute = ABSOLUTE.exec(request.target)
    if (absolute !== null) return request.target
    const { path, query } = pathAndQuery(request)
    return `${schemeOf(request)}://${authorityOf(request)}${path}${query === undefined ? '' : `?${query}`}`
  },
}

const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(.*)$/

function pathAndQuery({ method, target }: RequestMessage): { readonly path: string; readonly query?: string } {
  const rest = target.startsWith('/') ? target : (ABSOLUTE.exec(target)?.[3] ?? target)
  // `CONNECT host:443` and `OPTIONS *` have neither path nor query.
  if (method === 'CONNECT' || (rest !== '' && !/^[/?]/.test(rest)) || target.includes('#')) {
    return missing('the target has no path')
  }
  const mark = rest.indexOf('?')
  const path = mark === -1 ? rest : rest.slice(0, mark)
  return { path: path === '' ? '/' : path, ...(mark === -1 ? {} : { query: rest.slice(mark + 1) }) }
}

function schemeOf({ target, scheme }: RequestMessage): string {
  return scheme ?? ABSOLUTE.exec(target)?.[1]?.toLowerCase() ?? missing('the scheme is not known')
}

const DEFAULT_PORTS: { readonly [scheme: string]: RegExp } = { https: /:(?:443)?$/, http: /:(?:80)?$/ }

function authorityOf(request: RequestMessage): string {
  const { authority = ABSOLUTE.exec(request.target)?.[2] ?? hostOf(request), scheme } = request
  const lower = authority.toLowerCase()
  const known = scheme ?? ABSOLUTE.exec(request.target)?.[1]?.toLowerCase()
  const port = known === undefined ? undefined : DEFAULT_PORTS[known]
  return port === undefined ? lower : lower.replace(port, '')
}

function hostOf({ headers }: RequestMessage): string {
  const [host, ...others] = fieldLines(headers, 'host')
  if (host === undefined || others.length > 0) return missing('there is not one Host')
  return host
}

function queryParameter(wanted: string, request: RequestMessage): string {
  const { query } = pathAndQuery(request)
  const values = [...new URLSearchParams(query ?? '')].filter(([name]) => encoded(name) === wanted)
  const [first, ...others] = values
  if (first === undefined) return missing('a query parameter')
  // Which of several is meant, nobody can say.
  if (others.length > 0) return invalid('a query parameter that occurs more than once')
  return encoded(first[1])
}

// The application/x-www-form-urlencoded percent-encode set, with %20 for a space.
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()~]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
