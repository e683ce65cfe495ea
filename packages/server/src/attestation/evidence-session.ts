import {
  type AttestationType,
  type Authenticated,
  authenticateEvidence,
  bindingAudience,
  type Challenge,
  type EvidenceUse,
  type EvidenceVerifier,
  type EvidenceVerifiers,
} from 'aims/attestation'
import {
  AimsError,
  type Clock,
  importKeyToCertify,
  importVerificationKey,
  isJsonObject,
  type JsonObject,
  type KeyToCertify,
  sha256,
} from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import { verifyKeyProof } from 'aims/provisioning'
import { createChallenges, type OpenChallenge } from './challenges.ts'

/** What somebody says who asks for a challenge. */
export interface ChallengeRequest {
  readonly use: EvidenceUse
  readonly types: readonly AttestationType[]
  /** Public JWK of the key that will be certified. */
  readonly publicKey: JsonObject
  readonly spiffeId?: string
  /** SHA-256 of the signed manifest that will be presented. */
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
export interface ShownEvidence {
  readonly challengeId: string
  readonly publicKey: JsonObject
  /** That the caller holds the key. */
  readonly keyProof: string
  readonly evidence: readonly { readonly type: AttestationType; readonly evidence: Uint8Array }[]
  /** The signed manifest. */
  readonly manifest?: string
  /** The key that was certified before, and its proof for the new one: for bearer evidence after its first use. */
  readonly previous?: { readonly publicKey: JsonObject; readonly keyProof: string }
}

/** What was shown, after every signature and binding has been checked, and before anybody asked whether it is enough. */
export interface ProvenEvidence {
  readonly key: KeyToCertify
  readonly thumbprint: string
  readonly evidence: readonly Authenticated[]
  /** Thumbprint of the key that vouches for the new one. */
  readonly previous: string | undefined
  /** The identity that the challenge was asked for. */
  readonly spiffeId: string | undefined
}

/** Challenges, and the evidence that answers them. */
export interface EvidenceSession {
  /** @throws {@link AimsError} `attestation.unknown_type`, `key.*`, and what a verifier refuses of a hello */
  challenge(request: ChallengeRequest): ChallengeOffer
  /**
   * Takes the challenge, whatever the outcome, and authenticates the evidence for it.
   *
   * @throws {@link AimsError} `attestation.*`, `provisioning.key_proof_invalid`, `key.*`
   */
  prove(request: ShownEvidence, use: EvidenceUse, now: number): Promise<ProvenEvidence>
}

/** Makes the session of a server: each challenge is for one key, one use and some types, and answers once. */
export function createEvidenceSession(options: {
  readonly trustDomain: TrustDomain
  readonly verifiers: EvidenceVerifiers
  readonly clock: Clock
}): EvidenceSession {
  const { trustDomain, verifiers, clock } = options
  const challenges = createChallenges()

  const verifierOf = (type: AttestationType): EvidenceVerifier => {
    const verifier = verifiers.get(type)
    if (verifier === undefined) throw new AimsError('attestation.unknown_type', `no verifier for ${type} is configured`)
    return verifier
  }

  return {
    challenge({ use, types, publicKey, spiffeId, manifest, hello }) {
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
      const key = importKeyToCertify(publicKey)
      const { thumbprint } = key
      const purpose = {
        use,
        types,
        thumbprint,
        prepared,
        ...(spiffeId === undefined ? {} : { spiffeId }),
        ...(manifest === undefined ? {} : { manifest }),
      }
      const { id, nonce, expiresAt } = challenges.open(purpose, now)
      const bound = { nonce, publicKey: key.spki, ...(manifest === undefined ? {} : { manifest }) }
      const audiences = Object.fromEntries(types.map((type) => [type, bindingAudience(type, bound, trustDomain)]))
      return { id, nonce, expiresAt, audiences, offers }
    },

    async prove(request, use, now) {
      const challenge = challenges.take(request.challengeId, now)
      if (challenge.use !== use) throw otherRequest()
      const key = importKeyToCertify(request.publicKey)
      const { thumbprint } = key
      const nonce = Buffer.from(challenge.nonce).toString('base64url')
      const subject = { nonce, trustDomain, thumbprint: challenge.thumbprint }
      if (thumbprint !== challenge.thumbprint) throw otherRequest()
      verifyKeyProof(request.keyProof, subject, key)
      requireSameManifest(request.manifest, challenge.manifest)
      const previous = previousThumbprint(request, subject)
      // Nothing may throw once verifiers are at work: nobody would hear of what they refuse.
      if (request.evidence.some(({ type }) => !challenge.types.includes(type))) throw otherRequest()
      const bound = boundTo(challenge, key)
      const evidence = await Promise.all(
        request.evidence.map(({ type, evidence: bytes }) => {
          const prepared = challenge.prepared.get(type)
          return authenticateEvidence(verifierOf(type), bytes, {
            now,
            expected: { kind: 'challenge', challenge: bound, trustDomain },
            use,
            ...(prepared === undefined ? {} : { prepared }),
          })
        }),
      )
      return { key, thumbprint, evidence, previous, spiffeId: challenge.spiffeId }
    },
  }
}

function boundTo({ nonce, manifest }: OpenChallenge, key: KeyToCertify): Challenge {
  return { nonce, publicKey: key.spki, ...(manifest === undefined ? {} : { manifest }) }
}

function previousThumbprint(
  { previous }: ShownEvidence,
  subject: Parameters<typeof verifyKeyProof>[1],
): string | undefined {
  if (previous === undefined) return undefined
  const key = importVerificationKey(previous.publicKey)
  verifyKeyProof(previous.keyProof, subject, key)
  return key.thumbprint
}

function requireSameManifest(token: string | undefined, expected: Uint8Array | undefined): void {
  const isSame = token === undefined ? expected === undefined : expected !== undefined && sha256(token).equals(expected)
  if (!isSame) throw new AimsError('attestation.binding_mismatch', 'the challenge was made for another manifest')
}

function otherRequest(): AimsError {
  return new AimsError('attestation.challenge_unknown', 'the challenge was made for another key, use or other types')
}
