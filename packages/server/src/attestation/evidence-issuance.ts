import {
  type AcceptedManifest,
  type Appraisal,
  type AttestationType,
  type Authenticated,
  appraise,
  appraiseManifest,
  authenticateEvidence,
  bindingAudience,
  type Challenge,
  compareAssurance,
  type EvidenceVerifier,
  type EvidenceVerifiers,
  readAppraisalPolicy,
  readManifestPolicy,
  verifyManifest,
} from 'aims/attestation'
import {
  AimsError,
  type Clock,
  importVerificationKey,
  isJsonObject,
  type JsonObject,
  jwkThumbprint,
  type Observer,
  sha256,
  spkiBytes,
  type VerificationKey,
} from 'aims/base'
import type { AttestedFacts } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import {
  CREDENTIAL_TYPES,
  type CredentialType,
  type Issuer,
  type KeyedIssuanceRequest,
  type RegistrationEntry,
  verifyKeyProof,
} from 'aims/provisioning'
import type { AttestedState, AttestedThing, AttestedThings } from '../store/attested-things.ts'
import { createChallenges, type OpenChallenge } from './challenges.ts'
import { type AcceptedEvidence, lowered, narrowed, postureOf, refused, succeeded } from './evidence-events.ts'

/** What a workload says when it asks for a challenge. */
export interface ChallengeRequest {
  readonly types: readonly AttestationType[]
  /** Public JWK of the key that will be certified. */
  readonly publicKey: JsonObject
  readonly spiffeId?: string
  /** SHA-256 of the signed manifest it is going to present. */
  readonly manifest?: Uint8Array
  /** By type: what a verifier that answers a hello needs. */
  readonly hello: JsonObject
}

/** What it gets. */
export interface ChallengeOffer {
  readonly id: string
  readonly nonce: Uint8Array
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** By type: the audience to ask the platform for, where the platform signs one. */
  readonly audiences: { readonly [type: string]: string }
  /** By type: what a verifier answered to its hello. */
  readonly offers: { readonly [type: string]: JsonObject }
}

/** Evidence for a challenge. */
export interface EvidenceRequest {
  readonly challengeId: string
  readonly publicKey: JsonObject
  /** That the caller holds the key. */
  readonly keyProof: string
  readonly evidence: readonly { readonly type: AttestationType; readonly evidence: Uint8Array }[]
  /** The signed manifest. */
  readonly manifest?: string
  /** The key that was certified before, and its proof for the new one: for bearer evidence after its first use. */
  readonly previous?: { readonly publicKey: JsonObject; readonly keyProof: string }
  /** Of a JWT-SVID; absent: none is issued. */
  readonly audiences?: readonly string[]
  /** Only these. Absent: all that the entry permits. */
  readonly credentialTypes?: readonly CredentialType[]
}

/** The credentials of one attestation, for one key. */
export interface EvidenceCredentials {
  readonly entry: RegistrationEntry
  readonly attested: AttestedFacts
  readonly x509?: Awaited<ReturnType<Issuer['issueX509']>>
  readonly wit?: Awaited<ReturnType<Issuer['issueWit']>>
  readonly jwt?: Awaited<ReturnType<Issuer['issueJwt']>>
}

/** Issues credentials to whoever shows evidence, without an agent on its host. */
export interface EvidenceIssuance {
  /** @throws {@link AimsError} `attestation.unknown_type`, `operation.busy`, `key.*`, and what a verifier refuses of a hello */
  challenge(request: ChallengeRequest): ChallengeOffer
  /** @throws {@link AimsError} `attestation.*`, `provisioning.*`, `credential.*`, and what the observer throws */
  issue(request: EvidenceRequest, correlationId: string): Promise<EvidenceCredentials>
}

/** What it works with. */
export interface EvidenceIssuanceOptions {
  readonly trustDomain: TrustDomain
  readonly verifiers: EvidenceVerifiers
  readonly things: AttestedThings
  readonly issuer: Issuer
  readonly clock: Clock
  readonly observer: Observer
  /** The entries whose selectors are all among these. */
  matchEntries(selectors: readonly string[]): readonly RegistrationEntry[]
}

/**
 * Makes the issuance by evidence: a challenge bound to the key, then evidence of one or more types, authenticated,
 * matched to an entry, appraised by the entry's policy, and only then the credentials. A challenge answers once, whatever
 * the outcome. Every refusal and every success is recorded before it is told.
 *
 * @see attestation sections 1.1 and 1.2; AIMS PR-1, PR-2
 */
