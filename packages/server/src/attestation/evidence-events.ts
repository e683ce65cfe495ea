import type { AcceptedManifest, Appraisal } from 'aims/attestation'
import type { AimsError, AuditEvent } from 'aims/base'
import type { Posture, RegistrationEntry } from 'aims/provisioning'
import { isChallengeId } from './challenges.ts'

/** What was accepted, as its record tells it. */
export interface AcceptedEvidence {
  readonly entry: RegistrationEntry
  readonly appraisal: Appraisal
  readonly manifest: AcceptedManifest | undefined
}

/** The evidence as it goes into every record of its issuance. */
export function postureOf({ results, selectors }: Appraisal): Posture {
  return {
    type: results.map(({ type }) => type).join('+'),
    selectors,
    binding: results.map(({ binding }) => binding).join('+'),
  }
}

export function succeeded({ entry, appraisal, manifest }: AcceptedEvidence, correlationId: string): AuditEvent {
  const { results, assurance } = appraisal
  return {
    type: 'attestation.succeeded',
    agent: { id: entry.spiffeId },
    resource: { type: 'entry', id: entry.id },
    action: 'attest',
    decision: 'allow',
    correlationId,
    posture: postureOf(appraisal),
    details: {
      assurance,
      revision: entry.revision,
      warnings: results.reduce((sum, { warnings }) => sum + warnings.length, 0),
      ...(manifest === undefined ? {} : { manifest: manifest.hash }),
    },
  }
}

export function refused(
  { evidence, challengeId }: { readonly evidence: readonly { readonly type: string }[]; readonly challengeId: string },
  entry: RegistrationEntry | undefined,
  { code }: AimsError,
  correlationId: string,
): AuditEvent {
  return {
    type: 'attestation.refused',
    ...(entry === undefined ? {} : { agent: { id: entry.spiffeId } }),
    resource: { type: 'challenge', id: isChallengeId(challengeId) ? challengeId : 'unknown' },
    action: 'attest',
    decision: 'deny',
    reasons: [code],
    correlationId,
    details: { types: evidence.map(({ type }) => type).join(' ') || 'none' },
  }
}

export function lowered(
  { spiffeId, id }: { readonly spiffeId: string; readonly id: string },
  before: string,
  after: string,
  correlationId: string,
): AuditEvent {
  return {
    type: 'attestation.assurance-lowered',
    agent: { id: spiffeId },
    resource: { type: 'entry', id },
    action: 'attest',
    decision: 'deny',
    reasons: ['attestation.assurance_lowered'],
    correlationId,
    details: { before, after },
  }
}

export function narrowed({ spiffeId, id }: RegistrationEntry, dropped: number, correlationId: string): AuditEvent {
  return {
    type: 'attestation.manifest-narrowed',
    agent: { id: spiffeId },
    resource: { type: 'entry', id },
    action: 'attest',
    decision: 'allow',
    correlationId,
    remediation: { action: 'narrow', cause: 'attestation.measurement_mismatch' },
    details: { dropped },
  }
}
