import { AimsError } from '../../base/errors.ts'
import type { JwtSvid } from '../../credentials/jwt-svid/source.ts'
import type { Profile } from '../../credentials/profile.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'
import { firstAnswer } from '../grpc/first-answer.ts'
import { GrpcConnection } from '../grpc/grpc-connection.ts'
import { REVOCATIONS_SERVICE, type SeenRevocations } from '../revocations/relay.ts'
import { resolveEndpoint } from './endpoint.ts'
import type { WitSvidResponse } from './messages.ts'
import {
  readJwtBundles,
  readJwtSvids,
  readValidation,
  readWitBundles,
  readWits,
  readX509Bundles,
  readX509Context,
  type TokenBundles,
  type ValidatedJwtSvid,
  type X509Bundles,
  type X509Context,
} from './responses.ts'
import { type Procedure, WORKLOAD_API } from './service.ts'
import { workloadApiTarget } from './target.ts'
import { Unchanged } from './unchanged.ts'

/** How to reach a Workload API. */
export interface WorkloadApiClientOptions {
  /** `unix:///run/aims/agent.sock` or `tcp://IP:PORT`. Default: the environment variable `SPIFFE_ENDPOINT_SOCKET`. */
  readonly address?: string
  /** Milliseconds until a call that gives one answer is given up. Default 30,000. */
  readonly timeout?: number
  /** Bytes of one response. Default 4 MiB. */
  readonly maxMessageSize?: number
  /** The profile of the WITs. Default: as their shape says; `wimse-wpt-01` looks like `wimse` and must be named. */
  readonly witProfile?: Profile
}

/** Follows a stream of states. Each state is complete: what it does not have is gone. */
export interface Watcher<T> {
  /** Ends the watch. */
  readonly signal?: AbortSignal
  onUpdate(state: T): void
  /** A response broke the rules and was dropped: the state before it still counts. */
  onInvalid?(error: AimsError): void
}

/** For whom a JWT-SVID is asked. */
export interface JwtSvidQuery {
  readonly audience: string
  /** One identity of the workload. Default: all of them. */
  readonly spiffeId?: SpiffeId
  readonly signal?: AbortSignal
}

/** Milliseconds. An agent holds the question for a list for 15 s. */
const LIST_TIMEOUT = 30_000

/**
 * Calls a SPIFFE Workload API, ours or another's. Every method runs one call; nothing is cached, renewed or tried
 * again: the sources do that.
 *
 * A response that breaks the rules is refused whole: a key that does not belong to its leaf, an identifier that is not
 * the one in the credential, a mandatory field that is absent. The credentials themselves are not verified: they come
 * from the own agent.
 *
 * All methods throw {@link AimsError} `provisioning.endpoint_unavailable` (try again later), `.no_identity` (try again
 * later), `.unimplemented`, `.endpoint_refused` (do not try again), `.malformed_message`, `.message_too_large`,
 * `.closed`.
 *
 * @see SPIFFE Workload API; SPIFFE Workload Endpoint
 */
export class WorkloadApiClient {
  readonly #connection: GrpcConnection
  readonly #timeout: number
  readonly #witProfile: Profile | undefined

  /** Does not connect yet. @throws {@link AimsError} `provisioning.no_endpoint`, `provisioning.invalid_endpoint` */
  constructor(options: WorkloadApiClientOptions = {}) {
    const { address, timeout = 30_000, maxMessageSize = 4 * 1024 * 1024, witProfile } = options
    this.#connection = new GrpcConnection(workloadApiTarget(resolveEndpoint(address, process.env)), maxMessageSize)
    this.#timeout = timeout
    this.#witProfile = witProfile
  }

  /** Follows the X.509-SVIDs of this workload. Resolves when it was aborted, or when the server ends the stream. */
  async watchX509Svids(watcher: Watcher<X509Context>): Promise<void> {
    const last = new Unchanged<X509Svid>()
    await this.#watch(WORKLOAD_API.fetchX509Svid, {}, (r) => readX509Context(r, last), watcher)
  }

  /** Follows the X.509 bundles of all trust domains this workload needs. */
  async watchX509Bundles(watcher: Watcher<X509Bundles>): Promise<void> {
    await this.#watch(WORKLOAD_API.fetchX509Bundles, {}, readX509Bundles, watcher)
  }

  /** Follows the JWT bundles of all trust domains this workload needs. */
  async watchJwtBundles(watcher: Watcher<TokenBundles>): Promise<void> {
    await this.#watch(WORKLOAD_API.fetchJwtBundles, {}, readJwtBundles, watcher)
  }

