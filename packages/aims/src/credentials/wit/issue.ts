import { randomBytes } from 'node:crypto'
import { type JwsAlgorithm, SPIFFE_ALGORITHMS } from '../../base/algorithms.ts'
import { AimsError } from '../../base/errors.ts'
import { signJws } from '../../base/jose.ts'
import {
  defaultAlgorithm,
  exportPublicJwk,
  jwkThumbprint,
  type PublicKey,
  requireFit,
  type Signer,
} from '../../base/keys.ts'
import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import { ATTESTATION_CLAIM, type AttestedFacts } from '../attested.ts'
import { DELEGATION_CLAIM, type Delegation } from '../delegation/delegation.ts'
import type { Profile } from '../profile.ts'
import { WIT_SHAPES } from './profiles.ts'

/** Who gets a WIT, for which key, for how long. */
export interface WitRequest {
  readonly subject: WorkloadId
  /** The workload's own key. Its private half never comes here. */
  readonly publicKey: PublicKey
  /** The one algorithm proofs will use. Default: the one of the curve. */
  readonly confirmationAlg?: JwsAlgorithm
  /** Seconds since the epoch. */
  readonly now: number
  /** Seconds. */
  readonly ttl: number
  /** `iss`; for audit, except in `aims-00`, which needs it. */
  readonly issuer?: string
  /** `jti`. Default: 128 random bits. */
  readonly id?: string
  /** Default `wimse`. */
  readonly profile?: Profile
  /** `aims-00` only, and needed there. */
  readonly audiences?: readonly string[]
  /** What attestation found out, for the policies of services. */
  readonly attested?: AttestedFacts
  /** For a sub-agent: what its parent gave it. */
  readonly delegation?: Delegation
}

/** A signed token and what its holder needs to know about it. */
export interface IssuedToken {
  readonly token: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** `jti`: names the token in records. */
  readonly id: string
}

/**
 * Issues a WIT. For a SPIFFE subject with `typ` `wit+jwt` it is a WIT-SVID too: `kid`, one of the nine algorithms for
 * both keys, no `aud`.
 *
 * Does not decide who may have the identity, and does not check that the key belongs to nobody else.
 *
 * @throws {@link AimsError} `credential.unsupported_alg`, `credential.forbidden_confirmation_alg`, `key.*`; `identifier.*`
 *   for a subject without a path, or that no parser made
 * @throws TypeError for a signer without `kid`, a TTL that is not positive, or options of another profile.
 * @see draft-ietf-wimse-workload-creds-02, section "Workload Identity Token"; WIT-SVID sections 3 and 4
 */
export async function issueWit(request: WitRequest, signer: Signer): Promise<IssuedToken> {
  const {
    subject,
    publicKey,
    profile = 'wimse',
    issuer,
    audiences,
    id = randomBytes(16).toString('base64url'),
  } = request
  const shape = WIT_SHAPES[profile]
  requireOptions(request, signer)
  // A cast is no parse, and what is signed cannot be taken back.
  parseWimseId(subject, { allowReservedEscapes: true })
  const alg = request.confirmationAlg ?? defaultAlgorithm(publicKey)
  requireFit(alg, publicKey)
  if (shape.typ === 'wit+jwt' && subject.startsWith('spiffe://')) requireWitSvidAlgorithms(signer.alg, alg)
  const iat = Math.floor(request.now)
  const exp = iat + request.ttl
  const jwk = exportPublicJwk(publicKey, { alg })
  const claims = {
    iss: issuer,
    sub: subject,
    aud: audiences,
    exp,
    iat,
    jti: id,
    [ATTESTATION_CLAIM]: request.attested,
    [DELEGATION_CLAIM]: request.delegation,
    cnf: shape.aims ? { kid: jwkThumbprint(publicKey), jwk } : { jwk },
  }
  return { token: await signJws({ kid: signer.kid, typ: shape.typ }, claims, signer), expiresAt: exp, id }
}

function requireOptions({ profile = 'wimse', now, ttl, issuer, audiences }: WitRequest, signer: Signer): void {
  if (signer.kid === undefined || signer.kid === '') throw new TypeError('the signer needs a kid')
  if (!Number.isFinite(now) || !Number.isSafeInteger(ttl) || ttl <= 0) throw new TypeError('now and ttl are in seconds')
  if (WIT_SHAPES[profile].aims) {
    if (issuer === undefined || audiences === undefined || audiences.length === 0) {
      throw new TypeError(`profile ${profile} needs issuer and audiences`)
    }
  } else if (audiences !== undefined) throw new TypeError(`profile ${profile} has no audiences`)
}

function requireWitSvidAlgorithms(signing: JwsAlgorithm, confirmation: JwsAlgorithm): void {
  if (!SPIFFE_ALGORITHMS.has(signing)) {
    throw new AimsError('credential.unsupported_alg', 'a WIT-SVID is signed with an RSA or ECDSA algorithm')
  }
  if (!SPIFFE_ALGORITHMS.has(confirmation)) {
    throw new AimsError('credential.forbidden_confirmation_alg', 'a WIT-SVID confirms an RSA or ECDSA key')
  }
}
