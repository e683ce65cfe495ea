import type { AxiosInstance, InternalAxiosRequestConfig } from 'axios'
import type { WitSource } from '../credentials/wit/source.ts'
import { type ProvingOptions, provingFields } from './outgoing.ts'

export type { ProvingOptions } from './outgoing.ts'

/**
 * Makes an instance of axios prove who sends each request, for its method, target and body: `prove(axios.create(), wits,
 * { audience })`. Redirects are not followed: a proof is for one target.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes after it was transformed
 */
export function prove(instance: AxiosInstance, wits: WitSource, options: ProvingOptions): AxiosInstance {
  const fieldsFor = provingFields(wits, options)
  instance.interceptors.request.use((config) => {
    if (config.auth !== undefined) throw new TypeError('auth would take the place of the proof')
    const transforms = [config.transformRequest ?? []].flat()
    return { ...config, maxRedirects: 0, transformRequest: [...transforms, attach] }
  })
  // The last to transform the body sees it as it will be sent.
  function attach(
    this: InternalAxiosRequestConfig,
    data: unknown,
    headers: InternalAxiosRequestConfig['headers'],
  ): unknown {
    const body = data instanceof ArrayBuffer ? new Uint8Array(data) : (data ?? undefined)
    if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
      throw new TypeError('a proof names the whole body: give it as text or bytes')
    }
    const before = headers.get('authorization')
    const authorization = before === undefined || before === null ? undefined : String(before)
    const method = (this.method ?? 'get').toUpperCase()
    const fields = fieldsFor({ method, url: new URL(instance.getUri(this)), body, authorization })
    for (const [name, value] of Object.entries(fields)) headers.set(name, value)
    return data
  }
  return instance
}
