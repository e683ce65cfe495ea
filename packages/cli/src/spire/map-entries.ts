import { findUnixSelectorProblem } from 'aims/attestation'
import { AimsError, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { entryToJson, isSelector, parseEntry } from 'aims/provisioning'

/** An entry as AIMS takes it, and what of it somebody should look at. */
export interface MappedEntry {
  readonly entry: JsonObject
  /** Id of the entry in SPIRE. */
  readonly from: string
  readonly notes: readonly string[]
}

/** An entry that has no equal here, and why. */
export interface LeftOut {
  readonly from: string
  readonly spiffeId: string
  readonly reason: string
}

/** What came out. */
export interface SpireMapping {
  readonly entries: readonly MappedEntry[]
  readonly leftOut: readonly LeftOut[]
  /** SPIFFE IDs that stood for machines; what they said is in the `agents` of entries. */
  readonly aliases: readonly string[]
}

/** What all entries get that SPIRE does not know. */
export interface MappingOptions {
  readonly owner?: string
  readonly purpose?: string
}

/** Keys of selectors, by type, that the attestors here show under the names of SPIRE. Absent keys: all of the type. */
const SHOWN: { readonly [type: string]: readonly string[] | undefined } = {
  unix: ['uid', 'user', 'gid', 'group', 'supplementary_gid', 'supplementary_group', 'path', 'sha256'],
  docker: ['label', 'env', 'image_id', 'image_config_digest'],
  k8s: ['ns', 'sa', 'pod-name', 'pod-uid', 'pod-label', 'node-name'],
  k8s_psat: [
    'cluster',
    'agent_ns',
    'agent_sa',
    'agent_pod_name',
    'agent_pod_uid',
    'agent_pod_label',
    'agent_node_name',
    'agent_node_uid',
    'agent_node_ip',
    'agent_node_label',
  ],
  gcp_iit: ['project-id', 'zone', 'instance-name', 'sa'],
  azure_msi: ['subscription-id'],
}

/** A limit of this server is told by `aims entry plan`; here any lifetime is read. */
const ANY = { default: 1, max: Number.MAX_SAFE_INTEGER }

/**
 * Maps entries of SPIRE. Nothing is widened in silence: an entry with a condition that has no equal here is left out, with
 * the reason, and never written without the condition.
 *
 * @param agents - Of `agent list`: what their attestation showed, for entries whose parent is an agent itself.
 */
export function mapSpireEntries(
  spire: readonly JsonObject[],
  agents: readonly JsonObject[],
  options: MappingOptions = {},
): SpireMapping {
  const groups = machineGroups(spire, agents)
  const entries: MappedEntry[] = []
  const leftOut: LeftOut[] = []
  const taken = new Set<string>()
  const aliases: string[] = []
  for (const one of spire) {
    const from = text(one.id)
    const spiffeId = idOf(one.spiffe_id)
    if (isAlias(one)) {
      aliases.push(spiffeId)
      continue
    }
    try {
      if (taken.has(spiffeId))
        throw new Unmapped('another entry has this SPIFFE ID, and here it is one entry per SPIFFE ID')
      const mapped = mapEntry(one, groups, options)
      taken.add(spiffeId)
      entries.push({ ...mapped, from })
    } catch (error) {
      if (!(error instanceof Unmapped)) throw error
      leftOut.push({ from, spiffeId, reason: error.message })
    }
  }
  return { entries, leftOut, aliases }
}

class Unmapped extends Error {}

function mapEntry(
  one: JsonObject,
  groups: MachineGroups,
  { owner, purpose }: MappingOptions,
): Omit<MappedEntry, 'from'> {
  const notes: string[] = []
  if (one.downstream === true)
    throw new Unmapped(
      'it is a downstream server: a SPIRE server cannot be below AIMS, another AIMS can (docs/operations.md)',
    )
  if (one.store_svid === true) throw new Unmapped('its SVIDs are stored elsewhere: here a workload fetches them itself')
  if (Number(one.expires_at ?? 0) !== 0)
    throw new Unmapped('it expires, and entries here do not: register it, and delete it in time')
  const selectors = list(one.selectors).map(selectorOf)
  for (const selector of selectors) requireShown(selector)
  const parent = idOf(one.parent_id)
  const known = groups.get(parent) ?? []
  const shown = known.filter((group) => group.every((selector) => problemOf(selector) === undefined))
  const isMapped = shown.length > 0
  if (isMapped && shown.length < known.length) {
    notes.push(
      `its parent ${parent} is ${known.length} groups of machines, of which ${shown.length} have an equal: the others do not serve it`,
    )
  }
  if (!isMapped)
    notes.push(`its parent ${parent} has no equal: without agents, only the agent beside the server serves it`)
  if (one.admin === true) notes.push('it may administer: here that is the whole server, and not only entries')
  const entry = {
    id: text(one.id),
    spiffeId: idOf(one.spiffe_id),
    selectors,
    ...seconds('x509Ttl', one.x509_svid_ttl ?? one.ttl),
    ...seconds('jwtTtl', one.jwt_svid_ttl),
    ...some(
      'federatesWith',
      list(one.federates_with).map((name) => text(name).replace(/^spiffe:\/\//, '')),
    ),
    ...some(
      'dnsNames',
      list(one.dns_names).map((name) => text(name).toLowerCase()),
    ),
    ...(text(one.hint) === '' ? {} : { hint: text(one.hint) }),
    ...(one.admin === true ? { admin: true } : {}),
    ...(isMapped ? { agents: shown } : {}),
    ...(owner === undefined ? {} : { owner }),
    ...(purpose === undefined ? {} : { purpose }),
  }
  try {
    const trustDomain = parseTrustDomain(trustDomainOf(one.spiffe_id))
    entryToJson(parseEntry(entry, { trustDomain, ttls: { x509: ANY, jwt: ANY, wit: ANY } }))
  } catch (error) {
    if (AimsError.is(error)) throw new Unmapped(error.message)
    throw error
  }
  return { entry, notes }
}

/** Several node entries may have one SPIFFE ID: then machines of each of their groups serve what is below it. */
type MachineGroups = ReadonlyMap<string, readonly (readonly string[])[]>

/**
 * What the parents of entries say about machines: a node entry is the selectors of the machines it stands for, an agent is
 * what its attestation showed.
 */
function machineGroups(spire: readonly JsonObject[], agents: readonly JsonObject[]): MachineGroups {
  const groups = new Map<string, (readonly string[])[]>()
  for (const { id, selectors } of agents) {
    const shown = list(selectors).map(selectorOf)
    if (shown.length > 0 && shown.length <= 16) groups.set(idOf(id), [shown])
  }
  const aliases = new Map<string, (readonly string[])[]>()
  for (const one of spire) {
    if (!isAlias(one)) continue
    const name = idOf(one.spiffe_id)
    aliases.set(name, [...(aliases.get(name) ?? []), list(one.selectors).map(selectorOf)])
  }
  for (const [name, all] of aliases) groups.set(name, all)
  return groups
}

// The parent of a node entry is the server; that of an agent which came by a join token names the agent.
function isAlias({ parent_id: parent, selectors }: JsonObject): boolean {
  if (isJsonObject(parent) && parent.path === '/spire/server') return true
  const types = list(selectors).map((one) => (isJsonObject(one) ? one.type : undefined))
  return types.length > 0 && types.every((type) => type === 'spiffe_id')
}

function requireShown(selector: string): void {
  const problem = problemOf(selector)
  if (problem !== undefined) throw new Unmapped(problem)
}

function problemOf(selector: string): string | undefined {
  const [type = '', key = ''] = selector.split(':')
  if (!isSelector(selector)) return `the selector ${selector} is not of the form type:key:value`
  const keys = Object.hasOwn(SHOWN, type) ? SHOWN[type] : undefined
  if (keys === undefined || !keys.includes(key)) return `no attestor here shows ${type}:${key}`
  return findUnixSelectorProblem(selector)
}

function selectorOf(value: JsonValue): string {
  return isJsonObject(value) ? `${text(value.type)}:${text(value.value)}` : ''
}

function idOf(value: JsonValue | undefined): string {
  return isJsonObject(value) ? `spiffe://${text(value.trust_domain)}${text(value.path)}` : ''
}

function trustDomainOf(value: JsonValue | undefined): string {
  return isJsonObject(value) ? text(value.trust_domain) : ''
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : ''
}

function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : []
}

function seconds(name: string, value: JsonValue | undefined): JsonObject {
  return typeof value === 'number' && value > 0 ? { [name]: value } : {}
}

function some(name: string, values: readonly string[]): JsonObject {
  return values.length === 0 ? {} : { [name]: values }
}
