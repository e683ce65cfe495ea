import type { AttestationType } from '../../attestation/attestor.ts'
import { bindingAudience, type Challenge } from '../../attestation/binding.ts'
import type { EvidenceCollector } from '../../attestation/collect/collector.ts'
import { asBuffer, decodeBase64, decodeBase64url, sha256 } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { exportPublicJwk, jwkThumbprint, spkiBytes, type WorkloadKey } from '../../base/keys.ts'
import type { JwtSvid } from '../../credentials/jwt-svid/source.ts'
import type { Profile } from '../../credentials/profile.ts'
import type { Wit } from '../../credentials/wit/source.ts'
import { holdX509Svid, type X509Svid } from '../../credentials/x509-svid/source.ts'
import { parseWorkloadSpiffeId, type SpiffeId, type TrustDomain } from '../../identifiers/spiffe-id.ts'
import type { CredentialType } from '../entry.ts'
import { readJwtSvid, readWit } from '../workload-api/responses.ts'
import { type KeyProofSubject, signKeyProof } from './key-proof.ts'
import type { IdentityServer } from './server.ts'
import { readTrust, type TrustNews } from './trust.ts'

/** What one attestation is for. */
export interface EvidenceRound {
  /** The key that is certified. */
  readonly key: WorkloadKey
  /** The key that was certified before, which vouches for the new one. */
  readonly previous?: WorkloadKey
  readonly credentialTypes: readonly CredentialType[]
  /** Of the JWT-SVID, when one is wanted. */
  readonly audience?: string
  readonly signal: AbortSignal
}

/** What an identity server gave for evidence: all for one key. */
export interface EvidenceGrant {
  readonly spiffeId: SpiffeId
  readonly x509?: X509Svid
  readonly wit?: Wit
  readonly jwt?: JwtSvid
  readonly trust: TrustNews
}

/** What a round needs, the same each time. */
export interface EvidenceExchangeOptions {
  readonly trustDomain: TrustDomain
  readonly collectors: readonly EvidenceCollector[]
  readonly spiffeId?: SpiffeId
  /** The manifest that the launcher of the agent signed. */
  readonly manifest?: string
  readonly witProfile?: Profile
  readonly clock: Clock
}

/**
 * Runs one attestation: a challenge for the key, evidence of every collector that has some, proofs of the keys, and the
 * credentials. The answer is read strictly: another identity, another key or a token of another form is refused.
 *
 * @throws {@link AimsError} `provisioning.no_evidence`, `.server_untrusted`, `.invalid_response`,
 *   `attestation.collection_failed`, `operation.*`, and what the server refuses
 */
export async function attestOnce(
  server: IdentityServer,
  options: EvidenceExchangeOptions,
  round: EvidenceRound,
): Promise<EvidenceGrant> {
  const { audience, credentialTypes, signal } = round
  const shown = await showEvidence(server, options, round)
  const answer = await server.send({
    method: 'POST',
    path: '/v1/credentials',
    signal,
    body: { ...shown, credentialTypes, ...(audience === undefined ? {} : { audiences: [audience] }) },
  })
  return readGrant(server, options, round, answer)
}

/** What evidence is collected for, and by which key. */
export interface EvidenceShowing {
  /** Default `workload`. */
  readonly use?: 'agent'
  readonly key: WorkloadKey
  readonly previous?: WorkloadKey
  readonly signal: AbortSignal
}

/** Asks for a challenge and answers it: the part of a request that says who asks. */
export async function showEvidence(
  server: IdentityServer,
  options: EvidenceExchangeOptions,
  { use, key, previous, signal }: EvidenceShowing,
): Promise<JsonObject> {
  const { trustDomain, manifest } = options
  const publicKey = exportPublicJwk(key.publicKey)
  const digest = manifest === undefined ? undefined : sha256(manifest)
  const { id, nonce, offers } = await askChallenge(server, options, { use, publicKey, digest, signal })
  const challenge: Challenge = {
    nonce: decodeBase64url(nonce) ?? new Uint8Array(),
    publicKey: spkiBytes(key.publicKey),
    ...(digest === undefined ? {} : { manifest: digest }),
  }
  if (challenge.nonce.length !== 32) throw invalid('nonce')
  const evidence = await collectAll(options, challenge, offers)
  const subject: KeyProofSubject = { nonce, trustDomain, thumbprint: jwkThumbprint(key.publicKey) }
  return {
    challengeId: id,
    publicKey: { ...publicKey },
    keyProof: await signKeyProof(subject, key),
    evidence: evidence.map((one) => ({ ...one })),
    ...(manifest === undefined ? {} : { manifest }),
    ...(previous === undefined ? {} : { previous: await vouch(subject, previous) }),
  }
}

