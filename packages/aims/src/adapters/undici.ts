import type { Dispatcher } from 'undici'
import type { WitSource } from '../credentials/wit/source.ts'
import { type ProvingOptions, provingFields } from './outgoing.ts'

export type { ProvingOptions } from './outgoing.ts'

/**
 * An interceptor for a dispatcher of undici: `new Agent().compose(proving(wits, { audience }))`. Put the one that retries in front
 * of it, since each attempt needs a proof of its own, and none that follows redirects: a proof is for one target.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes: a proof names the whole body
 */
export function proving(wits: WitSource, options: ProvingOptions): Dispatcher.DispatcherComposeInterceptor {
  const fieldsFor = provingFields(wits, options)
  return (dispatch) => (request, handler) => {
    const { origin = '', path, method, body } = request
    if (body !== undefined && body !== null && typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError('a proof names the whole body: give it as text or bytes')
    }
    const headers = pairsOf(request.headers)
    const authorization = headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1]
    const url = new URL(path, String(origin))
    const fields = fieldsFor({ method, url, target: path, body: body ?? undefined, authorization })
    const kept = headers.filter(([name]) => !Object.hasOwn(fields, name.toLowerCase()))
    return dispatch({ ...request, headers: [...kept, ...Object.entries(fields)].flat() }, handler)
  }
}

function pairsOf(headers: Dispatcher.DispatchOptions['headers']): readonly (readonly [string, string])[] {
  if (headers === undefined || headers === null) return []
  if (Array.isArray(headers)) {
    const names = headers.filter((_, at) => at % 2 === 0)
    return names.map((name, at) => [name, String(headers[2 * at + 1])])
  }
  const entries = Symbol.iterator in headers ? [...headers] : Object.entries(headers)
  return entries.flatMap(([name, value]) =>
    [value ?? []].flat().map((one): readonly [string, string] => [name, String(one)]),
  )
}
