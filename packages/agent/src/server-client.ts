import type { AttestationResult } from 'aims/attestation'
import {
  AimsError,
  type ApiClient,
  exportPublicJwk,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  jwkThumbprint,
  type WorkloadKey,
} from 'aims/base'
import { parseBundle, type RevocableCredential, type TrustBundle } from 'aims/credentials'
import { parseTrustDomain, type SpiffeId, trustDomainOf } from 'aims/identifiers'
import {
  agentProofNonce,
  type FederatedBundles,
  parseEntry,
  type RegistrationEntry,
  readFederated,
  readStanding,
  signerOfChain,
  signerOfToken,
  signKeyProof,
} from 'aims/provisioning'
import { postureOf } from './posture.ts'
import { revocableChain, revocableToken } from './revocations/revocable.ts'

/** The trust domain as the server last described it. */
export interface TrustDomainState {
  readonly revision: number
  readonly bundle: TrustBundle
  /** Bundles of other trust domains. Which workload gets which, its entry says. */
  readonly federated: FederatedBundles
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
  /** What a revocation could name of it. */
  readonly revocable?: RevocableCredential
}

/** A token of the server, and the end of its life in seconds since the epoch. */
export interface GrantedToken {
  readonly token: string
  readonly expiresAt: number
  /** `kid` of the key that signed it. */
  readonly signer?: string
  readonly revocable?: RevocableCredential
}

/** The server as the agent uses it. Every answer is checked; a wrong one is `operation.invalid_response`. */
export interface ServerClient {
  /** The state of the trust domain, as soon as it is another one than `before`; `undefined` when it stayed for a while. */
  sync(before: TrustDomainState | undefined, signal: AbortSignal): Promise<TrustDomainState | undefined>
  issueX509(entry: RegistrationEntry, key: WorkloadKey, attestation: AttestationResult): Promise<GrantedChain>
  issueWit(entry: RegistrationEntry, key: WorkloadKey, attestation: AttestationResult): Promise<GrantedToken>
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

/** Who the agent is, when the server is on another host: then every key comes with a proof that it is held. */
export type AgentName = () => SpiffeId

/** Speaks to the server over its API. */
export function serverClient(api: ApiClient, agent?: AgentName): ServerClient {
  const keyed = async (
    entry: RegistrationEntry,
    key: WorkloadKey,
    attestation: AttestationResult,
    purpose: 'x509-svid' | 'wit',
  ): Promise<object> => {
    const body = { ...request(entry, attestation), publicKey: exportPublicJwk(key.publicKey) }
    if (agent === undefined) return body
    const nonce = agentProofNonce({ agent: agent(), purpose, entryId: entry.id })
    const subject = { nonce, trustDomain: trustDomainOf(entry.spiffeId), thumbprint: jwkThumbprint(key.publicKey) }
    return { ...body, keyProof: await signKeyProof(subject, key) }
  }
  const post = async (kind: string, body: object): Promise<JsonObject> =>
    object(await api.send({ method: 'POST', path: `/v1/agent/${kind}`, body }))
  return {
    async sync(before, signal) {
      const query = before === undefined ? '' : `?after=${before.revision}&changes=true`
      const path = `/v1/agent/entries${query}`
      const answer = await api.send({ method: 'GET', path, timeout: SYNC_TIMEOUT, signal })
      return answer === undefined ? undefined : readState(object(answer), before)
    },
    async issueX509(entry, key, attestation) {
      const answer = await post('x509-svids', await keyed(entry, key, attestation, 'x509-svid'))
      if (!Array.isArray(answer.chain)) throw invalid('chain')
      const certificates = answer.chain.map((one: JsonValue) => Buffer.from(text(one, 'chain'), 'base64'))
      return {
        certificates,
        expiresAt: time(answer.expiresAt),
        signer: checked('chain', () => signerOfChain(certificates)),
        revocable: checked('chain', () => revocableChain(entry.spiffeId, certificates, key)),
      }
    },
    async issueWit(entry, key, attestation) {
      const answer = await post('wits', await keyed(entry, key, attestation, 'wit'))
      return grantedToken(answer, (token) => revocableToken('wit', entry.spiffeId, token, key))
    },
    async issueJwt(entry, audiences, attestation) {
      const answer = await post('jwt-svids', { ...request(entry, attestation), audiences })
      return grantedToken(answer, (token) => revocableToken('jwt-svid', entry.spiffeId, token))
    },
  }
}

function grantedToken(
  { token, expiresAt }: JsonObject,
  revocable: (token: string) => RevocableCredential,
): GrantedToken {
  const signed = text(token, 'token')
  const about = checked('token', () => ({ signer: signerOfToken(signed), revocable: revocable(signed) }))
  return { token: signed, expiresAt: time(expiresAt), ...about }
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

function readState(answer: JsonObject, before: TrustDomainState | undefined): TrustDomainState {
  const { revision, entries, removed } = answer
  if (typeof revision !== 'number' || !Array.isArray(entries)) throw invalid('state')
  try {
    const trustDomain = parseTrustDomain(text(answer.trustDomain, 'trustDomain'))
    const told = entries.map((entry: JsonValue) => parseEntry(entry, { trustDomain, ttls: TTLS }))
    return {
      revision,
      bundle: parseBundle(text(answer.bundle, 'bundle'), trustDomain).bundle,
      federated: readFederated(answer.federated, trustDomain),
      entries: Array.isArray(removed) && before !== undefined ? merged(before.entries, told, removed) : told,
      ...(answer.standing === undefined ? {} : { standing: readStanding(answer.standing) }),
    }
  } catch (cause) {
    throw new AimsError('operation.invalid_response', 'the server sent a state that cannot be read', { cause })
  }
}

function merged(
  before: readonly RegistrationEntry[],
  changed: readonly RegistrationEntry[],
  removed: readonly JsonValue[],
): readonly RegistrationEntry[] {
  const gone = new Set<JsonValue>([...removed, ...changed.map(({ id }) => id)])
  return [...before.filter(({ id }) => !gone.has(id)), ...changed]
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
