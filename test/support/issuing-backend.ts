import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type JsonObject, verificationKey, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  createX509Authority,
  issueCaCertificate,
  issueJwtSvid,
  issueWit,
  issueX509Svid,
  type RevocationSource,
  type TrustBundle,
  verifyJwtSvid,
  type X509Authority,
} from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import type { ChangeScope, WorkloadBackend, WorkloadIdentity, WorkloadJwtSvid, WorkloadSnapshot } from 'aims-agent'

/** An identity for everybody who shows `selector`. */
export interface TestEntry {
  readonly spiffeId: string
  readonly selector?: string
  readonly hint?: string
  /** Default: all. */
  readonly kinds?: readonly ('x509' | 'wit' | 'jwt')[]
}

/** A whole trust domain in memory, which issues real credentials. The outside of the Workload API server in tests. */
export class IssuingBackend implements WorkloadBackend {
  readonly trustDomain: TrustDomain
  /** How often somebody asked for a snapshot. */
  snapshots = 0
  /** What the next calls fail with. */
  failure: Error | undefined
  ttl = 3600
  revocations: RevocationSource | undefined
  readonly #authority: X509Authority
  readonly #signer: WorkloadKey
  readonly #root: Uint8Array
  readonly #listeners = new Set<(scope: ChangeScope) => void>()
  #entries: readonly TestEntry[] = []
  #due = ''
  #federated: readonly TrustBundle[] = []
  #cache = new Map<string, Promise<WorkloadSnapshot>>()

  private constructor(trustDomain: TrustDomain, authority: X509Authority, root: Uint8Array) {
    this.trustDomain = trustDomain
    this.#authority = authority
    this.#root = root
    this.#signer = WorkloadKey.generate()
  }

  static async create(name = 'example.com'): Promise<IssuingBackend> {
    const trustDomain = parseTrustDomain(name)
    const signer = WorkloadKey.generate()
    const now = seconds()
    const root = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 86_400 })
    return new IssuingBackend(trustDomain, createX509Authority({ trustDomain, signer, certificate: root }), root)
  }

  get bundle(): TrustBundle {
    const kid = this.#signer.kid
    const key = verificationKey(this.#signer.publicKey, { kid })
    return {
      trustDomain: this.trustDomain,
      x509Authorities: [this.#root],
      jwtAuthorities: new Map([[kid, key]]),
      witAuthorities: new Map([[kid, key]]),
    }
  }

  /** Says who is who from now on, and tells the server. */
  set(entries: readonly TestEntry[], federated: readonly TrustBundle[] = []): void {
    this.#entries = entries
    this.#federated = federated
    this.rotate()
  }

  /** Issues everything anew. */
  rotate(): void {
    this.#cache = new Map()
    this.poke()
  }

  /** Issues everything anew, and says that this concerns only who has `spiffeId`. */
  renew(spiffeId: string): void {
    this.#cache = new Map()
    this.#due = spiffeId
    for (const listener of this.#listeners) listener('identities')
  }

  isCurrent({ identities }: WorkloadSnapshot): boolean {
    return identities.every(({ spiffeId }) => spiffeId !== this.#due)
  }

  /** Says that something may have changed, although nothing has. */
  poke(): void {
    for (const listener of this.#listeners) listener('everything')
  }

  get listeners(): number {
    return this.#listeners.size
  }

  async snapshot(attestation: AttestationResult): Promise<WorkloadSnapshot> {
    this.snapshots += 1
    if (this.failure !== undefined) throw this.failure
    const entries = this.#match(attestation)
    const key = entries.map(({ spiffeId }) => spiffeId).join()
    let snapshot = this.#cache.get(key)
    if (snapshot === undefined) {
      snapshot = this.#issue(entries)
      this.#cache.set(key, snapshot)
    }
    return await snapshot
  }

  onChange(listener: (scope: ChangeScope) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  async jwtSvids(
    attestation: AttestationResult,
    audiences: readonly string[],
    spiffeId?: SpiffeId,
  ): Promise<readonly WorkloadJwtSvid[]> {
    if (this.failure !== undefined) throw this.failure
    const entries = this.#match(attestation).filter((entry) => spiffeId === undefined || entry.spiffeId === spiffeId)
    if (entries.length === 0) throw new AimsError('provisioning.not_entitled', 'no such identity')
    return await Promise.all(
      entries.map(async (entry) => {
        const subject = parseWorkloadSpiffeId(entry.spiffeId)
        const request = { subject, audiences, now: seconds(), ttl: this.ttl }
        const { token } = await issueJwtSvid(request, this.#signer)
        return { spiffeId: subject, token, hint: entry.hint ?? '' }
      }),
    )
  }

  async validateJwtSvid(
    attestation: AttestationResult,
    audience: string,
    token: string,
  ): Promise<{ readonly spiffeId: SpiffeId; readonly claims: JsonObject }> {
    if (this.failure !== undefined) throw this.failure
    if (this.#match(attestation).length === 0) throw new AimsError('provisioning.not_entitled', 'no identity')
    const expectations = { bundles: bundleSource(this.bundle, ...this.#federated), now: seconds(), audience }
    const { subject, claims } = verifyJwtSvid(token, expectations)
    return { spiffeId: subject, claims }
  }

  #match({ selectors }: AttestationResult): readonly TestEntry[] {
    return this.#entries.filter(({ selector }) => selector === undefined || selectors.includes(selector))
  }

  async #issue(entries: readonly TestEntry[]): Promise<WorkloadSnapshot> {
    const identities = await Promise.all(entries.map((entry) => this.#identity(entry)))
    return { identities, bundles: [this.bundle, ...this.#federated] }
  }

  async #identity({ spiffeId: id, hint = '', kinds = ['x509', 'wit'] }: TestEntry): Promise<WorkloadIdentity> {
    const spiffeId = parseWorkloadSpiffeId(id)
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return {
      spiffeId,
      hint,
      ...(kinds.includes('x509') ? { x509: await this.#x509(spiffeId, privateKey, publicKey) } : {}),
      ...(kinds.includes('wit') ? { wit: await this.#wit(spiffeId, privateKey, publicKey) } : {}),
    }
  }

  async #x509(
    spiffeId: SpiffeId,
    privateKey: KeyObject,
    publicKey: KeyObject,
  ): Promise<NonNullable<WorkloadIdentity['x509']>> {
    const now = seconds()
    const request = { spiffeId, publicKey, notBefore: now - 60, notAfter: now + this.ttl, dnsNames: ['localhost'] }
    const { certificates } = await issueX509Svid(request, this.#authority)
    return { certificates, privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }) }
  }

  async #wit(
    subject: SpiffeId,
    privateKey: KeyObject,
    publicKey: KeyObject,
  ): Promise<NonNullable<WorkloadIdentity['wit']>> {
    const { token } = await issueWit({ subject, publicKey, now: seconds(), ttl: this.ttl }, this.#signer)
    return { token, privateJwk: JSON.stringify({ ...privateKey.export({ format: 'jwk' }), alg: 'ES256' }) }
  }
}

function seconds(): number {
  return Math.floor(Date.now() / 1000)
}
