import type { KeyObject } from 'node:crypto'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type ApiClient, exportPublicJwk, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import { parseBundle, type TrustBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { parseEntry, type RegistrationEntry } from 'aims/provisioning'
import { postureOf } from './posture.ts'
import { signerOfChain, signerOfToken } from './signers.ts'

/** The trust domain as the server last described it. */
export interface TrustDomainState {
  readonly revision: number
  readonly bundle: TrustBundle
  readonly entries: readonly RegistrationEntry[]
  /** Names of the authorities whose signatures stand; what others signed is replaced at once. Absent: all stand. */
  readonly standing?: ReadonlySet<string>
}

/** A credential of the server, and the end of its life in seconds since the epoch. */
export interface GrantedChain {
  readonly certificates: readonly Uint8Array[]
  readonly expiresAt: number
  /** Key identifier of the CA that signed it, hex. */
  readonly signer?: string
}

/** A token of the server, and the end of its life in seconds since the epoch. */
export interface GrantedToken {
  readonly token: string
  readonly expiresAt: number
  /** `kid` of the key that signed it. */
  readonly signer?: string
}

/** The server as the agent uses it. Every answer is checked; a wrong one is `operation.invalid_response`. */
export interface ServerClient {
  /** The state of the trust domain, as soon as it is another one than `after`; `undefined` when it stayed for a while. */
  sync(after: number | undefined, signal: AbortSignal): Promise<TrustDomainState | undefined>
  issueX509(entry: RegistrationEntry, key: KeyObject, attestation: AttestationResult): Promise<GrantedChain>
  issueWit(entry: RegistrationEntry, key: KeyObject, attestation: AttestationResult): Promise<GrantedToken>
  issueJwt(
    entry: RegistrationEntry,
    audiences: readonly string[],
    attestation: AttestationResult,
  ): Promise<GrantedToken>
}

// The server holds the request for 25 s.
const SYNC_TIMEOUT = 40_000
// Entries were within the caps of the server.
const ANY = { default: 1, max: Number.MAX_SAFE_INTEGER }
const TTLS = { x509: ANY, jwt: ANY, wit: ANY }

/** Speaks to the server over its API. */
export function serverClient(api: ApiClient): ServerClient {
  const post = async (kind: string, body: object): Promise<JsonObject> =>
    object(await api.send({ method: 'POST', path: `/v1/agent/${kind}`, body }))
  return {
    async sync(after, signal) {
      const path = after === undefined ? '/v1/agent/entries' : `/v1/agent/entries?after=${after}`
      const answer = await api.send({ method: 'GET', path, timeout: SYNC_TIMEOUT, signal })
      return answer === undefined ? undefined : readState(object(answer))
    },
    async issueX509(entry, key, attestation) {
      const answer = await post('x509-svids', { ...request(entry, attestation), publicKey: exportPublicJwk(key) })
      if (!Array.isArray(answer.chain)) throw invalid('chain')
      const certificates = answer.chain.map((one: JsonValue) => Buffer.from(text(one, 'chain'), 'base64'))
      return {
        certificates,
        expiresAt: time(answer.expiresAt),
        signer: checked('chain', () => signerOfChain(certificates)),
      }
    },
    async issueWit(entry, key, attestation) {
      const answer = await post('wits', { ...request(entry, attestation), publicKey: exportPublicJwk(key) })
      return grantedToken(answer)
    },
    async issueJwt(entry, audiences, attestation) {
      const answer = await post('jwt-svids', { ...request(entry, attestation), audiences })
      return grantedToken(answer)
    },
  }
}

function grantedToken({ token, expiresAt }: JsonObject): GrantedToken {
  const signed = text(token, 'token')
  return { token: signed, expiresAt: time(expiresAt), signer: checked('token', () => signerOfToken(signed)) }
}

function checked<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch {
    throw invalid(name)
  }
}

function request({ id, selectors }: RegistrationEntry, attestation: AttestationResult): object {
  return { entryId: id, posture: postureOf(attestation, selectors) }
}

function readState(answer: JsonObject): TrustDomainState {
  const { revision, entries } = answer
  if (typeof revision !== 'number' || !Array.isArray(entries)) throw invalid('state')
  try {
    const trustDomain = parseTrustDomain(text(answer.trustDomain, 'trustDomain'))
    return {
      revision,
      bundle: parseBundle(text(answer.bundle, 'bundle'), trustDomain).bundle,
      entries: entries.map((entry: JsonValue) => parseEntry(entry, { trustDomain, ttls: TTLS })),
      ...(answer.standing === undefined ? {} : { standing: readStanding(answer.standing) }),
    }
  } catch (cause) {
    throw new AimsError('operation.invalid_response', 'the server sent a state that cannot be read', { cause })
  }
}

// By purpose. Names do not meet across purposes: key identifiers are hex of 20 bytes, kids are thumbprints.
function readStanding(value: JsonValue): ReadonlySet<string> {
  const lists = Object.values(object(value))
  return new Set(
    lists.flatMap((list) => (Array.isArray(list) ? list.map((one: JsonValue) => text(one, 'standing')) : [])),
  )
}

function object(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw invalid('object')
  return value
}

function text(value: JsonValue | undefined, name: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(name)
  return value
}

function time(value: JsonValue | undefined): number {
  if (typeof value !== 'number') throw invalid('expiresAt')
  return value
}

function invalid(name: string): AimsError {
  return new AimsError('operation.invalid_response', `the server sent no usable ${name}`)
}
