import { AimsError } from 'aims/base'
import { serializeJwks, type TrustBundle } from 'aims/credentials'
import { trustDomainId, trustDomainOf } from 'aims/identifiers'
import { frameMessage, WORKLOAD_API } from 'aims/provisioning'
import type { WorkloadIdentity, WorkloadSnapshot } from '../workload-backend.ts'

/** One of the streams of states. For WITs also of one identity only. */
export type StateView =
  | { readonly kind: 'x509-svids' | 'x509-bundles' | 'jwt-bundles' | 'wit-bundles' }
  | { readonly kind: 'wits'; readonly spiffeId: string }

/**
 * Encodes what a snapshot says, once: all streams that show the same view of the same snapshot share one frame.
 * Frames hold keys; they go when their snapshot goes.
 */
export class FrameCache {
  readonly #frames = new WeakMap<WorkloadSnapshot, Map<string, Buffer | undefined>>()

  /** The framed message, or nothing when the workload has none of this. */
  frame(snapshot: WorkloadSnapshot, view: StateView): Buffer | undefined {
    let frames = this.#frames.get(snapshot)
    if (frames === undefined) {
      frames = new Map()
      this.#frames.set(snapshot, frames)
    }
    const key = view.kind === 'wits' ? `wits ${view.spiffeId}` : view.kind
    if (!frames.has(key)) {
      const message = snapshot.identities.length === 0 ? undefined : encode(snapshot, view)
      frames.set(key, message === undefined ? undefined : frameMessage(message))
    }
    return frames.get(key)
  }
}

function encode(snapshot: WorkloadSnapshot, view: StateView): Buffer | undefined {
  switch (view.kind) {
    case 'x509-svids':
      return encodeX509Svids(snapshot)
    case 'x509-bundles':
      return WORKLOAD_API.fetchX509Bundles.response.encode({ crl: [], bundles: x509Bundles(snapshot.bundles) })
    case 'jwt-bundles':
      return WORKLOAD_API.fetchJwtBundles.response.encode({ bundles: jwtBundles(snapshot.bundles) })
    case 'wits':
      return encodeWits(snapshot, view.spiffeId)
    case 'wit-bundles':
      return WORKLOAD_API.fetchWitBundles.response.encode({ bundles: witBundles(snapshot.bundles) })
  }
}

function encodeX509Svids({ identities, bundles }: WorkloadSnapshot): Buffer | undefined {
  const bundleOf = x509Bundles(bundles)
  const own = new Set<string>()
  const svids = identities.flatMap(({ spiffeId, hint, x509 }) => {
    if (x509 === undefined) return []
    const domain = trustDomainId(trustDomainOf(spiffeId))
    const bundle = bundleOf.get(domain)
    if (bundle === undefined) throw new AimsError('bundle.wrong_trust_domain', 'an identity without its own bundle')
    own.add(domain)
    return [{ spiffeId, x509Svid: Buffer.concat(x509.certificates), x509SvidKey: x509.privateKey, bundle, hint }]
  })
  if (svids.length === 0) return undefined
  const federatedBundles = new Map([...bundleOf].filter(([domain]) => !own.has(domain)))
  return WORKLOAD_API.fetchX509Svid.response.encode({ svids, crl: [], federatedBundles })
}

function encodeWits({ identities }: WorkloadSnapshot, only: string): Buffer | undefined {
  const isAsked = (identity: WorkloadIdentity): boolean => only === '' || identity.spiffeId === only
  const svids = identities.filter(isAsked).flatMap(({ spiffeId, hint, wit }) => {
    return wit === undefined ? [] : [{ spiffeId, witSvid: wit.token, witSvidKey: wit.privateJwk, hint }]
  })
  return svids.length === 0 ? undefined : WORKLOAD_API.fetchWitSvid.response.encode({ svids })
}

// A bundle without certificates would be an empty field, which clients must refuse.
function x509Bundles(bundles: readonly TrustBundle[]): ReadonlyMap<string, Uint8Array> {
  const some = bundles.filter(({ x509Authorities }) => x509Authorities.length > 0)
  return new Map(some.map((bundle) => [trustDomainId(bundle.trustDomain), Buffer.concat(bundle.x509Authorities)]))
}

function jwtBundles(bundles: readonly TrustBundle[]): ReadonlyMap<string, Uint8Array> {
  return new Map(
    bundles.map(({ trustDomain, jwtAuthorities }) => [
      trustDomainId(trustDomain),
      Buffer.from(serializeJwks(jwtAuthorities)),
    ]),
  )
}

function witBundles(bundles: readonly TrustBundle[]): ReadonlyMap<string, string> {
  return new Map(
    bundles.map(({ trustDomain, witAuthorities }) => [trustDomainId(trustDomain), serializeJwks(witAuthorities)]),
  )
}
