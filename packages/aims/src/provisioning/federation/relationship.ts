import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { networks } from '../../base/outbound-addresses.ts'
import { parseOutboundUrl } from '../../base/outbound-url.ts'
import { parsePem } from '../../base/pem.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import { parseBundle } from '../../credentials/bundle/parse.ts'
import { parsePemBundle } from '../../credentials/bundle/pem.ts'
import { parseWorkloadSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'

/** How the server of a bundle endpoint is recognised. There is no way from one profile to the other. */
export type FederationProfile = 'https_web' | 'https_spiffe'

/** Where the bundle of another trust domain comes from. Every part is told by an operator, and none follows from another. */
export interface FederationRelationship {
  /** Whose bundle it is. */
  readonly trustDomain: TrustDomain
  readonly url: string
  readonly profile: FederationProfile
  /** `https_spiffe`: exactly who serves it. */
  readonly endpointSpiffeId?: SpiffeId
  /** The bundle of the trust domain to begin with: a SPIFFE bundle, or CA certificates in PEM. */
  readonly bundle?: string
  /** `https_web`: PEM of the authorities to trust instead of those of the web. */
  readonly authorities?: string
  /** Networks that are not public and may be reached, e.g. `10.0.0.0/8`. */
  readonly networks: readonly string[]
  /** Whether redirects are followed, up to three. */
  readonly redirects: boolean
}

/**
 * Reads a relationship, e.g. `{"trustDomain":"partner.example","url":"https://aims.partner.example:8443/v1/bundle",
 * "profile":"https_spiffe","endpointSpiffeId":"spiffe://partner.example/aims/server","bundle":"{...}"}`. Unknown members
 * are refused. An endpoint that serves the bundle of its own trust domain needs one to begin with.
 *
 * @param options.own - The own trust domain, which nobody federates with.
 * @throws {@link AimsError} `provisioning.federation_malformed`, naming the member
 * @see SPIFFE Federation, section "Endpoint parameters"
 */
export function parseFederationRelationship(
  input: JsonValue,
  options: { readonly own?: TrustDomain } = {},
): FederationRelationship {
  if (!isJsonObject(input)) throw malformed('it is not an object')
  const { trustDomain: name, url, networks: nets, redirects } = input
  for (const member of Object.keys(input)) {
    if (!MEMBERS.has(member)) throw malformed(`no member ${JSON.stringify(member.slice(0, 64))}`)
  }
  const profile = readProfile(input.profile)
  const trustDomain = read('trustDomain', name, parseTrustDomain)
  if (trustDomain === options.own) throw malformed('trustDomain is the own one')
  const base = {
    trustDomain,
    url: check('url', url, (text) => void parseOutboundUrl(text)),
    profile,
    ...readBootstrap(input, trustDomain),
    networks: readNetworks(nets),
    redirects: readFlag(redirects ?? true),
  }
  return profile === 'https_web' ? { ...base, ...webMembers(input) } : { ...base, ...spiffeMembers(input, base) }
}

const MEMBERS: ReadonlySet<string> = new Set<keyof FederationRelationship>([
  'trustDomain',
  'url',
  'profile',
  'endpointSpiffeId',
  'bundle',
  'authorities',
  'networks',
  'redirects',
])

function readProfile(value: JsonValue | undefined): FederationProfile {
  if (value === 'https_web' || value === 'https_spiffe') return value
  throw malformed('profile is https_web or https_spiffe')
}

/** The bundle that a relationship begins with. @throws {@link AimsError} `bundle.*` */
export function bootstrapOf(
  relationship: Pick<FederationRelationship, 'bundle' | 'trustDomain'>,
): TrustBundle | undefined {
  const { bundle, trustDomain } = relationship
  if (bundle === undefined) return undefined
  return bundle.startsWith('-----') ? parsePemBundle(bundle, trustDomain) : parseBundle(bundle, trustDomain).bundle
}

function readBootstrap({ bundle }: JsonObject, trustDomain: TrustDomain): { readonly bundle?: string } {
  if (bundle === undefined) return {}
  return { bundle: check('bundle', bundle, (text) => void bootstrapOf({ bundle: text, trustDomain })) }
}

function webMembers({ endpointSpiffeId, authorities }: JsonObject): Pick<FederationRelationship, 'authorities'> {
  if (endpointSpiffeId !== undefined) throw malformed('endpointSpiffeId is for profile https_spiffe')
  if (authorities === undefined) return {}
  return {
    authorities: check('authorities', authorities, (text) => {
      if (!parsePem(text).every(({ label }) => label === 'CERTIFICATE')) throw malformed('authorities are certificates')
    }),
  }
}

function spiffeMembers(
  { endpointSpiffeId, authorities }: JsonObject,
  base: Pick<FederationRelationship, 'bundle' | 'trustDomain'>,
): Pick<FederationRelationship, 'endpointSpiffeId'> {
  if (authorities !== undefined) throw malformed('authorities are for profile https_web')
  const id = read('endpointSpiffeId', endpointSpiffeId, parseWorkloadSpiffeId)
  if (trustDomainOf(id) === base.trustDomain && (bootstrapOf(base)?.x509Authorities ?? []).length === 0) {
    throw malformed('bundle: an endpoint of the same trust domain needs one with an X.509 authority to begin with')
  }
  return { endpointSpiffeId: id }
}

function readNetworks(value: JsonValue | undefined): readonly string[] {
  if (value === undefined) return []
  const list = Array.isArray(value) ? value.filter((one: JsonValue): one is string => typeof one === 'string') : []
  try {
    if (!Array.isArray(value) || list.length !== value.length || list.length > 32) throw new TypeError()
    networks(list)
  } catch {
    throw malformed('networks is a list such as ["10.0.0.0/8"]')
  }
  return list
}

function readFlag(value: JsonValue): boolean {
  if (typeof value !== 'boolean') throw malformed('redirects is true or false')
  return value
}

function read<T>(name: string, value: JsonValue | undefined, parse: (text: string) => T): T {
  if (typeof value !== 'string' || value === '') throw malformed(`${name} is missing, or no text`)
  try {
    return parse(value)
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    if (cause.code === 'provisioning.federation_malformed') throw cause
    throw malformed(`${name}: ${cause.message}`, { cause })
  }
}

function check(name: string, value: JsonValue | undefined, requireForm: (text: string) => void): string {
  return read(name, value, (text) => {
    requireForm(text)
    return text
  })
}

function malformed(why: string, options?: ErrorOptions): AimsError {
  return new AimsError('provisioning.federation_malformed', `the relationship is not well formed: ${why}`, options)
}
