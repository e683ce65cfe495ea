import { AimsError, type ApiClient, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import type { AuditRecord } from 'aims/monitoring'
import type { FederationRelationship, PlannedChange, RegistrationEntry } from 'aims/provisioning'
import type { RelationshipStatus } from './federation/federation.ts'
import type { AuthorityPurpose, KeyInfo } from './keys/authority-types.ts'
import type { PlanRequest, ServerPlan } from './registration/planning.ts'

/** What an entry may say when it is registered; the rest gets defaults. */
export type EntryInput = Partial<Omit<RegistrationEntry, 'spiffeId'>> &
  Pick<RegistrationEntry, 'selectors'> & { readonly spiffeId: string }

/** A relationship with another trust domain as it is set; see `parseFederationRelationship`. */
export type RelationshipInput = Partial<Omit<FederationRelationship, 'trustDomain' | 'endpointSpiffeId'>> &
  Pick<FederationRelationship, 'url' | 'profile'> & { readonly endpointSpiffeId?: string }

// The server waits for an endpoint that long, and for a fetch under way before.
const FETCH_TIMEOUT = 70_000

/** Which records are wanted, newest first. */
export interface RecordQuery {
  readonly type?: string
  readonly agent?: string
  readonly correlationId?: string
  readonly decision?: 'allow' | 'deny' | 'none'
  readonly before?: number
  readonly limit?: number
}

/** A record with all an outsider needs to check that the log has it. */
export interface ProvenRecord {
  readonly record: AuditRecord
  /** What the log hashes. */
  readonly bytes: Uint8Array
  /** Text in the form of C2SP tlog-proof. */
  readonly receipt: string
  readonly vkey: string
}

/** One page of the log. */
export interface ExportedRecords {
  /** Where the next page begins. */
  readonly next: number
  /** Records in the log altogether. */
  readonly size: number
  readonly records: readonly Uint8Array[]
}

/** State of a server, for people. */
export interface ServerStatus {
  readonly version: string
  readonly trustDomain: string
  readonly profiles: readonly string[]
  readonly entries: number
  readonly policySet: string | null
  readonly keys: readonly KeyInfo[]
  readonly log: {
    readonly origin: string
    readonly vkey: string
    readonly size: number
    /** The newest signed checkpoint. */
    readonly checkpoint: string
  }
}

/** One step in the life of an authority. */
export type AuthorityStep =
  | { readonly step: 'prepare'; readonly purpose: AuthorityPurpose }
  | { readonly step: 'activate'; readonly purpose: AuthorityPurpose; readonly force?: boolean }
  | { readonly step: 'taint' | 'revoke'; readonly purpose: AuthorityPurpose; readonly id: string }

/** A change of an entry that was made. */
export interface AppliedChange {
  readonly action: 'create' | 'update' | 'delete'
  readonly id: string
  readonly spiffeId: string
  readonly revision: number
}

/** Milliseconds. Some thousand records are made durable. */
const PLAN_TIMEOUT = 60_000
// A key manager or a server above may have to be waited for: what it says is worth more than that nobody answered.
const STEP_TIMEOUT = 60_000

/** What an operator does, over the API of a running server. Refusals are {@link AimsError} with the server's code. */
export interface AdminClient {
  status(): Promise<ServerStatus>
  listEntries(): Promise<readonly RegistrationEntry[]>
  showEntry(id: string): Promise<RegistrationEntry>
  createEntry(entry: EntryInput, options?: { readonly reuseRetired?: boolean }): Promise<RegistrationEntry>
  /** @param revision - the revision that the caller has seen */
  updateEntry(id: string, entry: EntryInput, revision: number): Promise<RegistrationEntry>
  deleteEntry(id: string): Promise<void>
  /** Says what would change if these entries were wanted. */
  planEntries(request: PlanRequest): Promise<ServerPlan>
  /** Does all changes of a plan, or none. */
  applyEntries(
    changes: readonly (PlannedChange | JsonObject)[],
    options?: { readonly reuseRetired?: boolean },
  ): Promise<readonly AppliedChange[]>
  /** The SPIFFE bundle as JSON text. */
  bundle(options?: { readonly includeWit?: boolean }): Promise<JsonObject>
  /** The bundles of all trust domains as a SPIFFE bundle map, JSON. */
  bundleMap(): Promise<JsonObject>
  listRelationships(): Promise<readonly RelationshipStatus[]>
  showRelationship(trustDomain: string): Promise<RelationshipStatus>
  /** Begins a relationship, or puts another one in its place. */
  setRelationship(trustDomain: string, relationship: RelationshipInput): Promise<RelationshipStatus>
  endRelationship(trustDomain: string): Promise<void>
  /** Fetches now; how it went is in `lastError`. */
  refreshRelationship(trustDomain: string, options?: { readonly acceptRollback?: boolean }): Promise<RelationshipStatus>
  /** The bundle of another trust domain as JSON text. */
  federatedBundle(trustDomain: string): Promise<JsonObject>
  /** Takes a bundle, as text, for a relationship that is there. */
  importBundle(trustDomain: string, bundle: string): Promise<RelationshipStatus>
  listKeys(): Promise<readonly KeyInfo[]>
  rotate(purpose: AuthorityPurpose, options?: { readonly immediately?: boolean }): Promise<readonly KeyInfo[]>
  /** Orders one step of an authority: prepare, activate, taint or revoke. */
  stepAuthority(step: AuthorityStep): Promise<KeyInfo>
  listRecords(query?: RecordQuery): Promise<readonly AuditRecord[]>
  proveRecord(index: number): Promise<ProvenRecord>
  exportRecords(from: number): Promise<ExportedRecords>
  /** Forgets what was attested for a SPIFFE ID: its next attestation is a first one. Returns how many machines. */
  forgetAttested(spiffeId: string): Promise<number>
  /** Asks the policies; the question and the answer are recorded. */
  decide(question: JsonObject): Promise<JsonObject>
}

/**
 * Makes a client for operators on the API of a server. The members of answers are those of this version's server; they
 * are not checked one by one.
 */
export function adminClient(api: ApiClient): AdminClient {
  const get = async (path: string): Promise<JsonObject> => object(await api.send({ method: 'GET', path }))
  const id = (text: string): string => encodeURIComponent(text)
  return {
    status: async () => as<ServerStatus>(await get('/v1/status')),
    listEntries: async () => as<readonly RegistrationEntry[]>((await get('/v1/entries')).entries),
    showEntry: async (one) => as<RegistrationEntry>(await get(`/v1/entries/${id(one)}`)),
    createEntry: async (body, { reuseRetired = false } = {}) => {
      const path = reuseRetired ? '/v1/entries?reuseRetired=true' : '/v1/entries'
      return as<RegistrationEntry>(await api.send({ method: 'POST', path, body }))
    },
    updateEntry: async (one, body, revision) => {
      const path = `/v1/entries/${id(one)}?revision=${revision}`
      return as<RegistrationEntry>(await api.send({ method: 'PUT', path, body }))
    },
    deleteEntry: async (one) => {
      await api.send({ method: 'DELETE', path: `/v1/entries/${id(one)}` })
    },
    planEntries: async (body) =>
      as<ServerPlan>(await api.send({ method: 'POST', path: '/v1/entry-plans', body, timeout: PLAN_TIMEOUT })),
    applyEntries: async (changes, { reuseRetired = false } = {}) => {
      const request = { method: 'POST', path: '/v1/entry-changes', timeout: PLAN_TIMEOUT } as const
      return as<readonly AppliedChange[]>(
        object(await api.send({ ...request, body: { changes, reuseRetired } })).applied,
      )
    },
    bundle: ({ includeWit = false } = {}) => get(includeWit ? '/v1/bundle?include=wit-svid' : '/v1/bundle'),
    bundleMap: () => get('/v1/bundle-map'),
    listRelationships: async () => as<readonly RelationshipStatus[]>((await get('/v1/federation')).relationships),
    showRelationship: async (one) => as<RelationshipStatus>(await get(`/v1/federation/${id(one)}`)),
    setRelationship: async (one, body) =>
      as<RelationshipStatus>(await api.send({ method: 'PUT', path: `/v1/federation/${id(one)}`, body })),
    endRelationship: async (one) => {
      await api.send({ method: 'DELETE', path: `/v1/federation/${id(one)}` })
    },
    refreshRelationship: async (one, { acceptRollback = false } = {}) => {
      const path = `/v1/federation/${id(one)}/refresh${acceptRollback ? '?acceptRollback=true' : ''}`
      return as<RelationshipStatus>(await api.send({ method: 'POST', path, timeout: FETCH_TIMEOUT }))
    },
    federatedBundle: (one) => get(`/v1/federation/${id(one)}/bundle`),
    importBundle: async (one, bundle) =>
      as<RelationshipStatus>(
        await api.send({ method: 'PUT', path: `/v1/federation/${id(one)}/bundle`, body: { bundle } }),
      ),
    listKeys: async () => as<readonly KeyInfo[]>((await get('/v1/keys')).keys),
    rotate: async (purpose, { immediately = false } = {}) => {
      const body = { purpose, immediately }
      const answer = await api.send({ method: 'POST', path: '/v1/keys/rotate', body, timeout: STEP_TIMEOUT })
      return as<readonly KeyInfo[]>(object(answer).keys)
    },
    stepAuthority: async ({ step, ...body }) =>
      as<KeyInfo>(
        object(await api.send({ method: 'POST', path: `/v1/keys/${step}`, body, timeout: STEP_TIMEOUT })).key,
      ),
    listRecords: async (query = {}) => {
      const parameters = new URLSearchParams(
        Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
      )
      return as<readonly AuditRecord[]>((await get(`/v1/audit/records?${parameters}`)).records)
    },
    proveRecord: async (index) => {
      const { bytes, ...rest } = await get(`/v1/audit/records/${index}`)
      return { ...as<Omit<ProvenRecord, 'bytes'>>(rest), bytes: Buffer.from(String(bytes), 'base64') }
    },
    exportRecords: async (from) => {
      const page = await get(`/v1/audit/export?from=${from}`)
      const records = as<readonly { readonly bytes: string }[]>(page.records)
      return {
        next: Number(page.next),
        size: Number(page.size),
        records: records.map(({ bytes }) => Buffer.from(bytes, 'base64')),
      }
    },
    forgetAttested: async (spiffeId) => {
      const answer = await api.send({ method: 'POST', path: '/v1/attestation/forget', body: { spiffeId } })
      return as<number>(object(answer).forgotten)
    },
    decide: async (body) => object(await api.send({ method: 'POST', path: '/v1/decisions', body })),
  }
}

function object(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw new AimsError('operation.invalid_response', 'the server sent no JSON object')
  return value
}

// The one place where the answers of our own server are believed to be what this version's server gives.
function as<T>(value: JsonValue | undefined): T {
  if (value === undefined) throw new AimsError('operation.invalid_response', 'the answer lacks a member')
  return value as T
}
