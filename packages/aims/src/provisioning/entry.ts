import { AimsError, refuseAs } from '../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts'
import { PROFILES, type Profile } from '../credentials/profile.ts'
import { parseWorkloadSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from '../identifiers/spiffe-id.ts'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { type AgentGroup, isAgentGroup } from './agent-group.ts'
import { isSelector } from './selector.ts'
import { parseSubAgentLimits, type SubAgentLimits } from './sub-agents/limits.ts'

/** The kinds of credential an entry can permit. */
export type CredentialType = 'x509-svid' | 'jwt-svid' | 'wit'

/** All credential types, in the order they are shown. */
export const CREDENTIAL_TYPES: readonly CredentialType[] = ['x509-svid', 'jwt-svid', 'wit']

/** Says which workload gets which identity: whoever shows all `selectors` is `spiffeId`. */
export interface RegistrationEntry {
  readonly id: string
  readonly spiffeId: SpiffeId
  /** At least one; all must be present (AND). */
  readonly selectors: readonly string[]
  readonly credentialTypes: readonly CredentialType[]
  /** The shape of this identity's WITs. Default `wimse`. */
  readonly profile: Profile
  /** `aims-00` WITs only: the value of `aud`. */
  readonly audiences: readonly string[]
  /** Seconds. */
  readonly x509Ttl: number
  readonly jwtTtl: number
  readonly witTtl: number
  /** DNS names to put beside the URI SAN, for TLS servers. */
  readonly dnsNames: readonly string[]
  /** Operator's hint to a workload with several identities, unique per workload. */
  readonly hint: string
  /** Who answers for this agent: a person or team. */
  readonly owner: string
  /** What this agent is for, in words. */
  readonly purpose: string
  /** Several workloads at a time are meant to have this identity: their selectors may tell a class, not one of them. */
  readonly shared: boolean
  /** May use the administration API. */
  readonly admin: boolean
  /** Is an identity server below this one: may have its CA certified and its token keys published. Absent: not. */
  readonly downstream?: true
  /** Trust domains whose bundles the workload gets beside its own. Where there is no relationship it gets none. */
  readonly federatesWith: readonly TrustDomain[]
  /** What evidence must show beyond the selectors: an appraisal policy, read by the server's verifiers. */
  readonly attestation?: JsonObject
  /** What the manifest of the agent must show. Then credentials are issued to whoever presents one that does. */
  readonly manifest?: JsonObject
  /** Which agents on other hosts may serve it. Absent: the agent beside the server, and nobody else. */
  readonly agents?: readonly AgentGroup[]
  /** Which sub-agents it may have. Absent: none. */
  readonly subAgents?: SubAgentLimits
  /** Grows with every change of the entry. */
  readonly revision: number
}

/** Lifetime of one kind of credential, in seconds: for entries that name none, and the most an entry may ask for. */
export interface TtlRule {
  readonly default: number
  readonly max: number
}

/** Lifetimes per credential type. */
export interface TtlRules {
  readonly x509: TtlRule
  readonly jwt: TtlRule
  readonly wit: TtlRule
}

/** X.509-SVID and WIT one hour, at most a day; JWT-SVID five minutes, at most an hour (CR-3). */
export const DEFAULT_TTLS: TtlRules = {
  x509: { default: 3600, max: 86_400 },
  jwt: { default: 300, max: 3600 },
  wit: { default: 3600, max: 86_400 },
}

/** What {@link parseEntry} needs to know besides the entry. */
export interface EntryRules {
  /** Entries are for identities of this trust domain only. */
  readonly trustDomain: TrustDomain
  /** Default {@link DEFAULT_TTLS}. */
  readonly ttls?: TtlRules
  /** The id of an entry that names none. Without it, `id` is mandatory. */
  readonly id?: string
}

/**
 * Reads a registration entry, e.g. `{"spiffeId":"spiffe://example.com/agent/bot","selectors":["unix:uid:1000"]}`.
 *
 * Everything but `spiffeId` and `selectors` has a default. Unknown members are refused: a misspelt restriction must not
 * be silently absent. Does not check that id, SPIFFE ID or hint are unique: the store does.
 *
 * @throws {@link AimsError} `provisioning.malformed_entry`, `.unknown_member`, `.missing_member`, `.malformed_selector`,
 *   `.no_selectors`, `.invalid_subject`, `.ttl_out_of_range`, `.missing_audience`
 */
export function parseEntry(input: JsonValue, rules: EntryRules): RegistrationEntry {
  if (!isJsonObject(input)) throw malformed('an entry is a JSON object')
  for (const name of Object.keys(input)) {
    if (!MEMBERS.has(name))
      throw new AimsError('provisioning.unknown_member', `no member ${JSON.stringify(name.slice(0, 64))}`)
  }
  const { ttls = DEFAULT_TTLS } = rules
  const entry: RegistrationEntry = {
    id: entryId(input.id ?? rules.id),
    spiffeId: subject(input.spiffeId, rules.trustDomain),
    selectors: selectors(input.selectors),
    credentialTypes: oneOrMoreOf('credentialTypes', input.credentialTypes, CREDENTIAL_TYPES),
    profile: oneOrMoreOf('profile', [input.profile ?? 'wimse'], PROFILES)[0] ?? 'wimse',
    audiences: texts('audiences', input.audiences, MAX_AUDIENCE),
    x509Ttl: ttl('x509Ttl', input.x509Ttl, ttls.x509),
    jwtTtl: ttl('jwtTtl', input.jwtTtl, ttls.jwt),
    witTtl: ttl('witTtl', input.witTtl, ttls.wit),
    dnsNames: dnsNames(input.dnsNames),
    hint: text('hint', input.hint ?? '', MAX_HINT),
    owner: text('owner', input.owner ?? '', 256),
    purpose: text('purpose', input.purpose ?? '', 1024),
    shared: flag('shared', input.shared ?? false),
    admin: flag('admin', input.admin ?? false),
    ...(flag('downstream', input.downstream ?? false) ? { downstream: true } : {}),
    federatesWith: foreignDomains(input.federatesWith, rules.trustDomain),
    ...optionalObject('attestation', input.attestation),
    ...optionalObject('manifest', input.manifest),
    ...optionalAgents(input.agents),
    ...(input.subAgents === undefined ? {} : { subAgents: parseSubAgentLimits(input.subAgents) }),
    revision: positive('revision', input.revision ?? 1),
  }
  if (entry.profile === 'aims-00' && entry.credentialTypes.includes('wit') && entry.audiences.length === 0) {
    throw new AimsError('provisioning.missing_audience', 'WITs of profile aims-00 name their audiences')
  }
  return entry
}

const MEMBERS: ReadonlySet<string> = new Set<keyof RegistrationEntry>([
  'id',
  'spiffeId',
  'selectors',
  'credentialTypes',
  'profile',
  'audiences',
  'x509Ttl',
  'jwtTtl',
  'witTtl',
  'dnsNames',
  'hint',
  'owner',
  'purpose',
  'shared',
  'admin',
  'downstream',
  'federatesWith',
  'attestation',
  'manifest',
  'agents',
  'subAgents',
  'revision',
])

const MAX_LIST = 64
const MAX_AUDIENCE = 2048
// Workload API: hints should not exceed 1024 bytes.
const MAX_HINT = 1024
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const DNS_NAME = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

function subject(value: JsonValue | undefined, trustDomain: TrustDomain): SpiffeId {
  if (value === undefined) throw new AimsError('provisioning.missing_member', 'spiffeId is missing')
  if (typeof value !== 'string') throw malformed('spiffeId is a string')
  const id = refuseAs('provisioning.invalid_subject', 'spiffeId is not the well-formed SPIFFE ID of a workload', () =>
    parseWorkloadSpiffeId(value),
  )
  if (trustDomainOf(id) !== trustDomain) {
    throw new AimsError('provisioning.invalid_subject', 'spiffeId is in another trust domain')
  }
  return id
}

function entryId(value: JsonValue | undefined): string {
  if (value === undefined) throw new AimsError('provisioning.missing_member', 'id is missing')
  if (typeof value !== 'string' || !ID.test(value)) {
    throw malformed('id has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit')
  }
  return value
}

function selectors(value: JsonValue | undefined): readonly string[] {
  if (value === undefined) throw new AimsError('provisioning.missing_member', 'selectors is missing')
  const list = texts('selectors', value, 2048)
  if (list.length === 0) throw new AimsError('provisioning.no_selectors', 'selectors is empty')
  if (!list.every(isSelector)) throw new AimsError('provisioning.malformed_selector', 'a selector is type:key:value')
  return list
}

function optionalAgents(value: JsonValue | undefined): { readonly agents?: readonly AgentGroup[] } {
  if (value === undefined) return {}
  // Nobody is not a group: an entry for nobody is a mistake.
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_LIST || !value.every(isAgentGroup)) {
    throw malformed(`agents: 1 to ${MAX_LIST} of: the SPIFFE ID of an agent, or a list of selectors that it must show`)
  }
  return { agents: value }
}