export function createEvidenceIssuance(options: EvidenceIssuanceOptions): EvidenceIssuance {
  const { trustDomain, verifiers, things, issuer, clock, observer } = options
  const challenges = createChallenges()

  const verifierOf = (type: AttestationType): EvidenceVerifier => {
    const verifier = verifiers.get(type)
    if (verifier === undefined) throw new AimsError('attestation.unknown_type', `no verifier for ${type} is configured`)
    return verifier
  }

  const prove = async (request: EvidenceRequest, challenge: OpenChallenge, now: number): Promise<Proven> => {
    const key = importVerificationKey(request.publicKey)
    const thumbprint = jwkThumbprint(key.key)
    const nonce = Buffer.from(challenge.nonce).toString('base64url')
    const subject = { nonce, trustDomain, thumbprint: challenge.thumbprint }
    if (thumbprint !== challenge.thumbprint) throw otherRequest()
    verifyKeyProof(request.keyProof, subject, key)
    requireSameManifest(request.manifest, challenge.manifest)
    const { manifest } = challenge
    const bound: Challenge = {
      nonce: challenge.nonce,
      publicKey: spkiBytes(key.key),
      ...(manifest === undefined ? {} : { manifest }),
    }
    const evidence = await Promise.all(
      request.evidence.map(({ type, evidence: bytes }) => {
        if (!challenge.types.includes(type)) throw otherRequest()
        const prepared = challenge.prepared.get(type)
        return authenticateEvidence(verifierOf(type), bytes, {
          now,
          expected: { kind: 'challenge', challenge: bound, trustDomain },
          ...(prepared === undefined ? {} : { prepared }),
        })
      }),
    )
    return { key, thumbprint, evidence, previous: previousThumbprint(request, subject) }
  }

  const choose = (evidence: readonly Authenticated[], spiffeId: string | undefined): RegistrationEntry => {
    const shown = evidence.flatMap(({ result }) => result.selectors)
    const fitting = options.matchEntries(shown).filter((entry) => spiffeId === undefined || entry.spiffeId === spiffeId)
    const [entry, second] = fitting
    if (entry === undefined) throw new AimsError('provisioning.no_identity', 'no entry fits the evidence')
    if (second !== undefined) throw new AimsError('provisioning.ambiguous_identity', 'several entries fit the evidence')
    return entry
  }

  // Refuses who took another's place or got weaker, and returns what to do once it is all recorded: it remembers, and
  // refuses whoever was overtaken meanwhile.
  const firstUse = async (
    { evidence, thumbprint, previous }: Proven,
    entry: RegistrationEntry,
    { assurance }: Appraisal,
    now: number,
    correlationId: string,
  ): Promise<() => void> => {
    const { spiffeId, revision } = entry
    const seen: AttestedThing[] = []
    const requireHolder = (thing: AttestedThing): AttestedState | undefined => {
      const before = things.find(thing)
      const isSameHolder = before === undefined || [thumbprint, previous].includes(before.thumbprint)
      if (thing.isBearer && !isSameHolder) {
        throw new AimsError('attestation.taken', 'another key came first with this evidence')
      }
      return before
    }
    for (const { result, attested, statement } of evidence) {
      const thing = { type: result.type, attested, spiffeId, isBearer: result.binding === 'none' }
      const before = requireHolder(thing)
      if (before?.revision === revision && compareAssurance(assurance, before.assurance) < 0) {
        await observer.record(lowered(entry, before.assurance, assurance, correlationId))
        throw new AimsError('attestation.assurance_lowered', `the evidence reached ${before.assurance} before`)
      }
      if (statement !== undefined) {
        things.useOnce(`${result.type} ${statement}`, result.evidenceNotAfter ?? now + STATEMENT_MEMORY, now)
      }
      seen.push(thing)
    }
    return () => {
      // Somebody may have come first while the record was written.
      for (const thing of seen) requireHolder(thing)
      for (const thing of seen) things.put(thing, { thumbprint, assurance, revision }, now)
    }
  }

  return {
    challenge({ types, publicKey, spiffeId, manifest, hello }) {
      const now = clock()
      const prepared = new Map<AttestationType, JsonObject>()
      const offers: Record<string, JsonObject> = {}
      for (const type of types) {
        const verifier = verifierOf(type)
        const said = hello[type]
        if (verifier.prepare === undefined) continue
        const { offer, kept } = verifier.prepare(isJsonObject(said) ? said : {}, { now })
        prepared.set(type, kept)
        offers[type] = offer
      }
      const { key } = importVerificationKey(publicKey)
      const purpose = {
        types,
        thumbprint: jwkThumbprint(key),
        prepared,
        ...(spiffeId === undefined ? {} : { spiffeId }),
        ...(manifest === undefined ? {} : { manifest }),
      }
      const { id, nonce, expiresAt } = challenges.open(purpose, now)
      const bound = { nonce, publicKey: spkiBytes(key), ...(manifest === undefined ? {} : { manifest }) }
      const audiences = Object.fromEntries(types.map((type) => [type, bindingAudience(type, bound, trustDomain)]))
      return { id, nonce, expiresAt, audiences, offers }
    },

    async issue(request, correlationId) {
      const now = clock()
      let chosen: RegistrationEntry | undefined
      let accepted: Accepted
      try {
        const challenge = challenges.take(request.challengeId, now)
        const proven = await prove(request, challenge, now)
        const entry = choose(proven.evidence, challenge.spiffeId)
        chosen = entry
        const appraisal = appraise(proven.evidence, readAppraisalPolicy(entry.attestation ?? {}, verifiers), verifiers)
        const manifest = manifestFor(entry, request.manifest, now)
        const remember = await firstUse(proven, entry, appraisal, now, correlationId)
        accepted = { entry, key: proven.key, appraisal, manifest }
        await observer.record(succeeded(accepted, correlationId))
        remember()
      } catch (error) {
        if (AimsError.is(error)) await observer.record(refused(request, chosen, error, correlationId))
        throw error
      }
      if (accepted.manifest !== undefined && accepted.manifest.dropped.length > 0) {
        await observer.record(narrowed(accepted.entry, accepted.manifest.dropped.length, correlationId))
      }
      return issueAll(issuer, accepted, request, correlationId)
    },
  }
}

