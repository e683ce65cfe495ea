import {
  type EvidenceVerifiers,
  findUnixSelectorProblem,
  readAppraisalPolicy,
  readManifestPolicy,
} from 'aims/attestation'
import { AimsError, type JsonValue } from 'aims/base'
import { ancestorsOf, pathOf, type SpiffeId, type TrustDomain } from 'aims/identifiers'
import { parseEntry, type RegistrationEntry, requireAgentRules, type TtlRules } from 'aims/provisioning'
import type { Actor } from '../entries.ts'
import type { EntryStore } from '../store/entry-store.ts'
import { type Delegations, delegatedTtls, isDelegated, requireDelegated } from './delegation.ts'

/** What a server demands of entries. */
export interface EntryDemands {
  readonly trustDomain: TrustDomain
  readonly ttls: TtlRules
  /** Paths below which agents are. */
  readonly agentPrefixes: readonly string[]
  /** Who may register what, beside administrators. */
  readonly delegations: Delegations
  /** Who reads the appraisal policies of entries. */
  readonly verifiers: EvidenceVerifiers
}

/** SPIFFE IDs below this path are the system's own: nobody is registered there. */
const RESERVED_PATH = '/aims/'

/**
 * Reads an entry that somebody wants to register and refuses what this server, or the caller's delegation, does not take.
 * Does not look at what is registered.
 *
 * @param id - Of an entry that names none.
 * @throws {@link AimsError} `provisioning.*`, `attestation.*`
 */
export function readWantedEntry(input: JsonValue, id: string, actor: Actor, demands: EntryDemands): RegistrationEntry {
  const { trustDomain, delegations, verifiers } = demands
  const { delegation } = actor
  const entry = parseEntry(input, { trustDomain, ttls: delegatedTtls(demands.ttls, delegation), id })
  if (delegation !== undefined) requireDelegated(entry, delegation, delegations)
  if (pathOf(entry.spiffeId).startsWith(RESERVED_PATH)) {
    throw new AimsError('provisioning.invalid_subject', `SPIFFE IDs below ${RESERVED_PATH} belong to AIMS itself`)
  }
  requireShowable(entry)
  requireAgentRules(entry, demands.agentPrefixes)
  requireReadable(entry, verifiers)
  return entry
}

/** Refuses an entry whose id or SPIFFE ID is not free. @throws {@link AimsError} `provisioning.*` */
export function requireFree(
  store: EntryStore,
  entry: RegistrationEntry,
  { reuseRetired, isAlive }: { readonly reuseRetired: boolean; readonly isAlive: (spiffeId: SpiffeId) => boolean },
): void {
  if (store.isIdUsed(entry.id)) throw new AimsError('provisioning.entry_exists', 'the id is, or was, in use')
  if (store.findBySubject(entry.spiffeId) !== undefined) {
    throw new AimsError('provisioning.subject_taken', 'another entry has this SPIFFE ID')
  }
  // Its agent might give the same SPIFFE ID to a sub-agent.
  if (ancestorsOf(entry.spiffeId).some((id) => store.findBySubject(id as SpiffeId)?.subAgents !== undefined)) {
    throw new AimsError('provisioning.subject_taken', 'an agent gives the SPIFFE IDs there to its sub-agents')
  }
  if (!reuseRetired && isNameRetired(store, entry.spiffeId)) {
    throw new AimsError('provisioning.subject_retired', 'a deleted entry, or a sub-agent of one, had this SPIFFE ID')
  }
  // Its agent may not have any more, and this one still lives.
  if (!reuseRetired && isAlive(entry.spiffeId)) {
    throw new AimsError(
      'provisioning.subject_taken',
      'a sub-agent of this name, or below it, lives: wait until it has ended',
    )
  }
}

/** True for the SPIFFE ID of a deleted entry, and for those that it could give to sub-agents (AIMS ID-4). */
export function isNameRetired(store: Pick<EntryStore, 'isRetired'>, spiffeId: SpiffeId): boolean {
  return [spiffeId, ...ancestorsOf(spiffeId)].some((id) => store.isRetired(id as SpiffeId))
}

/** True when a caller may see an entry and change it: an administrator every one. */
export function isOpenTo(entry: RegistrationEntry, { delegation }: Actor, delegations: Delegations): boolean {
  return delegation === undefined || isDelegated(entry, delegation, delegations)
}

// Here and not in the parser: an entry that is stored already is read as it is, and matches nobody.
function requireShowable({ selectors }: RegistrationEntry): void {
  for (const selector of selectors) {
    const problem = findUnixSelectorProblem(selector)
    if (problem !== undefined) throw new AimsError('provisioning.malformed_selector', problem)
  }
}

// A policy that nobody can read would refuse everybody when it is too late to ask.
function requireReadable({ attestation, manifest }: RegistrationEntry, verifiers: EvidenceVerifiers): void {
  if (attestation !== undefined) readAppraisalPolicy(attestation, verifiers)
  if (manifest !== undefined) readManifestPolicy(manifest)
}