function dnsNames(value: JsonValue | undefined): readonly string[] {
  const names = texts('dnsNames', value, 253)
  // A name of digits only would read as an address.
  if (!names.every((name) => DNS_NAME.test(name) && /[a-z]/.test(name))) {
    throw malformed('dnsNames are lower-case host names without wildcards')
  }
  return names
}

function oneOrMoreOf<T extends string>(
  name: string,
  value: JsonValue | undefined,
  allowed: readonly T[],
): readonly T[] {
  if (value === undefined) return allowed
  const list = texts(name, value, 64)
  const chosen = allowed.filter((one) => list.includes(one))
  if (list.length === 0 || chosen.length !== list.length) throw malformed(`${name}: one of ${allowed.join(', ')}`)
  return chosen
}

function ttl(name: string, value: JsonValue | undefined, rule: TtlRule): number {
  if (value === undefined) return rule.default
  const seconds = positive(name, value)
  if (seconds > rule.max) throw new AimsError('provisioning.ttl_out_of_range', `${name} is at most ${rule.max} s here`)
  return seconds
}

function positive(name: string, value: JsonValue): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw malformed(`${name} is an integer`)
  if (value < 1) {
    const code = name === 'revision' ? 'provisioning.malformed_entry' : 'provisioning.ttl_out_of_range'
    throw new AimsError(code, `${name} is at least 1`)
  }
  return value
}

