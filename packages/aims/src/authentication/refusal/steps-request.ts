import type { RawHeaders } from '../carriage.ts'
import type { RefusalFacts, Step } from './facts.ts'

const LOOKED_AT = new Set([
  'authorization',
  'workload-identity-token',
  'workload-proof-token',
  'txn-token',
  'signature-input',
  'signature',
  'x-forwarded-client-cert',
])

/** What comes first for every request: what it carries, and whether that is accepted here. */
export const REQUEST_STEPS: readonly Step[] = [
  {
    check: 'request.fields',
    codes: [
      'authentication.duplicate_field',
      'authentication.malformed_field',
      'authentication.mixed_profiles',
      'authentication.missing_proof',
      'authentication.missing_credential',
      'authentication.wit_as_bearer',
      'signature.missing',
      'signature.ambiguous',
      'signature.malformed',
      'signature.too_large',
      'proof.wrong_type',
      'credential.wrong_type',
      'proof.malformed',
      'proof.too_large',
      'proof.alg_mismatch',
      'proof.forbidden_header',
      'credential.malformed',
      'credential.too_large',
      'credential.unsupported_alg',
      'credential.forbidden_header',
    ],
    // Once the tokens are found, these codes are of the checks of each.
    isIt: ({ carried }) => carried === undefined,
    tell: ({ request, error }) => ({
      expected: 'one proof of identity, each field once',
      observed: fieldsIn(request.headers),
      ...(error.code === 'authentication.mixed_profiles' && hasSignature(request.headers)
        ? { difference: 'signature' }
        : {}),
    }),
  },
  {
    check: 'request.proof-method',
    codes: [
      'authentication.missing',
      'authentication.method_not_allowed',
      'authentication.no_client_certificate',
      'signature.cannot_sign',
    ],
    // That of a proxy which says nothing comes later; and so does the one of a service that cannot sign what it accepts.
    isIt: ({ error, carried, accepted, request }) =>
      error.code === 'signature.cannot_sign'
        ? !accepted.includes('http-signature')
        : carried?.kind === 'none' || !hasCertificate(request),
    tell: ({ accepted, carried, request }) => {
      const observed = offered(carried?.kind, hasCertificate(request))
      return { expected: accepted.join(' or '), observed, difference: observed === 'nothing' ? 'nothing' : 'method' }
    },
  },
]

const KINDS: { readonly [kind in NonNullable<RefusalFacts['carried']>['kind']]: string } = {
  proof: 'wit+wpt',
  signature: 'http-signature',
  bearer: 'a bearer token',
  none: '',
}

function offered(kind: keyof typeof KINDS = 'none', certificate: boolean): string {
  const all = [KINDS[kind], certificate ? 'a client certificate' : ''].filter((one) => one !== '')
  return all.length === 0 ? 'nothing' : all.join(' and ')
}

function hasCertificate({ peerCertificates }: RefusalFacts['request']): boolean {
  return peerCertificates !== undefined && peerCertificates.length > 0
}

function hasSignature(headers: RawHeaders): boolean {
  return headers.some(([name]) => name.toLowerCase() === 'signature-input')
}

// Names only, and of `Authorization` the scheme: no value of these fields belongs into a record.
function fieldsIn(headers: RawHeaders): string {
  const found = headers.flatMap(([name, value]) => {
    const field = name.toLowerCase()
    if (!LOOKED_AT.has(field)) return []
    return [field === 'authorization' ? `authorization (${schemeOf(value)})` : field]
  })
  return found.length === 0 ? 'none of the fields' : found.join(', ')
}

function schemeOf(value: string): string {
  return /^([A-Za-z]{1,16}) /.exec(value)?.[1] ?? 'no scheme'
}
