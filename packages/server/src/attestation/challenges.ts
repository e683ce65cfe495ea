import { randomBytes } from 'node:crypto'
import type { AttestationType, EvidenceUse } from 'aims/attestation'
import { AimsError, type JsonObject } from 'aims/base'

/** What a challenge is for. It answers for nothing else. */
export interface ChallengePurpose {
  readonly use: EvidenceUse
  readonly types: readonly AttestationType[]
  /** RFC 7638 thumbprint of the key that will be certified. */
  readonly thumbprint: string
  /** The identity that was asked for; absent: whichever the evidence fits. */
  readonly spiffeId?: string
  /** SHA-256 of the signed manifest. */
  readonly manifest?: Uint8Array
  /** What the verifier of each type keeps until the evidence comes. */
  readonly prepared: ReadonlyMap<AttestationType, JsonObject>
}

/** A challenge that was given out. */
export interface OpenChallenge extends ChallengePurpose {
  readonly id: string
  /** 32 bytes. */
  readonly nonce: Uint8Array
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/**
 * Challenges that wait for their evidence: each answers once, for two minutes. They live in memory alone, where nobody
 * can add one; after a restart clients ask again.
 *
 * @see attestation section 1.1
 */
export interface Challenges {
  /** When too many are open, the oldest one makes room. */
  open(purpose: ChallengePurpose, now: number): OpenChallenge
  /**
   * Takes a challenge away and returns it. Whoever comes second finds nothing.
   *
   * @throws {@link AimsError} `attestation.challenge_unknown`
   */
  take(id: string, now: number): OpenChallenge
}

/** Seconds. */
const LIFETIME = 120
/**
 * Anybody may ask for challenges, so their number is bounded. Refusing the next one would let a few requests a second keep
 * everybody out; the oldest is the one that is least likely to be answered still.
 */
const MAX_OPEN = 10_000

/** Whether a text is one that a challenge could have for its id. Anybody may send any, and records hold no such text. */
export function isChallengeId(text: string): boolean {
  return /^[A-Za-z0-9_-]{22}$/.test(text)
}

/** Makes an empty set of challenges. */
export function createChallenges(): Challenges {
  // In the order of their making, and so of their end.
  const open = new Map<string, OpenChallenge>()

  const expire = (now: number): void => {
    for (const { id, expiresAt } of open.values()) {
      if (expiresAt > now) return
      open.delete(id)
    }
  }
  return {
    open(purpose, now) {
      expire(now)
      const [oldest] = open.size < MAX_OPEN ? [] : open.keys()
      if (oldest !== undefined) open.delete(oldest)
      const id = randomBytes(16).toString('base64url')
      const challenge = { ...purpose, id, nonce: randomBytes(32), expiresAt: now + LIFETIME }
      open.set(id, challenge)
      return challenge
    },
    take(id, now) {
      const challenge = open.get(id)
      open.delete(id)
      if (challenge === undefined || challenge.expiresAt <= now) {
        throw new AimsError('attestation.challenge_unknown', 'no such challenge is open')
      }
      return challenge
    },
  }
}