function texts(name: string, value: JsonValue | undefined, maxLength: number): readonly string[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw malformed(`${name} is an array of strings`)
  if (value.length > MAX_LIST) throw malformed(`${name} has at most ${MAX_LIST} elements`)
  const list = value.map((one: JsonValue) => text(name, one, maxLength))
  if (list.includes('')) throw malformed(`${name} has an empty string`)
  if (new Set(list).size !== list.length) throw malformed(`${name} has an element twice`)
  return list
}

function text(name: string, value: JsonValue, maxLength: number): string {
  if (typeof value !== 'string') throw malformed(`${name} is made of strings`)
  if (Buffer.byteLength(value) > maxLength) throw malformed(`${name} is longer than ${maxLength} bytes`)
  // Entries are shown on terminals and in logs (L6).
  if (/\p{Cc}/u.test(value)) throw malformed(`${name} has control characters`)
  return value
}

function foreignDomains(value: JsonValue | undefined, own: TrustDomain): readonly TrustDomain[] {
  return texts('federatesWith', value, 255).map((name) => {
    if (name === own) throw malformed('federatesWith names the own trust domain, whose bundle everybody gets')
    if (name.includes('://')) throw malformed('federatesWith has names of trust domains, not SPIFFE IDs')
    return refuseAs('provisioning.malformed_entry', 'federatesWith has a malformed trust domain', () =>
      parseTrustDomain(name),
    )
  })
}

// Read in full by whoever has the verifiers of the types it names.
function optionalObject<Name extends string>(
  name: Name,
  value: JsonValue | undefined,
): { readonly [name in Name]?: JsonObject } {
  if (value === undefined) return {}
  if (!isJsonObject(value)) throw malformed(`${name} is an object`)
  return { [name]: value } as { readonly [name in Name]: JsonObject }
}

function flag(name: string, value: JsonValue): boolean {
  if (typeof value !== 'boolean') throw malformed(`${name} is true or false`)
  return value
}

function malformed(message: string): AimsError {
  return new AimsError('provisioning.malformed_entry', message)
}

/** The entry as JSON for the API and the store; {@link parseEntry} reads it back. */
export function entryToJson({ subAgents, ...entry }: RegistrationEntry): JsonObject {
  return subAgents === undefined ? { ...entry } : { ...entry, subAgents: { ...subAgents } }
}
