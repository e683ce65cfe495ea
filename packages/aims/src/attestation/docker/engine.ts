import { request } from 'node:http'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'

/** What Docker says of a container. */
export interface EngineContainer {
  readonly isRunning: boolean
  /** Of its first process, in the PID namespace of the engine. */
  readonly pid: number
  /** Digest of the image's configuration, `sha256:...`: what was started, whatever its name means now. */
  readonly image: string
  /** The name it was started by. */
  readonly imageName: string
  readonly labels: ReadonlyMap<string, string>
  /** `NAME=value`. */
  readonly environment: readonly string[]
}

/** The part of the Engine API that attestation asks. */
export interface Engine {
  /** `undefined`: no such container. @throws {@link AimsError} `attestation.engine_unavailable` */
  container(id: string): Promise<EngineContainer | undefined>
  /** Digests `name@sha256:...` under which registries have the image with this configuration. */
  repositoryDigests(image: string): Promise<readonly string[]>
}

const MAX_ANSWER = 4 * 1024 * 1024
/** Milliseconds. */
const PATIENCE = 2000
const DIGEST = /^sha256:[0-9a-f]{64}$/

/**
 * Asks the Docker Engine on its Unix socket. Whoever may write to that socket, or answers on it, is trusted with everything
 * on the machine anyway.
 *
 * @see Docker Engine API v1.41, `/containers/{id}/json`, `/images/{name}/json`
 */
export function dockerEngine(socketPath: string): Engine {
  const asking = new Map<string, Promise<JsonObject | undefined>>()
  // Connections that are looked at together share the answer.
  const ask = (path: string): Promise<JsonObject | undefined> => {
    const known = asking.get(path)
    if (known !== undefined) return known
    const answer = get(socketPath, path).finally(() => asking.delete(path))
    asking.set(path, answer)
    return answer
  }
  return {
    async container(id) {
      if (!/^[0-9a-f]{64}$/.test(id)) throw new TypeError('a container id has 64 hex digits')
      const answer = await ask(`/containers/${id}/json`)
      return answer === undefined ? undefined : readContainer(answer, id)
    },
    async repositoryDigests(image) {
      if (!DIGEST.test(image)) throw new TypeError('an image is named by the digest of its configuration')
      const digests = (await ask(`/images/${image}/json`))?.RepoDigests
      return Array.isArray(digests) ? digests.filter((one) => typeof one === 'string') : []
    },
  }
}

function readContainer({ Id, State, Image, Config }: JsonObject, id: string): EngineContainer {
  if (Id !== id || !isJsonObject(State) || !isJsonObject(Config) || typeof Image !== 'string' || !DIGEST.test(Image)) {
    throw unavailable('the answer is not about the container')
  }
  const { Labels, Env, Image: imageName } = Config
  const labels = isJsonObject(Labels) ? Object.entries(Labels) : []
  return {
    isRunning: State.Running === true,
    pid: Number.isSafeInteger(State.Pid) ? Number(State.Pid) : 0,
    image: Image,
    imageName: typeof imageName === 'string' ? imageName : '',
    labels: new Map(labels.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    environment: Array.isArray(Env) ? Env.filter((one: JsonValue) => typeof one === 'string') : [],
  }
}

function get(socketPath: string, path: string): Promise<JsonObject | undefined> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(PATIENCE)
    const fail = (cause: unknown): void => reject(AimsError.is(cause) ? cause : unavailable('no answer', cause))
    const asked = request({ socketPath, path, host: 'localhost', headers: { accept: 'application/json' }, signal })
    asked.on('error', fail)
    asked.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('error', fail)
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_ANSWER) asked.destroy(unavailable('the answer is too large'))
        else chunks.push(chunk)
      })
      response.on('end', () => {
        try {
          if (response.statusCode === 404) resolve(undefined)
          else if (response.statusCode !== 200) fail(unavailable('the answer is an error'))
          else resolve(parseJsonObject(Buffer.concat(chunks), { maxLength: MAX_ANSWER, maxMembers: 100_000 }))
        } catch (cause) {
          reject(unavailable('the answer is not JSON', cause))
        }
      })
    })
    asked.end()
  })
}

function unavailable(what: string, cause?: unknown): AimsError {
  return new AimsError('attestation.engine_unavailable', `the container engine: ${what}`, { cause })
}
