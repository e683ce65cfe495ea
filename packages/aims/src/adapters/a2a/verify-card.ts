import { requirePeer } from '../../authentication/route.ts'
import { isJwsAlgorithm, verifyBytes } from '../../base/algorithms.ts'
import { decodeBase64url, encodeBase64url } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import type { VerificationKey } from '../../base/keys.ts'
import type { BundleSource } from '../../credentials/bundle/bundle.ts'
import { requireLiveWit } from '../../credentials/revocation/require.ts'
import type { RevocationSource } from '../../credentials/revocation/revocation.ts'
import { verifyWit } from '../../credentials/wit/verify.ts'
import type { IdMatcher } from '../../identifiers/matcher.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { canonicalAgentCard } from './canonical-card.ts'
import { unverifiedIdentityOf } from './extension.ts'
import { WIT_MEMBER } from './sign-card.ts'

/** A key that was given out of band, for the cards of one agent that signs without a WIT. */
export interface CardKey {
  readonly spiffeId: WorkloadId
  readonly kid: string
  readonly key: VerificationKey
  /** The `jku` its signatures name. It is compared, and never fetched. Default: they name none. */
  readonly jku?: string
}

/** Whose cards are accepted, and by which keys. */
export interface CardExpectations {
  /** For the WITs that come with signatures. */
  readonly bundles: BundleSource
  /** Whose card it may be. */
  readonly peer: IdMatcher
  /** Who served it, as proven by the connection it came over. It must be the agent's own. Default: anybody may serve it. */
  readonly servedBy?: WorkloadId
  /** Keys of agents that sign without a WIT. Default none. */
  readonly keys?: readonly CardKey[]
  /** Which credentials were revoked. Default: none is checked. */
  readonly revocations?: RevocationSource
  /** Seconds since the epoch. */
  readonly now: number
}

/** A card whose agent has signed it. Only {@link verifyAgentCard} makes one. */
export interface VerifiedAgentCard {
  readonly kind: 'verified-agent-card'
  /** Whose card it is. Connections to its URLs must prove to be this agent's. */
  readonly spiffeId: WorkloadId
  /** What proofs for the agent name. */
  readonly audience?: string
  /** As received. For an object of the official SDK: `AgentCard.fromJSON(card)`. */
  readonly card: JsonObject
  /** Seconds since the epoch: when the WIT that vouches for the signature ends. */
  readonly expiresAt?: number
}

const MAX_SIGNATURES = 8

/**
 * Checks that a card was signed by the agent whose card it says it is, with the key of its WIT, or one given for it. The
 * first signature whose key is known decides. `jku` is never followed.
 *
 * Does not check that the agent behind the URLs in the card is the same: connect to them expecting `spiffeId`.
 *
 * @param text - As received; not an object, of which another parser has decided what it says.
 * @throws {@link AimsError} `a2a.*`, `credential.*`, `authentication.peer_unexpected`
 * @see A2A 1.0 section 8.4.3
 */
export function verifyAgentCard(text: string | Uint8Array, expected: CardExpectations): VerifiedAgentCard {
  const card = refuseAs('a2a.card_malformed', 'the card is not strict JSON', () => parseJsonObject(text))
  const { spiffeId, audience } = unverifiedIdentityOf(card)
  const payload = encodeBase64url(Buffer.from(canonicalAgentCard(card)))
  const { signature, signer } = selectSignature(card, spiffeId, expected)
  if (signer.spiffeId !== spiffeId) {
    throw new AimsError('a2a.card_mismatch', 'the card says that it is the card of another agent than its signer')
  }
  const { alg, protectedPart, bytes } = signature
  const accepts = alg === signer.key.alg || signer.key.algs?.includes(alg) === true
  if (!accepts || !verifyBytes(alg, signer.key.key, Buffer.from(`${protectedPart}.${payload}`, 'latin1'), bytes)) {
    throw new AimsError('a2a.invalid_signature', 'the card is not what was signed')
  }
  if (expected.servedBy !== undefined && expected.servedBy !== spiffeId) {
    throw new AimsError('a2a.card_mismatch', 'the card of one agent was served by another')
  }
  requirePeer(spiffeId, expected.peer)
  return Object.freeze({
    kind: 'verified-agent-card',
    spiffeId,
    ...(audience === undefined ? {} : { audience }),
    card,
    ...(signer.expiresAt === undefined ? {} : { expiresAt: signer.expiresAt }),
  })
}

