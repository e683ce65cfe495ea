import type { ApiClient } from '../../base/api-client.ts'
import { type Clock, systemClock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonValue } from '../../base/json.ts'
import { exportPublicJwk, WorkloadKey } from '../../base/keys.ts'
import { holdWit, type Wit, type WitSource } from '../../credentials/wit/source.ts'
import { parseWorkloadSpiffeId, type SpiffeId, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { isChildOf } from '../../identifiers/sub-agent-id.ts'
import { MAX_BATCH } from './mint.ts'

/** What a sub-agent shall be. */
export interface SpawnOptions {
  /** Of its last path segment: letters, digits, dots, dashes, underscores. Default: one that is made up. */
  readonly name?: string
  /** Seconds. Default and at most what the entry of the agent allows; it ends with its parent's credential in any case. */
  readonly ttl?: number
  /** All it may do, e.g. `call spiffe://example.com/service/calendar#list_events`. Needed: there is no default to forget. */
  readonly rights: readonly string[]
}

/** Whoever can have sub-agents. */
export interface Spawner {
  /**
   * Makes a sub-agent with a key of its own, which never leaves this process. Calls of one turn of the event loop share a
   * request.
   *
   * @throws {@link AimsError} what the server refuses, e.g. `provisioning.sub_agents_not_allowed`, `.rights_exceeded`;
   *   `operation.*`, `provisioning.closed`
   */
  spawn(options: SpawnOptions): Promise<SubAgent>
}

/** A sub-agent: an identity as a workload has it, for one life. It is not renewed. */
export interface SubAgent extends Spawner {
  readonly spiffeId: SpiffeId
  readonly parent: WorkloadId
  readonly rights: readonly string[]
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** For `proofHeaders`, `aims/fetch` and all else that takes a source. @throws {@link AimsError} `provisioning.not_ready` after its end */
  readonly wit: WitSource
  /** Ends it before its time, and all its own sub-agents. Its key is forgotten in any case. @throws {@link AimsError} `operation.*` */
  revoke(): Promise<void>
}

/** Who spawns, and through whom. */
export interface SpawnerOptions {
  /** The agent itself. */
  readonly spiffeId: SpiffeId
  /** The identity server, over connections on which the agent shows its X.509-SVID: `identityServer` and its `present`. */
  readonly server: Pick<ApiClient, 'send'>
  /** Default: the machine's. */
  readonly clock?: Clock
}

interface Waiting {
  readonly order: object
  readonly key: WorkloadKey
  readonly resolve: (answer: JsonValue) => void
  readonly reject: (error: unknown) => void
}

/** Bytes of one request: below what the server reads. */
const MAX_REQUEST = 400_000

/** Makes an agent one that can have sub-agents. Does not check that the connection is the agent's own: the server does. */
export function createSpawner({ spiffeId, server, clock = systemClock }: SpawnerOptions): Spawner {
  return spawnerFor({ parent: spiffeId, token: undefined, server, clock })
}

interface Context {
  readonly parent: SpiffeId
  /** The WIT of the parent, when that is a sub-agent itself. */
  readonly token: string | undefined
  readonly server: Pick<ApiClient, 'send'>
  readonly clock: Clock
}

function spawnerFor(context: Context): Spawner {
  const { parent, token, server } = context
  let queue: Waiting[] = []

  const send = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      const body = { subAgents: batch.map(({ order }) => order), ...(token === undefined ? {} : { parent: token }) }
      const answer = await server.send({ method: 'POST', path: '/v1/sub-agents', body })
      const made = isJsonObject(answer) && Array.isArray(answer.subAgents) ? answer.subAgents : []
      if (made.length !== batch.length) throw invalid()
      for (const [index, { resolve }] of batch.entries()) resolve(made[index] ?? null)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
  const flush = (): void => {
    const waiting = queue
    queue = []
    for (const batch of inBatches(waiting)) void send(batch)
  }

  return {
    async spawn({ name, ttl, rights }) {
      const key = WorkloadKey.generate()
      const order = {
        publicKey: exportPublicJwk(key.publicKey),
        rights,
        ...(name === undefined ? {} : { name }),
        ...(ttl === undefined ? {} : { ttl }),
      }
      const answer = await new Promise<JsonValue>((resolve, reject) => {
        if (queue.length === 0) setImmediate(flush)
        queue.push({ order, key, resolve, reject })
      })
      return subAgentOf(readAnswer(answer, parent), key, rights, context)
    },
  }
}

function inBatches(waiting: readonly Waiting[]): readonly (readonly Waiting[])[] {
  const batches: Waiting[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const one of waiting) {
    const size = JSON.stringify(one.order).length + 1
    if (bytes + size > MAX_REQUEST || (batches.at(-1)?.length ?? 0) >= MAX_BATCH) {
      batches.push([])
      bytes = 0
    }
    batches.at(-1)?.push(one)
    bytes += size
  }
  return batches
}

interface Answer {
  readonly spiffeId: SpiffeId
  readonly token: string
  readonly expiresAt: number
}

function readAnswer(answer: JsonValue, parent: SpiffeId): Answer {
  const { spiffeId, token, expiresAt } = isJsonObject(answer) ? answer : {}
  if (typeof spiffeId !== 'string' || typeof token !== 'string' || typeof expiresAt !== 'number') throw invalid()
  const id = parseWorkloadSpiffeId(spiffeId)
  if (!isChildOf(id, parent)) throw invalid()
  return { spiffeId: id, token, expiresAt }
}

function subAgentOf(
  { spiffeId, token, expiresAt }: Answer,
  key: WorkloadKey,
  rights: readonly string[],
  context: Context,
): SubAgent {
  const { parent, server, clock } = context
  let held: Wit | undefined = holdWit({ subject: spiffeId, profile: 'wimse', expiresAt, hint: '', token, key })
  const below = spawnerFor({ ...context, parent: spiffeId, token })
  return {
    spiffeId,
    parent,
    rights: Object.freeze([...rights]),
    expiresAt,
    wit: {
      wit() {
        if (held !== undefined && clock() < expiresAt) return held
        throw new AimsError('provisioning.not_ready', 'the sub-agent has come to its end')
      },
    },
    async spawn(options) {
      if (held === undefined) throw new AimsError('provisioning.closed', 'the sub-agent was revoked')
      return await below.spawn(options)
    },
    async revoke() {
      held = undefined
      await server.send({ method: 'POST', path: '/v1/sub-agents/revocations', body: { spiffeId } })
    },
  }
}

function invalid(): AimsError {
  return new AimsError('operation.invalid_response', 'the server sent no usable sub-agents')
}