interface Offer {
  readonly id: string
  readonly nonce: string
  readonly offers: JsonObject
}

async function askChallenge(
  server: IdentityServer,
  { collectors, spiffeId }: EvidenceExchangeOptions,
  {
    use,
    publicKey,
    digest,
    signal,
  }: { use: 'agent' | undefined; publicKey: object; digest: Buffer | undefined; signal: AbortSignal },
): Promise<Offer> {
  const said = await Promise.all(
    collectors.map(async (one): Promise<[AttestationType, JsonObject] | undefined> => {
      return one.hello === undefined ? undefined : [one.type, await one.hello()]
    }),
  )
  const hello = Object.fromEntries(said.filter((one) => one !== undefined))
  const answer = await server.send({
    method: 'POST',
    path: '/v1/attestation/challenges',
    signal,
    body: {
      types: collectors.map(({ type }) => type),
      publicKey,
      ...(use === undefined ? {} : { use }),
      ...(Object.keys(hello).length === 0 ? {} : { hello }),
      ...(spiffeId === undefined ? {} : { spiffeId }),
      ...(digest === undefined ? {} : { manifest: digest.toString('hex') }),
    },
  })
  const { id, nonce, offers } = object(answer, 'challenge')
  return { id: text(id, 'id'), nonce: text(nonce, 'nonce'), offers: object(offers, 'offers') }
}

async function collectAll(
  { collectors, trustDomain, clock }: EvidenceExchangeOptions,
  challenge: Challenge,
  offers: JsonObject,
): Promise<readonly { readonly type: AttestationType; readonly evidence: string }[]> {
  const pieces = await Promise.all(
    collectors.map(async (collector) => {
      const { type } = collector
      const offer = offers[type]
      const bytes = await collector.collect({
        challenge,
        trustDomain,
        audience: bindingAudience(type, challenge, trustDomain),
        ...(isJsonObject(offer) ? { offer } : {}),
        now: clock(),
      })
      return bytes === undefined ? undefined : { type, evidence: asBuffer(bytes).toString('base64') }
    }),
  )
  const evidence = pieces.filter((piece) => piece !== undefined)
  if (evidence.length > 0) return evidence
  throw new AimsError('provisioning.no_evidence', `no evidence of ${collectors.map(({ type }) => type).join(', ')}`)
}

async function vouch(subject: KeyProofSubject, previous: WorkloadKey): Promise<JsonObject> {
  return { publicKey: { ...exportPublicJwk(previous.publicKey) }, keyProof: await signKeyProof(subject, previous) }
}

function readGrant(
  server: IdentityServer,
  { spiffeId: wanted, witProfile }: EvidenceExchangeOptions,
  { key, audience }: EvidenceRound,
  answer: JsonValue | undefined,
): EvidenceGrant {
  const granted = object(answer, 'answer')
  const { spiffeId: name, hint: hinted, x509Svid, wit, jwtSvid } = granted
  try {
    const spiffeId = parseWorkloadSpiffeId(text(name, 'spiffeId'))
    if (wanted !== undefined && wanted !== spiffeId) throw invalid('spiffeId')
    const trust = readTrust(server, granted)
    const hint = typeof hinted === 'string' ? hinted : ''
    const named = (value: JsonValue): { spiffeId: string; token: string; hint: string } => {
      return { spiffeId, hint, token: text(object(value, 'token').token, 'token') }
    }
    const x509 = x509Svid === undefined ? undefined : holdX509Svid({ certificates: chainOf(x509Svid), key, hint })
    if (x509 !== undefined && x509.spiffeId !== spiffeId) throw invalid('chain')
    return {
      spiffeId,
      trust,
      ...(x509 === undefined ? {} : { x509 }),
      ...(wit === undefined ? {} : { wit: readWit(named(wit), () => key, witProfile) }),
      ...(jwtSvid === undefined || audience === undefined ? {} : { jwt: readJwtSvid(named(jwtSvid), audience) }),
    }
  } catch (cause) {
    if (AimsError.is(cause) && cause.code === 'operation.invalid_response') throw cause
    throw new AimsError('operation.invalid_response', 'the credentials of the server cannot be used', { cause })
  }
}

export function chainOf(value: JsonValue | undefined): readonly Uint8Array[] {
  const { chain } = object(value, 'x509Svid')
  if (!Array.isArray(chain)) throw invalid('chain')
  return chain.map((one: JsonValue) => decodeBase64(text(one, 'chain')) ?? new Uint8Array())
}

export function object(value: JsonValue | undefined, name: string): JsonObject {
  if (!isJsonObject(value)) throw invalid(name)
  return value
}

export function text(value: JsonValue | undefined, name: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(name)
  return value
}

export function invalid(name: string): AimsError {
  return new AimsError('operation.invalid_response', `the server sent no usable ${name}`)
}
