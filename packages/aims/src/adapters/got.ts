import type { ExtendOptions } from 'got'
import type { WitSource } from '../credentials/wit/source.ts'
import { type ProvingOptions, provingFields } from './outgoing.ts'

export type { ProvingOptions } from './outgoing.ts'

/**
 * Options for got that prove who sends each request, and each attempt anew: `got.extend(proving(wits, { audience }))`. Redirects
 * are not followed: a proof is for one target.
 *
 * @throws TypeError, at the request, for a body that is neither text nor bytes: a proof names the whole body
 */
export function proving(wits: WitSource, options: ProvingOptions): Pick<ExtendOptions, 'followRedirect' | 'hooks'> {
  const fieldsFor = provingFields(wits, options)
  return {
    followRedirect: false,
    hooks: {
      beforeRequest: [
        (request) => {
          const { body, method, headers } = request
          if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
            throw new TypeError('a proof names the whole body: give it as text or bytes')
          }
          const present = [headers.authorization ?? []].flat().join(', ')
          // A retry finds ours there.
          const before = present === '' || /^WPT /.test(present) ? undefined : present
          const url = new URL(String(request.url))
          Object.assign(headers, fieldsFor({ method, url, body, authorization: before }))
        },
      ],
    },
  }
}
