import type { Clock } from '../../base/clock.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { spkiBytes } from '../../base/keys.ts'
import { type OutboundOptions, outbound } from '../../base/outbound.ts'
import type { TlsPeer } from '../../base/outbound-connection.ts'
import { parseOutboundUrl } from '../../base/outbound-url.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import type { BundleSource, TrustBundle } from '../../credentials/bundle/bundle.ts'
import { type ParsedBundle, parseBundle } from '../../credentials/bundle/parse.ts'
import { serializePemBundle } from '../../credentials/bundle/pem.ts'
import { bundleSource, refuseOlder, refuseRollback } from '../../credentials/bundle/source.ts'
import { verifyX509Svid } from '../../credentials/x509-svid/verify.ts'
import { isSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { bootstrapOf, type FederationRelationship } from './relationship.ts'

/** What a fetch works with. */
export interface BundleFetchOptions {
  readonly clock: Clock
  /** The bundle that was fetched last. It decides what is older, and it recognises an endpoint of its own trust domain. */
  readonly current?: TrustBundle
  /** Bundles of endpoints that are in another trust domain than the bundle they serve. */
  readonly endpointBundles?: BundleSource
  /** The own bundle. A bundle of others that claims one of its keys is refused. */
  readonly own?: TrustBundle
  /** Take a bundle that is older than `current`, or another one under the same number. Default false. */
  readonly acceptRollback?: boolean
  /** What tests put in place of the network. */
  readonly network?: Pick<OutboundOptions<string>, 'resolve' | 'connect'>
  readonly signal?: AbortSignal
}

/** A bundle as its endpoint gave it. */
export interface FetchedBundle extends ParsedBundle {
  /** The document itself. */
  readonly document: string
}

const MAX_BODY = 1_048_576
/** Milliseconds, redirects included. */
const TIMEOUT = 30_000
const MAX_REDIRECTS = 3

/**
 * Fetches the bundle of another trust domain once. `https_web`: the server has a certificate for its name from an authority
 * of the web, or of the relationship. `https_spiffe`: it has the X.509-SVID of exactly `endpointSpiffeId`, whatever its name.
 * The bundle is refused when it is older than the one at hand, or visibly that of another trust domain.
 *
 * Does not keep anything, and does not try again.
 *
 * @throws {@link AimsError} `outbound.*`, `bundle.*`; `x509.untrusted_domain` when there is nothing to recognise the endpoint by
 * @see SPIFFE Federation, sections "SPIFFE Bundle Endpoint" and "Relationship management"
 */
export async function fetchBundle(
  relationship: FederationRelationship,
  options: BundleFetchOptions,
): Promise<FetchedBundle> {
  const { trustDomain, url, authorities, networks } = relationship
  const { current, acceptRollback = false, network = {}, signal } = options
  const { host, port } = parseOutboundUrl(url)
  const bootstrap = bootstrapOf(relationship)
  if (bootstrap !== undefined) refuseForeignBundle(bootstrap, options.own)
  const peer = peerOf(relationship, bootstrap, options)
  const fetcher = outbound({
    ...network,
    purposes: {
      federation: {
        hosts: [`${host}:${port}`],
        networks,
        redirects: relationship.redirects ? MAX_REDIRECTS : 0,
        maxBody: MAX_BODY,
        timeout: TIMEOUT,
        ...(authorities === undefined ? {} : { authorities }),
        ...(peer === undefined ? {} : { peer }),
      },
    },
  })
  const { status, body } = await fetcher.fetch('federation', url, signal === undefined ? {} : { signal })
  if (status !== 200) throw new AimsError('outbound.refused_by_host', `the endpoint answered with status ${status}`)
  const parsed = parseBundle(body, trustDomain)
  refuseForeignBundle(parsed.bundle, options.own)
  if (!acceptRollback) {
    // Bundles that operators pass on may leave keys out, under the same number.
    if (bootstrap !== undefined) refuseOlder(bootstrap, parsed.bundle)
    if (current !== undefined) refuseRollback(current, parsed.bundle)
  }
  return { ...parsed, document: body.toString() }
}

function peerOf(
  { profile, trustDomain, endpointSpiffeId }: FederationRelationship,
  bootstrap: TrustBundle | undefined,
  { clock, current, endpointBundles }: BundleFetchOptions,
): TlsPeer | undefined {
  if (profile === 'https_web') return undefined
  if (endpointSpiffeId === undefined) throw new TypeError('https_spiffe needs endpointSpiffeId')
  const domain = trustDomainOf(endpointSpiffeId)
  // The latest one, and the first only before there is another: a key that went is not trusted again.
  const bundle = domain === trustDomain ? (current ?? bootstrap) : endpointBundles?.bundleFor(domain)
  if (bundle === undefined || bundle.x509Authorities.length === 0) {
    throw new AimsError('x509.untrusted_domain', 'there is no X.509 authority to recognise the endpoint by')
  }
  if (bundle.trustDomain !== domain) throw new TypeError('the bundle of another trust domain')
  return {
    authorities: serializePemBundle(bundle),
    verify: (chain) => requireEndpoint(chain, endpointSpiffeId, bundle, clock()),
  }
}

function requireEndpoint(chain: readonly Uint8Array[], expected: SpiffeId, bundle: TrustBundle, now: number): void {
  const { trustDomain } = bundle
  const { subject } = verifyX509Svid(chain, { bundles: bundleSource(bundle), trustDomain, now })
  if (subject !== expected) {
    throw new AimsError('authentication.peer_unexpected', 'the endpoint is authentic and has another SPIFFE ID')
  }
}

/**
 * Refuses a bundle that is visibly another trust domain's: one with a key of ours, or with a CA certificate that names
 * another trust domain. A bundle does not say whose it is, and a mix-up would let one domain speak for another.
 *
 * Does not tell whether the bundle is genuine.
 *
 * @throws {@link AimsError} `bundle.wrong_trust_domain`, `bundle.invalid_key`
 */
export function refuseForeignBundle(bundle: TrustBundle, own: TrustBundle | undefined): void {
  const { trustDomain } = bundle
  const ownKeys = new Set(own === undefined ? [] : keysOf(own))
  if (keysOf(bundle).some((key) => ownKeys.has(key))) {
    throw new AimsError('bundle.wrong_trust_domain', 'the bundle has a key of the own trust domain')
  }
  if (bundle.x509Authorities.some((der) => domainsOf(der).some((domain) => domain !== trustDomain))) {
    throw new AimsError('bundle.wrong_trust_domain', 'a CA certificate of the bundle names another trust domain')
  }
}

function keysOf({ x509Authorities, jwtAuthorities, witAuthorities }: TrustBundle): readonly string[] {
  const keys = [...jwtAuthorities.values(), ...witAuthorities.values()].map(({ key }) => spkiBytes(key))
  return [...x509Authorities.map(spkiOf), ...keys].map((spki) => Buffer.from(spki).toString('base64'))
}

function spkiOf(der: Uint8Array): Uint8Array {
  return readCertificate(der).spkiDer
}

function domainsOf(der: Uint8Array): readonly TrustDomain[] {
  return readCertificate(der).altNames.uris.flatMap((uri) => (isSpiffeId(uri) ? [trustDomainOf(uri)] : []))
}

function readCertificate(der: Uint8Array): ReturnType<typeof parseCertificate> {
  return refuseAs('bundle.invalid_key', 'a CA certificate cannot be read', () => parseCertificate(der))
}
