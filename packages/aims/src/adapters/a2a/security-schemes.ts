import type { AuthenticationMethod } from '../../authentication/principal.ts'
import type { JsonObject } from '../../base/json.ts'

/** How the card says by what an agent may be called. Methods that A2A has no word for are not in it. */
const SCHEMES: { readonly [method in AuthenticationMethod]?: { readonly name: string; readonly scheme: JsonObject } } =
  {
    'wit+wpt': {
      name: 'wimse',
      scheme: {
        httpAuthSecurityScheme: {
          scheme: 'WPT',
          description: 'A Workload Identity Token, and a proof of its key for this request (draft-ietf-wimse-wpt)',
        },
      },
    },
    mtls: {
      name: 'mtls',
      scheme: { mtlsSecurityScheme: { description: 'The X.509-SVID of the caller' } },
    },
  }

// Of a scheme without scopes, the list has roles. It is not empty, since an empty one is not signed by every implementation.
const ROLES = ['workload']

/**
 * The security schemes of a card, and that any one of them will do.
 *
 * @throws TypeError when none of the methods is one that A2A has a word for
 * @see A2A 1.0, sections "SecurityScheme" and "SecurityRequirement"
 */
export function securityOf(methods: readonly AuthenticationMethod[]): {
  readonly schemes: JsonObject
  readonly requirements: readonly JsonObject[]
} {
  const known = methods.flatMap((method) => SCHEMES[method] ?? [])
  if (known.length === 0) throw new TypeError('a card needs wit+wpt or mtls among its methods')
  return {
    schemes: Object.fromEntries(known.map(({ name, scheme }) => [name, scheme])),
    requirements: known.map(({ name }) => ({ schemes: { [name]: { list: ROLES } } })),
  }
}
