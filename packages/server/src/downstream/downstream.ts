import { randomUUID } from 'node:crypto'
import {
  AimsError,
  type Clock,
  importVerificationKey,
  type JsonObject,
  jwkThumbprint,
  type Observer,
  type VerificationKey,
  verificationKey,
} from 'aims/base'
import { issueCaCertificate, serializeBundle, type TrustBundle } from 'aims/credentials'
import { joinSpiffeId, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import { downstreamProofNonce, type RegistrationEntry, verifyKeyProof } from 'aims/provisioning'
import type { Authorities } from '../keys/authority-types.ts'
import type { StoredKeyBindings } from '../store/key-bindings.ts'
import { type NeighbourStore, UPSTREAM } from '../store/neighbours.ts'
import { certified, published, turnedDown, withdrawn } from './events.ts'

/** A server below this one, as the handshake proved it. */
export interface DownstreamServer {
  readonly id: SpiffeId
  /** Of its X.509-SVID. */
  readonly serialNumber: string
}

/** A public key, and the proof of who has it. */
export interface ProvenKey {
  readonly publicKey: JsonObject
  readonly keyProof: string
}

/** What servers below this one may ask for. */
export interface Downstream {
  /** Seconds that the CA of such a server may live. @throws {@link AimsError} `provisioning.no_downstream` */
  longestLife(): number
  /**
   * Certifies the CA of such a server: path length 0, for this trust domain alone.
   *
   * @param order.notAfter - Seconds since the epoch. Cut to what is allowed, and to the end of the CA above.
   * @returns DER: the new CA, then those above it without the root
   * @throws {@link AimsError} `provisioning.no_downstream`, `provisioning.key_proof_invalid`, `credential.key_reuse`, `operation.busy`, `key.*`
   */
  certify(
    server: DownstreamServer,
    order: ProvenKey & { readonly notAfter: number },
    correlationId: string,
  ): Promise<readonly Uint8Array[]>
  /**
   * Takes the keys with which it signs tokens into the bundle, in place of those that it published before.
   *
   * @throws {@link AimsError} `provisioning.no_downstream`, `provisioning.key_proof_invalid`, `credential.key_reuse`, `key.*`
   */
  publish(
    server: DownstreamServer,
    keys: readonly (ProvenKey & { readonly purpose: 'jwt' | 'wit' })[],
    correlationId: string,
  ): Promise<void>
  /** Takes the keys of those out of the bundle that are no longer such servers. */
  prune(): Promise<void>
}

/** What it works with. */
export interface DownstreamOptions {
  readonly trustDomain: TrustDomain
  readonly authorities: Authorities
  readonly neighbours: NeighbourStore
  readonly bindings: StoredKeyBindings
  /** Seconds. Absent: there are no servers below this one. */
  readonly ttl: number | undefined
  readonly clock: Clock
  readonly observer: Observer
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
}

/** CAs that one server may have certified within an hour. A rotation takes one. */
const MAX_PER_HOUR = 60
const HOUR = 3600
// Certificates begin a little in the past, for clocks that are behind.
const SKEW = 60

/** Makes it. */
export function createDownstream(options: DownstreamOptions): Downstream {
  const { trustDomain, authorities, neighbours, bindings, ttl, clock, observer } = options

  const lately = new Map<string, readonly number[]>()
  const requireRate = (id: string, now: number): void => {
    const within = (lately.get(id) ?? []).filter((at) => at > now - HOUR)
    if (within.length >= MAX_PER_HOUR) throw new AimsError('operation.busy', 'too many CAs within an hour')
    lately.set(id, [...within, now])
  }
  const longestLife = (): number => {
    const { pathLength } = authorities.x509().certificate.extensions.basicConstraints ?? {}
    if (ttl !== undefined && pathLength !== 0) return ttl
    throw new AimsError('provisioning.no_downstream', 'the CA of this server certifies no others')
  }
  const prove = (
    { id: server, serialNumber }: DownstreamServer,
    purpose: 'x509-ca' | 'jwt' | 'wit',
    { publicKey, keyProof }: ProvenKey,
  ): VerificationKey & { readonly thumbprint: string } => {
    const key = importVerificationKey(publicKey)
    const thumbprint = jwkThumbprint(key.key)
    const nonce = downstreamProofNonce({ server, serialNumber, purpose })
    verifyKeyProof(keyProof, { nonce, trustDomain, thumbprint }, key)
    const isOurs = authorities.list().some((own) => own.thumbprint === thumbprint)
    if (isOurs || isPublishedByOthers(thumbprint, server)) throw reused()
    return { ...key, thumbprint }
  }
  const isPublishedByOthers = (thumbprint: string, server: SpiffeId): boolean =>
    neighbours.list().some(({ id, bundle }) => {
      const isThere = bundle.jwtAuthorities.has(thumbprint) || bundle.witAuthorities.has(thumbprint)
      return id !== server && id !== UPSTREAM && isThere
    })
  // Refusals are recorded before they are told.
  const recorded = async <T>(
    server: DownstreamServer,
    action: 'certify' | 'publish',
    correlationId: string,
    work: () => Promise<T>,
  ): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (AimsError.is(error)) await observer.record(turnedDown(server, action, error, correlationId))
      throw error
    }
  }

  return {
    longestLife,
    certify: (server, order, correlationId) =>
      recorded(server, 'certify', correlationId, async () => {
        const now = Math.floor(clock())
        const longest = now + longestLife()
        const { key, thumbprint } = prove(server, 'x509-ca', order)
        const issuer = authorities.x509()
        const expiresAt = Math.min(order.notAfter, longest, issuer.expiresAt)
        if (expiresAt <= now) throw new AimsError('operation.request_malformed', 'notAfter has passed')
        requireRate(server.id, now)
        // One CA, one key: what was certified before, for whatever, is not certified as a CA.
        const isFree = bindings.bindNow({
          thumbprint,
          subject: joinSpiffeId(trustDomain, 'aims', 'ca', randomUUID()),
          expiresAt,
          now,
        })
        if (!isFree) throw reused()
        await observer.record(certified(server, { thumbprint, expiresAt }, correlationId))
        const times = { notBefore: now - SKEW, notAfter: expiresAt }
        const request = { trustDomain, issuer, subjectKey: key, pathLength: 0, isConfined: true, ...times }
        return [await issueCaCertificate(request), ...issuer.chain]
      }),
    publish: (server, keys, correlationId) =>
      recorded(server, 'publish', correlationId, async () => {
        if (ttl === undefined) throw new AimsError('provisioning.no_downstream', 'there are no servers below this one')
        const proven = keys.map((one) => ({ purpose: one.purpose, ...prove(server, one.purpose, one) }))
        if (new Set(proven.map(({ thumbprint }) => thumbprint)).size < proven.length) throw reused()
        const of = (purpose: 'jwt' | 'wit') =>
          new Map(
            proven
              .filter((one) => one.purpose === purpose)
              .map(({ key, alg, thumbprint: kid }) => [kid, verificationKey(key, { alg, kid })]),
          )
        const [jwtAuthorities, witAuthorities] = [of('jwt'), of('wit')]
        const bundle: TrustBundle = { trustDomain, x509Authorities: [], jwtAuthorities, witAuthorities }
        const document = serializeBundle(bundle, { includeWit: true })
        if (neighbours.find(server.id)?.document === document) return
        const counts = { jwt: jwtAuthorities.size, wit: witAuthorities.size }
        await authorities.exchange(
          (store) => store.put(server.id, document, clock()),
          published(server, counts, correlationId),
        )
      }),
    async prune() {
      for (const { id } of neighbours.list()) {
        const isStill = ttl !== undefined && options.findBySubject(id as SpiffeId)?.downstream === true
        if (id === UPSTREAM || isStill) continue
        await authorities.exchange((store) => store.remove(id), withdrawn(id, randomUUID()))
      }
    },
  }
}

function reused(): AimsError {
  return new AimsError('credential.key_reuse', 'the key is used for something else: make a new one')
}
