import { setTimeout as delay } from 'node:timers/promises'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { WorkloadKey } from '../../base/keys.ts'
import type { JwtSvid } from '../../credentials/jwt-svid/source.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { signerOfChain, signerOfToken } from '../trust/signers.ts'
import type { JwtSvidQuery, Watcher } from '../workload-api/client.ts'
import type { TokenBundles, X509Bundles, X509Context } from '../workload-api/responses.ts'
import type { WorkloadStreams } from '../workload-api/sources/streams.ts'
import { notReady, type SourceSettings } from '../workload-api/sources/subscription.ts'
import { Channel, closed } from './channel.ts'
import { attestOnce, type EvidenceExchangeOptions, type EvidenceGrant } from './exchange.ts'
import type { IdentityServer } from './server.ts'
import { askTrust, type TrustNews } from './trust.ts'

// The server was not there, or not able to answer: the same evidence may do in a moment.
const PASSING: ReadonlySet<AimsErrorCode> = new Set([
  'operation.server_unreachable',
  'operation.server_timeout',
  'operation.busy',
  'operation.rate_limited',
  'operation.internal',
  'attestation.challenge_unknown',
  'audit.unavailable',
])

/** Milliseconds. */
const MAX_DELAY = 2 ** 31 - 1
const MIN_PAUSE = 500
/** Renewals that the server asks for are spread over this much. */
const SPREAD = 1000
/** Seconds to the next renewal when no credential says. */
const NO_END = 3600

/**
 * Credentials for evidence as a Workload API would push them. Renewed at half of the life of the one that ends first, give or
 * take a tenth, each time for a new key that the old one vouches for. A failed renewal is tried again with growing pauses
 * and leaves what is there, until it expires; the answer that no entry fits takes it away at once.
 *
 * Between renewals it follows whom to believe, by long polls: bundles, those of other trust domains included, are
 * here as soon as the server has them, and what a tainted authority signed, or another entry gave, is replaced at once.
 */
