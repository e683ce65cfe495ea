import {
  type AcceptedManifest,
  type Appraisal,
  type Authenticated,
  appraise,
  appraiseManifest,
  type EvidenceVerifiers,
  readAppraisalPolicy,
  readManifestPolicy,
  requireBoundManifest,
  verifyManifest,
} from 'aims/attestation'
import { AimsError, type Clock, type KeyToCertify, type Observer } from 'aims/base'
import type { AttestedFacts } from 'aims/credentials'
import {
  CREDENTIAL_TYPES,
  type CredentialType,
  type Issuer,
  type KeyedIssuanceRequest,
  type RegistrationEntry,
} from 'aims/provisioning'
import type { Instance, LiveInstances } from '../registration/live-instances.ts'
import type { AttestedThings } from '../store/attested-things.ts'
import { type AcceptedEvidence, narrowed, postureOf, refused, succeeded } from './evidence-events.ts'
import type { EvidenceSession, ShownEvidence } from './evidence-session.ts'
import { firstUse } from './first-use.ts'

/** What a workload shows, and what it wants for it. */
export interface EvidenceRequest extends ShownEvidence {
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
  /** @throws {@link AimsError} `attestation.*`, `provisioning.*`, `credential.*`, and what the observer throws */
  issue(request: EvidenceRequest, correlationId: string): Promise<EvidenceCredentials>
}

/** What it works with. */
export interface EvidenceIssuanceOptions {
  readonly session: EvidenceSession
  readonly verifiers: EvidenceVerifiers
  readonly things: AttestedThings
  readonly issuer: Issuer
  readonly clock: Clock
  readonly observer: Observer
  readonly live: LiveInstances
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
  const { session, verifiers, things, issuer, clock, observer, live } = options

  const choose = (evidence: readonly Authenticated[], spiffeId: string | undefined): RegistrationEntry => {
    const shown = evidence.flatMap(({ result }) => result.selectors)
    const fitting = options.matchEntries(shown).filter(
      (entry) =>
        // An entry that names agents is for their workloads alone.
        entry.agents === undefined && (spiffeId === undefined || entry.spiffeId === spiffeId),
    )
    const [entry, second] = fitting
    if (entry === undefined) throw new AimsError('provisioning.no_identity', 'no entry fits the evidence')
    if (second !== undefined) throw new AimsError('provisioning.ambiguous_identity', 'several entries fit the evidence')
    return entry
  }

  return {
    async issue(request, correlationId) {
      const now = clock()
      let chosen: RegistrationEntry | undefined
      let accepted: Accepted
      try {
        const proven = await session.prove(request, 'workload', now)
        const entry = choose(proven.evidence, proven.spiffeId)
        chosen = entry
        const appraisal = appraise(proven.evidence, readAppraisalPolicy(entry.attestation ?? {}, verifiers), verifiers)
        const manifest = manifestFor(entry, request.manifest, appraisal, now)
        const remember = await firstUse(proven, entry, appraisal, { things, observer, now, correlationId })
        const instance = { name: proven.thumbprint, previous: proven.previous }
        accepted = { entry, key: proven.key, appraisal, manifest, instance }
        await observer.record(succeeded(accepted, correlationId))
        await remember()
      } catch (error) {
        if (AimsError.is(error)) await observer.record(refused(request, chosen, error, correlationId))
        throw error
      }
      if (accepted.manifest !== undefined && accepted.manifest.dropped.length > 0) {
        await observer.record(narrowed(accepted.entry, accepted.manifest.dropped.length, correlationId))
      }
      const credentials = await issueAll(issuer, accepted, request, correlationId)
      const { x509, wit, jwt } = credentials
      const expiresAt = Math.max(now, x509?.notAfter ?? 0, wit?.expiresAt ?? 0, jwt?.expiresAt ?? 0)
      await live.note(accepted.entry, accepted.instance, { now, expiresAt }, correlationId)
      return credentials
    },
  }
}

interface Accepted extends AcceptedEvidence {
  readonly key: KeyToCertify
  readonly instance: Instance
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
    publicKey: key,
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

function manifestFor(
  { manifest: policy }: RegistrationEntry,
  token: string | undefined,
  { results }: Appraisal,
  now: number,
): AcceptedManifest | undefined {
  // Nobody vouches for a manifest that the entry does not ask for: it is not carried on.
  if (policy === undefined) return undefined
  if (token === undefined) throw new AimsError('attestation.not_enough', 'the entry asks for a manifest')
  const rules = readManifestPolicy(policy)
  requireBoundManifest(results, rules)
  return appraiseManifest(verifyManifest(token, { launchers: rules.launchers, now }), rules)
}

function factsOf({ appraisal, manifest }: Accepted): AttestedFacts {
  const facts = { assurance: appraisal.assurance, types: appraisal.results.map(({ type }) => type) }
  if (manifest === undefined) return facts
  const { hash, model, tools, mcpServers } = manifest
  return { ...facts, manifest: { hash, ...(model === undefined ? {} : { model }), tools, mcpServers } }
}
