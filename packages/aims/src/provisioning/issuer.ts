import type { Clock } from '../base/clock.ts'
import { AimsError } from '../base/errors.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import { exportPublicJwk, jwkThumbprint, type PublicJwk, type PublicKey, type Signer } from '../base/keys.ts'
import type { AttestedFacts } from '../credentials/attested.ts'
import { issueJwtSvid } from '../credentials/jwt-svid/issue.ts'
import type { Profile } from '../credentials/profile.ts'
import { type IssuedToken, issueWit } from '../credentials/wit/issue.ts'
import type { X509Authority } from '../credentials/x509-svid/authority.ts'
import { type IssuedX509Svid, issueX509Svid } from '../credentials/x509-svid/issue.ts'
import type { SpiffeId } from '../identifiers/spiffe-id.ts'
import { type AttestedAgent, isServedBy } from './agent-group.ts'
import type { CredentialType, RegistrationEntry } from './entry.ts'
import { issuanceChecks } from './issuance-checks.ts'
import { isMatch } from './match.ts'

/** The keys that sign for the trust domain now. Asked at every issuance, so that a rotation takes effect at once. */
export interface AuthorityKeys {
  x509(): X509Authority
  /** With `kid`. */
  jwt(): Signer
  /** With `kid`. */
  wit(): Signer
}

/** Remembers which subject a key belongs to, so that nobody gets a credential for another's key. */
export interface KeyBindings {
  /**
   * Binds a key to a subject until `expiresAt`, durably; an existing binding to the same subject is prolonged.
   *
   * @returns false when the key is bound to another subject at `now`.
   * @throws {@link AimsError} when it cannot tell or cannot remember
   */
  bind(binding: {
    readonly thumbprint: string
    readonly subject: SpiffeId
    /** Seconds since the epoch. */
    readonly expiresAt: number
    readonly now: number
  }): Promise<boolean>
}

