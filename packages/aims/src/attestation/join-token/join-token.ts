import { randomBytes } from 'node:crypto'
import { asBuffer, encodeBase64url, sha256Base64url } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import { requireUnbound } from '../binding.ts'
import {
  type Authenticated,
  authenticatedEvidence,
  type EvidenceContext,
  type EvidenceUse,
  type EvidenceVerifier,
} from '../evidence.ts'

/** What a join token says about whoever shows it. */
export interface JoinTokenClaims {
  /** The name that the operator gave it. Several tokens may have the same one. */
  readonly name: string
  /** Who may come with it. Nobody else gets in by it. */
  readonly use: EvidenceUse
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/** What a store answers to whoever comes with a token. */
export type ConsumedToken = JoinTokenClaims | 'other-use' | undefined

/** Where join tokens are kept. */
export interface JoinTokenStore {
  /**
   * Takes a token away and returns what it says, in one step: of all who ask for one token, exactly one gets an answer, on
   * every replica. `undefined`: no such token, or it was used. One that has expired at `now` is as good as none. One that
   * is for another use is `other-use`, and stays for whom it was made.
   *
   * @param tokenHash - {@link joinTokenHash} of the token. A store keeps nothing else of it.
   */
  consume(tokenHash: string, use: EvidenceUse, now: number): ConsumedToken | Promise<ConsumedToken>
}

/** What a join token must be for. `{}`: any name. */
export interface JoinTokenPolicy {
  /** Names accepted. Absent: any. */
  readonly names: readonly string[] | undefined
}

const PREFIX = 'aims_join_'
// The prefix, and 32 bytes in base64url.
const FORM = /^aims_join_[A-Za-z0-9_-]{43}$/

/** Makes a join token: 32 random bytes behind a prefix that scanners for secrets can look for. */
export function createJoinToken(): string {
  return PREFIX + encodeBase64url(randomBytes(32))
}

/** What a store keeps of a token: SHA-256, base64url. The token is random, so that its hash says nothing about it. */
export function joinTokenHash(token: string): string {
  return sha256Base64url(token)
}

/**
 * Verifies join tokens, by which an operator lets one machine or job in. Evidence: the token, as text.
 *
 * A token is a bearer secret that binds to no key, so the result says `binding: none`; it is used up here, whatever is
 * decided afterwards. Whoever comes second with it is refused like somebody who made one up.
 *
 * Does not keep tokens, nor say how long they live: the store does.
 *
 * @see docs/layers/4-provisioning.md, "Agents on other hosts"
 */
export function joinTokenVerifier(store: JoinTokenStore): EvidenceVerifier<JoinTokenClaims, JoinTokenPolicy> {
  return {
    type: 'join-token',
    maxSize: 256,
    authenticate: (evidence, context) => authenticate(evidence, store, context),
    readPolicy: (document: JsonObject) => readPolicyFields<JoinTokenPolicy>(document, { names: textList }),
    appraise: ({ claims }, { names }) => {
      if (names !== undefined && !names.includes(claims.name)) {
        throw new AimsError('attestation.not_allowed', 'the join token has a name that the policy does not allow')
      }
      return []
    },
  }
}

async function authenticate(
  evidence: Uint8Array,
  store: JoinTokenStore,
  { now, expected, use = 'workload' }: EvidenceContext,
): Promise<Authenticated<JoinTokenClaims>> {
  const token = asBuffer(evidence).toString('latin1')
  if (!FORM.test(token)) throw new AimsError('attestation.malformed', 'not a join token of AIMS')
  requireTime(now)
  // Before it is used up: whoever asks for the impossible keeps it.
  requireUnbound(expected)
  const hash = joinTokenHash(token)
  const claims = await store.consume(hash, use, now)
  if (claims === 'other-use') throw otherUse(use)
  if (claims === undefined || claims.expiresAt <= now) {
    throw new AimsError('attestation.token_unknown', 'no such join token waits to be used')
  }
  return authenticatedEvidence<JoinTokenClaims>({
    claims,
    attested: `join-token:${hash}`,
    result: {
      type: 'join-token',
      selectors: [`join-token:name:${claims.name}`],
      verifiedAt: now,
      binding: 'none',
      freshness: 'window',
      debug: false,
      attributes: { name: claims.name },
      warnings: [],
    },
  })
}

function otherUse(use: EvidenceUse): AimsError {
  const [madeFor, fix] = use === 'agent' ? ['workloads', '--for agent'] : ['agents', '--for workload']
  return new AimsError(
    'attestation.token_other_use',
    `the join token was made for ${madeFor}; have another made with aims token create ${fix}`,
  )
}