/** How long a statement without an end is remembered, in seconds. */
const STATEMENT_MEMORY = 7 * 86_400

interface Proven {
  readonly key: VerificationKey
  readonly thumbprint: string
  readonly evidence: readonly Authenticated[]
  /** Thumbprint of the key that vouches for the new one. */
  readonly previous: string | undefined
}

interface Accepted extends AcceptedEvidence {
  readonly key: VerificationKey
}

async function issueAll(
  issuer: Issuer,
  accepted: Accepted,
  { audiences, credentialTypes = CREDENTIAL_TYPES }: EvidenceRequest,
  correlationId: string,
): Promise<EvidenceCredentials> {
  const { entry, key, appraisal } = accepted
  const attested = factsOf(accepted)
  const request: KeyedIssuanceRequest = {
    entryId: entry.id,
    posture: postureOf(appraisal),
    correlationId,
    attested,
    appraisedRevision: entry.revision,
    publicKey: key.key,
  }
  const isIssued = (type: CredentialType): boolean =>
    entry.credentialTypes.includes(type) && credentialTypes.includes(type)
  return {
    entry,
    attested,
    ...(isIssued('x509-svid') ? { x509: await issuer.issueX509(request) } : {}),
    ...(isIssued('wit') ? { wit: await issuer.issueWit(request) } : {}),
    ...(audiences === undefined || !credentialTypes.includes('jwt-svid')
      ? {}
      : { jwt: await issuer.issueJwt({ ...request, audiences }) }),
  }
}

function previousThumbprint(
  { previous }: EvidenceRequest,
  subject: Parameters<typeof verifyKeyProof>[1],
): string | undefined {
  if (previous === undefined) return undefined
  const key = importVerificationKey(previous.publicKey)
  verifyKeyProof(previous.keyProof, subject, key)
  return jwkThumbprint(key.key)
}

function requireSameManifest(token: string | undefined, expected: Uint8Array | undefined): void {
  const isSame = token === undefined ? expected === undefined : expected !== undefined && sha256(token).equals(expected)
  if (!isSame) throw new AimsError('attestation.binding_mismatch', 'the challenge was made for another manifest')
}

function manifestFor(
  { manifest: policy }: RegistrationEntry,
  token: string | undefined,
  now: number,
): AcceptedManifest | undefined {
  // Nobody vouches for a manifest that the entry does not ask for: it is not carried on.
  if (policy === undefined) return undefined
  if (token === undefined) throw new AimsError('attestation.not_enough', 'the entry asks for a manifest')
  const rules = readManifestPolicy(policy)
  return appraiseManifest(verifyManifest(token, { launchers: rules.launchers, now }), rules)
}

function factsOf({ appraisal, manifest }: Accepted): AttestedFacts {
  const facts = { assurance: appraisal.assurance, types: appraisal.results.map(({ type }) => type) }
  if (manifest === undefined) return facts
  const { hash, model, tools, mcpServers } = manifest
  return { ...facts, manifest: { hash, ...(model === undefined ? {} : { model }), tools, mcpServers } }
}

function otherRequest(): AimsError {
  return new AimsError('attestation.challenge_unknown', 'the challenge was made for another key or other types')
}
