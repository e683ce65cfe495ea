import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonValue } from '../../base/json.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import { parseBundle } from '../../credentials/bundle/parse.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'

/** Bundles of other trust domains, by their names. */
export type FederatedBundles = ReadonlyMap<TrustDomain, TrustBundle>

/**
 * Reads `standing` of an answer of the identity server: whose signatures are good for long, of all purposes. Names do not
 * meet: key identifiers are hex of 20 bytes, kids are thumbprints.
 *
 * @throws {@link AimsError} `operation.invalid_response`
 */
export function readStanding(value: JsonValue): ReadonlySet<string> {
  if (!isJsonObject(value)) throw invalid('standing')
  const lists = Object.values(value)
  return new Set(
    lists.flatMap((list) => (Array.isArray(list) ? list.map((one: JsonValue) => text(one, 'standing')) : [])),
  )
}

/**
 * Reads `federated` of an answer of the identity server of `own`. Nobody else speaks for the own trust domain, and no
 * domain has two bundles.
 *
 * @throws {@link AimsError} `operation.invalid_response`, `bundle.*`, `identifier.*`
 */
export function readFederated(value: JsonValue | undefined, own: TrustDomain): FederatedBundles {
  if (value === undefined) return new Map()
  if (!Array.isArray(value)) throw invalid('federated')
  const bundles = new Map<TrustDomain, TrustBundle>()
  for (const one of value as readonly JsonValue[]) {
    if (!isJsonObject(one)) throw invalid('federated')
    const trustDomain = parseTrustDomain(text(one.trustDomain, 'trustDomain'))
    if (trustDomain === own || bundles.has(trustDomain)) throw invalid('federated')
    bundles.set(trustDomain, parseBundle(text(one.bundle, 'bundle'), trustDomain).bundle)
  }
  return bundles
}

function text(value: JsonValue | undefined, name: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(name)
  return value
}

function invalid(name: string): AimsError {
  return new AimsError('operation.invalid_response', `the server sent no usable ${name}`)
}
