import type { AimsErrorCode } from 'aims/base'
import type { GrpcStream } from 'aims/provisioning'
import {
  type AnyMessage,
  type DiscoveryRequest,
  frameMessage,
  GRPC_STATUS,
  SECRET_DISCOVERY,
  SECRET_TYPE,
} from 'aims/provisioning'
import type { Subscriber } from '../workload-api/broadcast.ts'
import type { WorkloadSnapshot } from '../workload-backend.ts'
import { requireSecrets, validatorOf } from './request-rules.ts'
import type { SecretCache, Validator } from './secret-cache.ts'

/**
 * The server's side of one `StreamSecrets`: every response is the full state of what was asked for last, and is sent
 * when that changes, either because the client asks for other names or because the workload has other secrets.
 *
 * @see xDS protocol, "State of the World"
 */
export class StateStream implements Subscriber {
  readonly stream: GrpcStream
  readonly #cache: SecretCache
  #names: ReadonlySet<string> = new Set()
  #validator: Validator
  #sent: ReadonlyMap<string, AnyMessage> | undefined
  #isAsking = false
  #nonce = 0
  /** The version that was sent last; empty before. */
  version = ''

  constructor(stream: GrpcStream, cache: SecretCache) {
    this.stream = stream
    this.#cache = cache
    this.#validator = cache.settings.validator
  }

  /** Takes what the client says. What answers an earlier response than the last one is passed over. @throws {@link GrpcError} */
  hear(request: DiscoveryRequest): void {
    requireSecrets(request)
    if (this.#nonce > 0 && request.responseNonce !== String(this.#nonce)) return
    const names = new Set(request.resourceNames)
    const validator = validatorOf(request) ?? this.#validator
    const isNew = validator !== this.#validator || !isSameSet(names, this.#names)
    this.#names = names
    this.#validator = validator
    if (this.#nonce === 0 || isNew) this.#isAsking = true
  }

  /** Whether the client waits for an answer. */
  get isAsking(): boolean {
    return this.#isAsking
  }

  show(snapshot: WorkloadSnapshot): AimsErrorCode | undefined {
    const selected = this.#cache.select(snapshot, this.#names, this.#validator)
    if (typeof selected === 'string') return selected
    const { version, secrets } = selected
    if (!this.#isAsking && this.#sent !== undefined && isSame(this.#sent, secrets)) return undefined
    this.#nonce += 1
    this.#isAsking = false
    this.#sent = secrets
    this.version = version
    const response = {
      versionInfo: version,
      resources: [...secrets.values()],
      typeUrl: SECRET_TYPE,
      nonce: String(this.#nonce),
    }
    this.stream.writeState(frameMessage(SECRET_DISCOVERY.streamSecrets.response.encode(response)))
    return undefined
  }

  refuse(code: AimsErrorCode): void {
    this.stream.end(GRPC_STATUS.permissionDenied, code)
  }
}

function isSame(one: ReadonlyMap<string, AnyMessage>, other: ReadonlyMap<string, AnyMessage>): boolean {
  const isKept = ([name, { value }]: readonly [string, AnyMessage]): boolean => {
    const there = other.get(name)
    return there !== undefined && Buffer.compare(value, there.value) === 0
  }
  return one.size === other.size && [...one].every(isKept)
}

function isSameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && one.values().every((name) => other.has(name))
}