export class EvidenceStreams implements WorkloadStreams {
  readonly #server: IdentityServer
  readonly #options: EvidenceExchangeOptions
  readonly #settings: SourceSettings
  readonly #abort = new AbortController()
  readonly #x509 = new Channel<X509Context>()
  readonly #wits = new Channel<readonly Wit[]>()
  readonly #x509Bundles = new Channel<X509Bundles>()
  readonly #jwtBundles = new Channel<TokenBundles>()
  readonly #witBundles = new Channel<TokenBundles>()
  #grant: EvidenceGrant | undefined
  // The key that was certified last. Only with it a bearer document is renewed.
  #key: WorkloadKey | undefined
  // A key whose certification was not heard of: perhaps the server knows it as the last one already.
  #pending: WorkloadKey | undefined
  #trust: TrustNews | undefined
  // The server has said something by which what is held is to be replaced.
  #isOverdue = false
  #wake = new AbortController()
  #renewing: Promise<void> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(server: IdentityServer, options: EvidenceExchangeOptions, settings: SourceSettings) {
    this.#server = server
    this.#options = options
    this.#settings = settings
  }

  /**
   * Attests for the first time, and from then on by itself. A server that is away is tried again for `timeout` ms; what
   * it refuses is thrown at once.
   *
   * @param onWaiting - Told once that the server is away.
   * @throws {@link AimsError} as `attestOnce`
   */
  async start(timeout: number, onWaiting: (reason: AimsError) => void): Promise<void> {
    const end = performance.now() + timeout
    for (let failures = 1; ; failures += 1) {
      try {
        await this.renew()
        break
      } catch (error) {
        const pause = this.#backoff(failures)
        const isPassing = AimsError.is(error) && PASSING.has(error.code)
        if (!isPassing || this.#abort.signal.aborted || performance.now() + pause > end) throw error
        if (failures === 1) onWaiting(error)
        await this.#sleep(pause)
      }
    }
    void this.#keepFresh()
    void this.#followTrust()
  }

  /** Attests now, for a new key. Callers that come at the same time share one attestation. */
  renew(): Promise<void> {
    this.#renewing ??= this.#inTurn(() => this.#renewNow()).finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async watchX509Svids(watcher: Watcher<X509Context>): Promise<void> {
    await this.#watch(this.#x509, watcher)
  }

  async watchWits(watcher: Watcher<readonly Wit[]>): Promise<void> {
    await this.#watch(this.#wits, watcher)
  }

  async watchX509Bundles(watcher: Watcher<X509Bundles>): Promise<void> {
    await this.#watch(this.#x509Bundles, watcher)
  }

  async watchJwtBundles(watcher: Watcher<TokenBundles>): Promise<void> {
    await this.#watch(this.#jwtBundles, watcher)
  }

  async watchWitBundles(watcher: Watcher<TokenBundles>): Promise<void> {
    await this.#watch(this.#witBundles, watcher)
  }

  /** Attests with the key that is there, for a JWT-SVID. */
  async fetchJwtSvids({ audience, spiffeId }: JwtSvidQuery): Promise<readonly JwtSvid[]> {
    if (audience === '') throw new TypeError('the audience must name somebody')
    return await this.#inTurn(async () => {
      const { signal } = this.#abort
      const key = this.#key
      if (key === undefined || this.#grant === undefined) throw notReady(undefined)
      if (spiffeId !== undefined && spiffeId !== this.#grant.spiffeId) {
        throw new AimsError('provisioning.no_identity', 'the identity that was attested is another one')
      }
      const request = { key, credentialTypes: ['jwt-svid'], audience, signal } as const
      const { jwt } = await attestOnce(this.#server, this.#options, request)
      if (jwt === undefined) throw new AimsError('provisioning.not_entitled', 'the entry permits no JWT-SVID')
      return [jwt]
    })
  }

  close(): void {
    this.#abort.abort()
    this.#server.close()
    this.#grant = undefined
    this.#key = undefined
    this.#pending = undefined
    for (const channel of this.#channels()) channel.redact(closed())
  }

  async #renewNow(): Promise<void> {
    const { signal } = this.#abort
    this.#pending ??= WorkloadKey.generate()
    const key = this.#pending
    const previous = this.#key === undefined ? {} : { previous: this.#key }
    try {
      const request = { key, ...previous, credentialTypes: ['x509-svid', 'wit'], signal } as const
      const grant = await attestOnce(this.#server, this.#options, request)
      if (signal.aborted) throw closed()
      this.#pending = undefined
      this.#key = key
      this.#grant = grant
      this.#isOverdue = false
      this.#takeTrust(grant.trust)
      this.#x509.publish({ svids: grant.x509 === undefined ? [] : [grant.x509], bundles: this.#x509BundleMap() })
      this.#wits.publish(grant.wit === undefined ? [] : [grant.wit])
    } catch (error) {
      if (signal.aborted) throw closed()
      const known = AimsError.is(error)
        ? error
        : new AimsError('attestation.collection_failed', 'a collector failed', { cause: error })
      this.#tell(known)
      throw known
    }
  }

  #tell(error: AimsError): void {
    const isRedaction = error.code === 'provisioning.no_identity'
    if (isRedaction) this.#grant = undefined
    for (const channel of [this.#x509, this.#wits]) {
      if (isRedaction) channel.redact(error)
      else channel.fail(error)
    }
  }

  async #keepFresh(): Promise<void> {
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      this.#wake = new AbortController()
      await this.#sleep(failures === 0 ? this.#untilRenewal() : this.#backoff(failures), this.#wake.signal)
      // All who share the authority are told at the same moment.
      if (this.#wake.signal.aborted) await this.#sleep(SPREAD * this.#settings.random())
      if (signal.aborted) return
      failures = await this.renew().then(
        () => 0,
        () => failures + 1,
      )
    }
  }

  async #followTrust(): Promise<void> {
    const { signal } = this.#abort
    let failures = 0
    while (!signal.aborted) {
      const asked = performance.now()
      const isOk = await this.refreshTrust(this.#trust?.revision).then(
        () => true,
        () => false,
      )
      failures = isOk ? 0 : failures + 1
      // A server with too many who wait answers at once.
      if (!isOk) await this.#sleep(this.#backoff(failures + 1))
      else if (performance.now() - asked < MIN_PAUSE) await this.#sleep(MIN_PAUSE)
    }
  }

  /** Asks whom to believe; with `after` when that is another state. */
  async refreshTrust(after?: string): Promise<void> {
    const { signal } = this.#abort
    const svid = this.#grant?.x509
    const as = svid !== undefined && svid.expiresAt > this.#settings.clock() ? svid : undefined
    try {
      this.#takeTrust(await askTrust(this.#server, { as, after, signal }))
    } catch (error) {
      // Revoked, or of an authority that is gone.
      if (AimsError.is(error) && error.code === 'operation.unauthenticated') this.#hurry()
      throw error
    }
  }

  #takeTrust(news: TrustNews): void {
    const before = this.#trust
    if (this.#abort.signal.aborted || news.revision === before?.revision) return
    // Who asked without a name has heard nothing of other trust domains.
    this.#trust = news.federated === undefined ? { ...news, federated: before?.federated } : news
    const { bundle, federated = new Map() } = this.#trust
    const bundles = [bundle, ...federated.values()]
    this.#x509Bundles.publish(this.#x509BundleMap())
    this.#jwtBundles.publish(new Map(bundles.map((one) => [one.trustDomain, one.jwtAuthorities])))
    this.#witBundles.publish(new Map(bundles.map((one) => [one.trustDomain, one.witAuthorities])))
    if (!this.#stands(news)) this.#hurry()
  }

  // Whether what is held is what the server would give now.
  #stands({ standing, entryRevision }: TrustNews): boolean {
    const { x509, wit, trust } = this.#grant ?? {}
    if (trust === undefined) return true
    const signers = [x509 && signerOfChain(x509.certificates), wit && signerOfToken(wit.token)]
    const isSound = signers.every((signer) => signer === undefined || standing.has(signer))
    return isSound && (entryRevision === undefined || entryRevision === trust.entryRevision)
  }

  #hurry(): void {
    this.#isOverdue = true
    this.#wake.abort()
  }

  #x509BundleMap(): X509Bundles {
    if (this.#trust === undefined) return new Map()
    const { bundle, federated = new Map() } = this.#trust
    return new Map([bundle, ...federated.values()].map((one) => [one.trustDomain, one.x509Authorities]))
  }

  async #watch<T>(channel: Channel<T>, watcher: Watcher<T>): Promise<void> {
    if (this.#abort.signal.aborted) throw closed()
    await channel.watch(watcher)
  }

  #channels(): readonly Channel<never>[] {
    return [this.#x509, this.#wits, this.#x509Bundles, this.#jwtBundles, this.#witBundles] as never
  }

  // Two attestations at once would each vouch with the same key, and one of them too late.
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work, work)
    this.#last = next.catch(() => undefined)
    return next
  }

  #untilRenewal(): number {
    if (this.#isOverdue) return MIN_PAUSE + SPREAD * this.#settings.random()
    const now = this.#settings.clock()
    const ends = [this.#grant?.x509?.expiresAt, this.#grant?.wit?.expiresAt].filter((end) => end !== undefined)
    const left = (ends.length === 0 ? now + NO_END : Math.min(...ends)) - now
    // Credentials that came expired are a clock that is wrong: no reason to ask all the time.
    return Math.max(MIN_PAUSE, left * (0.5 + (this.#settings.random() - 0.5) * 0.2) * 1000)
  }

  #backoff(failures: number): number {
    const { backoff, maxBackoff, random } = this.#settings
    return Math.min(backoff * (failures - 1), maxBackoff) + backoff * (0.05 + 0.2 * random())
  }

  async #sleep(milliseconds: number, wake?: AbortSignal): Promise<void> {
    const { signal } = this.#abort
    const end = wake === undefined ? signal : AbortSignal.any([signal, wake])
    await delay(Math.min(milliseconds, MAX_DELAY), undefined, { signal: end }).catch(() => undefined)
  }
}