/** A key that an `aims-00` WIT names by `cnf.kid`. */
export interface ConfirmationKey {
  readonly subject: SpiffeId
  readonly kid: string
  readonly jwk: PublicJwk
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/** The local registry in which `cnf.kid` is looked up, per subject. Written at issuance and by nobody else. */
export interface ConfirmationRegistry {
  register(key: ConfirmationKey): Promise<void>
}

/** What attestation found out, as it goes into the record. */
export interface Posture {
  /** How it was found out, e.g. `unix`. */
  readonly type: string
  readonly selectors: readonly string[]
  readonly binding?: string
}

/** Who asks for a credential, on which evidence. */
export interface IssuanceRequest {
  readonly entryId: string
  /** All selectors of the entry must be among these. */
  readonly posture: Posture
  /** The revision of the entry whose attestation and manifest policies the evidence has passed. Absent: none was appraised. */
  readonly appraisedRevision?: number
  /** What goes into the WIT about it. */
  readonly attested?: AttestedFacts
  /** The agent on another host that asks for its workload. Absent: the agent beside the server, or the workload itself. */
  readonly agent?: AttestedAgent
  /** Ties the records of one transaction together. */
  readonly correlationId: string
}

/** A request for a credential that is bound to a key of the workload. Only the public half ever comes here. */
export interface KeyedIssuanceRequest extends IssuanceRequest {
  readonly publicKey: PublicKey
}

/** What an issuer works with. */
export interface IssuerOptions {
  readonly keys: AuthorityKeys
  /** Looks up an entry as it is now. */
  findEntry(id: string): RegistrationEntry | undefined
  readonly clock: Clock
  /** Keeps the records. When it fails, nothing is issued. */
  readonly observer: Observer
  readonly bindings: KeyBindings
  readonly confirmations: ConfirmationRegistry
  /** Whether WITs of this profile may be issued now. `wimse` is asked for too. */
  isProfileEnabled(profile: Profile, now: number): boolean
  /** `iss` of `aims-00` WITs. */
  readonly issuer: string
  /** From when on credentials of a subject count, in seconds since the epoch: what is issued now must not look older. */
  notBefore?(subject: SpiffeId): number | undefined
}

/** Issues credentials to whoever matches a registration entry, and records each before it hands it out. */
export interface Issuer {
  /** @throws {@link AimsError} `provisioning.*`, `credential.key_reuse`, `key.*`, and what the observer throws */
  issueX509(request: KeyedIssuanceRequest): Promise<IssuedX509Svid>
  /** @throws {@link AimsError} as {@link issueX509}, and `credential.forbidden_confirmation_alg` */
  issueWit(request: KeyedIssuanceRequest): Promise<IssuedToken>
  /** @throws {@link AimsError} `provisioning.*`, and what the observer throws */
  issueJwt(request: IssuanceRequest & { readonly audiences: readonly string[] }): Promise<IssuedToken>
}

/**
 * Makes an issuer. At signing time it looks the entry up again and checks that it names the agent that asks, that the
 * posture shows every selector, that the entry permits the credential, and that the key belongs to no other subject (attack D11). The record is durable
 * before the credential is returned; refusals are recorded too.
 *
 * Does not attest: whoever calls it has done that, and answers for the posture.
 *
 * @see AIMS CR-1 to CR-4, PR-1; security-and-reliability L1, L8
 */
export function createIssuer(options: IssuerOptions): Issuer {
  const { keys, clock, bindings, confirmations } = options
  // At most a second ahead: what is issued in the second of a revocation is of the next one.
  const revokedUntil = (subject: SpiffeId): number => options.notBefore?.(subject) ?? 0

  const bindKey = async (publicKey: PublicKey, subject: SpiffeId, expiresAt: number, now: number): Promise<string> => {
    const thumbprint = jwkThumbprint(publicKey)
    if (!(await bindings.bind({ thumbprint, subject, expiresAt, now }))) {
      throw new AimsError('credential.key_reuse', 'the key belongs to another subject')
    }
    return thumbprint
  }

  return {
    issueX509: (request) =>
      issueAndRecord(options, 'x509-svid', request, async (entry) => {
        const { spiffeId, dnsNames } = entry
        const now = Math.floor(clock())
        const authority = keys.x509()
        const notAfter = Math.min(now + entry.x509Ttl, authority.expiresAt)
        if (notAfter <= now) throw new AimsError('provisioning.authority_expired', 'the CA certificate has expired')
        const { publicKey } = request
        const keyThumbprint = await bindKey(publicKey, spiffeId, notAfter, now)
        const notBefore = Math.max(now - BACKDATE, revokedUntil(spiffeId))
        const svid = await issueX509Svid({ spiffeId, publicKey, notBefore, notAfter, dnsNames }, authority)
        return { issued: svid, id: svid.serialNumber, facts: { expiresAt: svid.notAfter, keyThumbprint } }
      }),

    issueWit: (request) =>
      issueAndRecord(options, 'wit', request, async (entry) => {
        const { spiffeId: subject, profile, witTtl: ttl, audiences } = entry
        const now = Math.max(clock(), revokedUntil(subject))
        if (!options.isProfileEnabled(profile, now)) {
          throw new AimsError('provisioning.profile_disabled', `profile ${profile} is not enabled`)
        }
        const { publicKey, attested } = request
        // To the end of the WIT: a fraction more would be a write for every WIT of the same second.
        const keyThumbprint = await bindKey(publicKey, subject, Math.floor(now) + ttl, now)
        const aims00 = profile === 'aims-00' ? { issuer: options.issuer, audiences } : {}
        const wit = await issueWit(
          { subject, publicKey, now, ttl, profile, ...aims00, ...(attested === undefined ? {} : { attested }) },
          keys.wit(),
        )
        if (profile === 'aims-00') {
          const jwk = exportPublicJwk(publicKey)
          await confirmations.register({ subject, kid: keyThumbprint, jwk, expiresAt: wit.expiresAt })
        }
        return { issued: wit, id: wit.id, facts: { expiresAt: wit.expiresAt, keyThumbprint, profile } }
      }),

    issueJwt: (request) =>
      issueAndRecord(options, 'jwt-svid', request, async (entry) => {
        const { audiences } = request
        if (audiences.length === 0 || audiences.includes('')) {
          throw new AimsError('provisioning.missing_audience', 'a JWT-SVID is for somebody')
        }
        const { spiffeId: subject, jwtTtl: ttl } = entry
        const now = Math.max(clock(), revokedUntil(subject))
        const svid = await issueJwtSvid({ subject, audiences, now, ttl }, keys.jwt())
        return { issued: svid, id: svid.id, facts: { expiresAt: svid.expiresAt, audiences: audiences.join(' ') } }
      }),
  }
}

// Clocks of verifiers may be a little behind.
const BACKDATE = 10

interface Signed<T> {
  readonly issued: T
  /** Serial number or `jti`. */
  readonly id: string
  readonly facts: { readonly [name: string]: string | number }
}

// The one way out for a credential: through the record.
async function issueAndRecord<T>(
  options: IssuerOptions,
  type: CredentialType,
  request: IssuanceRequest,
  sign: (entry: RegistrationEntry) => Promise<Signed<T>>,
): Promise<T> {
  const { observer } = options
  const found = options.findEntry(request.entryId)
  let signed: Signed<T>
  let event: AuditEvent
  try {
    const entry = requireEntitled(found, type, request)
    signed = await sign(entry)
    event = issuance(type, request, entry, signed)
  } catch (error) {
    if (AimsError.is(error)) await observer.record(refusal(type, request, found, error))
    throw error
  }
  await observer.record(event)
  return signed.issued
}

function requireEntitled(
  entry: RegistrationEntry | undefined,
  type: CredentialType,
  { posture: { selectors }, appraisedRevision, agent }: IssuanceRequest,
): RegistrationEntry {
  if (entry === undefined) throw new AimsError('provisioning.entry_not_found', 'no entry has this id')
  // An agent hears nothing of entries that are not its own, not even that they exist.
  if (agent !== undefined && !isServedBy(entry, agent)) {
    throw new AimsError('provisioning.entry_not_found', 'no entry of this agent has this id')
  }
  if (agent === undefined && entry.agents !== undefined) {
    throw new AimsError('provisioning.not_entitled', 'the entry is for workloads of the agents that it names')
  }
  if (!isMatch(entry, new Set(selectors))) {
    throw new AimsError('provisioning.not_entitled', 'the workload does not show all selectors of the entry')
  }
  const needsEvidence = entry.attestation !== undefined || entry.manifest !== undefined
  if (needsEvidence && appraisedRevision !== entry.revision) {
    throw new AimsError('provisioning.not_entitled', 'the entry asks for evidence that was not appraised for it')
  }
  if (!entry.credentialTypes.includes(type)) {
    throw new AimsError('provisioning.not_entitled', `the entry does not permit credentials of type ${type}`)
  }
  return entry
}

function viaOf(agent: AttestedAgent | undefined): { readonly via?: string } {
  return agent === undefined ? {} : { via: agent.spiffeId }
}

function issuance(
  type: CredentialType,
  { entryId, posture, correlationId, agent }: IssuanceRequest,
  entry: RegistrationEntry,
  { id, facts }: Signed<unknown>,
): AuditEvent {
  return {
    type: 'provisioning.issued',
    agent: { id: entry.spiffeId, credential: { type, id } },
    resource: { type: 'credential', id: type },
    action: 'issue',
    decision: 'allow',
    correlationId,
    posture,
    details: { entry: entryId, revision: entry.revision, ...facts, ...viaOf(agent) },
  }
}

function refusal(
  type: CredentialType,
  request: IssuanceRequest,
  entry: RegistrationEntry | undefined,
  { code }: AimsError,
): AuditEvent {
  const { entryId, posture, correlationId, agent } = request
  return {
    type: 'provisioning.refused',
    ...(entry === undefined ? {} : { agent: { id: entry.spiffeId } }),
    resource: { type: 'credential', id: type },
    action: 'issue',
    decision: 'deny',
    reasons: [code],
    checks: issuanceChecks(type, request, entry, code),
    correlationId,
    posture,
    details: { entry: entryId, ...viaOf(agent) },
  }
}