interface Signature {
  readonly protectedPart: string
  readonly alg: Parameters<typeof verifyBytes>[0]
  readonly kid: string
  readonly jku: string | undefined
  readonly bytes: Buffer
  readonly wit: string | undefined
}

interface Signer {
  readonly spiffeId: WorkloadId
  readonly key: VerificationKey
  readonly expiresAt?: number
}

function selectSignature(
  { signatures = [] }: JsonObject,
  spiffeId: WorkloadId,
  expected: CardExpectations,
): { readonly signature: Signature; readonly signer: Signer } {
  if (!Array.isArray(signatures)) throw malformed('the signatures are no list')
  if (signatures.length === 0) throw new AimsError('a2a.card_unsigned', 'the card is not signed')
  if (signatures.length > MAX_SIGNATURES) throw malformed(`the card has more than ${MAX_SIGNATURES} signatures`)
  const read = signatures.map(readSignature)
  for (const signature of read) {
    const signer =
      signature.wit === undefined ? pinned(signature, spiffeId, expected) : byWit(signature.wit, signature, expected)
    if (signer !== undefined) return { signature, signer }
  }
  if (read.some(({ jku }) => jku !== undefined)) {
    throw new AimsError('a2a.jku_refused', 'the card names keys at a URL that was not given for this agent')
  }
  throw new AimsError('a2a.unknown_key', 'no signature is by a key that is known for this agent')
}

function byWit(token: string, { kid }: Signature, { bundles, revocations, now }: CardExpectations): Signer {
  const wit = verifyWit(token, { bundles, now, profile: 'wimse' })
  const { subject, confirmation, expiresAt } = wit
  if (kid !== confirmation.thumbprint) {
    throw new AimsError('a2a.unknown_key', 'kid is not the thumbprint of the key in the WIT')
  }
  requireLiveWit(revocations, wit, now)
  return { spiffeId: subject, key: confirmation, expiresAt }
}

function pinned({ kid, jku }: Signature, spiffeId: WorkloadId, { keys = [] }: CardExpectations): Signer | undefined {
  return keys.find((key) => key.spiffeId === spiffeId && key.kid === kid && key.jku === jku)
}

// What would change the rules, or let a signature bring its own key.
const FORBIDDEN_HEADERS = ['crit', 'b64', 'jwk', 'x5u', 'x5c', 'x5t', 'x5t#S256']
const PROTECTED_HEADERS = ['alg', 'typ', 'kid', 'jku']

function readSignature(value: JsonValue): Signature {
  const { protected: protectedPart, signature, header = {} } = isJsonObject(value) ? value : {}
  if (typeof protectedPart !== 'string' || typeof signature !== 'string' || !isJsonObject(header)) {
    throw malformed('a signature is not well formed')
  }
  const head = decodeBase64url(protectedPart)
  const bytes = decodeBase64url(signature)
  if (head === undefined || bytes === undefined) throw malformed('a signature is not canonical base64url')
  const params = refuseAs('a2a.card_malformed', 'a header is not strict JSON', () => parseJsonObject(head))
  const { alg, typ, kid, jku } = params
  const { [WIT_MEMBER]: wit } = header
  const isForbidden =
    FORBIDDEN_HEADERS.some((name) => name in params || name in header) ||
    PROTECTED_HEADERS.some((name) => name in header)
  if (isForbidden || !isJwsAlgorithm(alg) || typ !== 'JOSE' || typeof kid !== 'string') {
    throw malformed('the header of a signature is not one of A2A')
  }
  if (jku !== undefined && typeof jku !== 'string') throw malformed('jku is not a string')
  if (wit !== undefined && typeof wit !== 'string') throw malformed('the WIT is not a string')
  return { protectedPart, alg, kid, jku, bytes, wit }
}

function malformed(message: string): AimsError {
  return new AimsError('a2a.card_malformed', message)
}
