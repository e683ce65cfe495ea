import { sha256Base64url } from '../../base/bytes.ts'
import { timeText } from '../../base/check.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import { schemeOf, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import { attempt, type RefusalFacts, type Step } from './facts.ts'

/** The checks of the certificate of a connection in the order in which they are made. */
export const CERTIFICATE_STEPS: readonly Step[] = [
  {
    check: 'certificate.form',
    codes: ['x509.malformed', 'x509.no_certificate', 'x509.chain_too_long', 'credential.too_large'],
    tell: ({ request: { peerCertificates: chain = [] } }) => ({
      expected: 'a chain, leaf first',
      observed: `${chain.length} certificates`,
    }),
  },
  {
    check: 'certificate.identifier',
    codes: [
      'x509.uri_san_count',
      'x509.invalid_identifier',
      'x509.leaf_is_ca',
      'x509.missing_key_usage',
      'x509.key_usage_not_critical',
      'x509.extended_key_usage',
      'x509.root_path',
    ],
    tell: ({ leaf }) => ({
      expected: 'the profile of a workload, and one URI that is its identifier',
      observed: leaf?.altNames.uris.join(', ') ?? 'nothing that can be read',
    }),
  },
  {
    check: 'certificate.trust-domain',
    codes: ['x509.wrong_trust_domain', 'x509.untrusted_domain'],
    tell: ({ leaf, options: { bundles } }) => {
      const id = idIn(leaf)
      const bundle = id === undefined ? undefined : bundles.bundleFor(trustDomainOf(id))
      return {
        expected: 'a trust domain with an X.509 authority that is known here',
        observed: id === undefined ? 'none' : `${schemeOf(id)}://${trustDomainOf(id)}`,
        difference: bundle === undefined ? 'no-bundle' : 'no-keys',
      }
    },
  },
  {
    check: 'certificate.path',
    codes: [
      'x509.untrusted',
      'x509.expired',
      'x509.not_yet_valid',
      'x509.invalid_signature',
      'x509.not_a_ca',
      'x509.path_length',
      'x509.unknown_critical_extension',
      'x509.name_constraints',
      'x509.weak_key',
      'x509.key_usage',
      'x509.san_not_critical',
      'x509.invalid_extension',
      'x509.key_mismatch',
    ],
    tell: ({ leaf, now, options: { bundles } }) => ({
      expected: `a path to ${authoritiesFor(bundles, idIn(leaf))}, valid at ${timeText(now, now)}`,
      observed:
        leaf === undefined ? 'none' : `until ${timeText(leaf.notAfter, now)}; from ${timeText(leaf.notBefore, now)}`,
    }),
  },
]

/** What revocations name a certificate by. */
export function serialOf({ leaf }: RefusalFacts): string {
  return `serial number ${leaf?.serialNumber ?? 'unknown'} of ${idIn(leaf) ?? 'nobody'}`
}

/** Whom the certificate names. */
export function holderOf({ leaf }: RefusalFacts): string {
  return idIn(leaf) ?? 'nobody'
}

/** The field in which a proxy says whose request it passes on. */
export const FORWARDING_STEP: Step = {
  check: 'proxy.word',
  codes: [
    'authentication.missing',
    'authentication.not_vouched',
    'authentication.duplicate_field',
    'authentication.malformed_field',
  ],
  tell: (facts) => ({
    expected: 'one X-Forwarded-Client-Cert, about a caller the proxy may speak for',
    observed: `${forwardedFields(facts)} from ${holderOf(facts)}`,
  }),
}

/** Whether the method that the certificate stands for counts here. */
export const CERTIFICATE_METHOD_STEP: Step = {
  check: 'certificate.accepted',
  codes: ['authentication.method_not_allowed'],
  tell: ({ accepted }) => ({ expected: accepted.join(' or '), observed: 'a certificate' }),
}

function idIn(leaf: RefusalFacts['leaf']): ReturnType<typeof parseWimseId> | undefined {
  const [uri] = leaf?.altNames.uris ?? []
  return uri === undefined ? undefined : attempt(() => parseWimseId(uri))
}

function authoritiesFor(bundles: BundleSource, id: ReturnType<typeof idIn>): string {
  const authorities = id === undefined ? [] : (bundles.bundleFor(trustDomainOf(id))?.x509Authorities ?? [])
  if (authorities.length === 0) return 'no authority'
  return `authority ${authorities.map((der) => sha256Base64url(der).slice(0, 12)).join(' or ')}`
}

function forwardedFields({ request: { headers } }: RefusalFacts): string {
  const count = headers.filter(([name]) => name.toLowerCase() === 'x-forwarded-client-cert').length
  return count === 1 ? 'one such field' : `${count} such fields`
}