  /** Follows the WITs of this workload. */
  async watchWits(watcher: Watcher<readonly Wit[]>): Promise<void> {
    const last = new Unchanged<Wit>()
    const read = (r: WitSvidResponse): readonly Wit[] => readWits(r, this.#witProfile, last)
    await this.#watch(WORKLOAD_API.fetchWitSvid, { spiffeId: '' }, read, watcher)
  }

  /** Follows the WIT bundles of all trust domains this workload needs. */
  async watchWitBundles(watcher: Watcher<TokenBundles>): Promise<void> {
    await this.#watch(WORKLOAD_API.fetchWitBundles, {}, readWitBundles, watcher)
  }

  /** The X.509-SVIDs of this workload as they are now. @throws {@link AimsError} also `provisioning.timeout`, `.invalid_response` */
  async fetchX509Svids(signal?: AbortSignal): Promise<X509Context> {
    return await this.#first(WORKLOAD_API.fetchX509Svid, {}, readX509Context, signal)
  }

  /** The X.509 bundles as they are now. */
  async fetchX509Bundles(signal?: AbortSignal): Promise<X509Bundles> {
    return await this.#first(WORKLOAD_API.fetchX509Bundles, {}, readX509Bundles, signal)
  }

  /** The JWT bundles as they are now. */
  async fetchJwtBundles(signal?: AbortSignal): Promise<TokenBundles> {
    return await this.#first(WORKLOAD_API.fetchJwtBundles, {}, readJwtBundles, signal)
  }

  /** The WITs of this workload as they are now. */
  async fetchWits(signal?: AbortSignal): Promise<readonly Wit[]> {
    return await this.#first(WORKLOAD_API.fetchWitSvid, { spiffeId: '' }, (r) => readWits(r, this.#witProfile), signal)
  }

  /** The WIT bundles as they are now. */
  async fetchWitBundles(signal?: AbortSignal): Promise<TokenBundles> {
    return await this.#first(WORKLOAD_API.fetchWitBundles, {}, readWitBundles, signal)
  }

  /** Asks for fresh JWT-SVIDs, the default identity's first. @throws TypeError for an empty audience */
  async fetchJwtSvids({ audience, spiffeId = '' as SpiffeId, signal }: JwtSvidQuery): Promise<readonly JwtSvid[]> {
    if (audience === '') throw new TypeError('the audience must name somebody')
    const request = { audience: [audience], spiffeId }
    return await this.#first(WORKLOAD_API.fetchJwtSvid, request, (r) => readJwtSvids(r, audience), signal)
  }

  /**
   * Lets the Workload API validate a JWT-SVID. `verifyJwtSvid` does the same here, faster, with a bundle source.
   *
   * @throws {@link AimsError} `provisioning.endpoint_refused` when the token is not valid
   */
  async validateJwtSvid(audience: string, token: string, signal?: AbortSignal): Promise<ValidatedJwtSvid> {
    return await this.#first(WORKLOAD_API.validateJwtSvid, { audience, svid: token }, readValidation, signal)
  }

  /**
   * The signed revocation list that an AIMS agent relays, as soon as it is another than `seen`: for `followRevocations`.
   *
   * @throws {@link AimsError} `provisioning.unimplemented`: no agent of ours; `.endpoint_unavailable`: it has none yet
   */
  async fetchRevocationList(seen: SeenRevocations, signal?: AbortSignal): Promise<string> {
    const timeout = Math.max(this.#timeout, LIST_TIMEOUT)
    return await this.#first(REVOCATIONS_SERVICE.fetchList, seen, ({ list }) => list, signal, timeout)
  }

  /** Ends all calls and the connection. */
  close(): void {
    this.#connection.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #watch<Request, Response, T>(
    { path, request, response }: Procedure<Request, Response>,
    message: Request,
    read: (response: Response) => T,
    { signal, onUpdate, onInvalid }: Watcher<T>,
  ): Promise<void> {
    await this.#connection.run({
      path,
      request: request.encode(message),
      ...(signal === undefined ? {} : { signal }),
      onMessage(bytes) {
        const decoded = response.decode(bytes)
        let state: T
        try {
          state = read(decoded)
        } catch (error) {
          if (!AimsError.is(error)) throw error
          onInvalid?.(error)
          return
        }
        onUpdate(state)
      },
    })
  }

  async #first<Request, Response, T>(
    procedure: Procedure<Request, Response>,
    message: Request,
    read: (response: Response) => T,
    signal?: AbortSignal,
    timeout: number = this.#timeout,
  ): Promise<T> {
    return await firstAnswer(this.#connection, procedure, message, read, { timeout, signal })
  }
}
