import { AimsError, type JsonObject } from 'aims/base'
import { pathOf, trustDomainOf } from 'aims/identifiers'
import { type AgentGroup, entryToJson, parseEntry, type RegistrationEntry, type TtlRules } from 'aims/provisioning'

/** What somebody may register who does not administer. */
export interface Delegation {
  /** A SPIFFE ID, or `unix:uid:1000`. */
  readonly registrar: string
  /** Paths of SPIFFE IDs, each with a slash at both ends. */
  readonly prefixes: readonly string[]
  /** Types of selectors, e.g. `unix`. */
  readonly selectorTypes: readonly string[]
  /** Every entry has one of these. Empty: no such demand. */
  readonly requiredSelectors: readonly string[]
  /** Host names that entries may have, and names below them. */
  readonly dnsNames: readonly string[]
  /** The agents on other hosts that entries may name, and parts of these groups. Empty: entries name none. */
  readonly agents: readonly AgentGroup[]
  /** Longest lifetimes, in seconds. Absent: those of the server. */
  readonly maxTtls: { readonly [kind in keyof TtlRules]?: number }
}

/** The delegations of a server by the name of the registrar. */
export type Delegations = ReadonlyMap<string, Delegation>

/** Indexes delegations. */
export function delegationsByRegistrar(list: readonly Delegation[]): Delegations {
  return new Map(list.map((one) => [one.registrar, one]))
}

/** The lifetimes that hold for a registrar: its caps, and defaults that keep to them. */
export function delegatedTtls(ttls: TtlRules, delegation: Delegation | undefined): TtlRules {
  const rule = (kind: keyof TtlRules) => {
    const max = Math.min(ttls[kind].max, delegation?.maxTtls[kind] ?? ttls[kind].max)
    return { default: Math.min(ttls[kind].default, max), max }
  }
  return { x509: rule('x509'), jwt: rule('jwt'), wit: rule('wit') }
}

/**
 * True when a registrar may see an entry, change it and delete it: it is below its paths, gives no rights that only
 * administrators give, names no agents but its own, and is not that of a registrar, whose selectors would be the key to what
 * it may do.
 */
export function isDelegated(entry: RegistrationEntry, delegation: Delegation, all: Delegations): boolean {
  return (
    isBelow(entry, delegation) &&
    !all.has(entry.spiffeId) &&
    privilegesOf(entry).length === 0 &&
    namesOnly(entry, delegation)
  )
}

/**
 * Refuses an entry that a registrar may not make or turn another into.
 *
 * @throws {@link AimsError} `provisioning.not_delegated`, naming the member
 */
export function requireDelegated(entry: RegistrationEntry, delegation: Delegation, all: Delegations): void {
  const { selectorTypes, requiredSelectors, dnsNames } = delegation
  const no = (reason: string): AimsError => new AimsError('provisioning.not_delegated', reason)
  if (!isBelow(entry, delegation)) throw no(`spiffeId is not below ${delegation.prefixes.join(' or ')}`)
  if (all.has(entry.spiffeId)) throw no('spiffeId is that of a registrar: only administrators register those')
  const [privilege] = privilegesOf(entry)
  if (privilege !== undefined) throw no(`${privilege} is set by administrators only`)
  // An agent says what its workloads show: whoever has one would need no selector.
  if (!namesOnly(entry, delegation)) throw no('agents are those that were delegated, or parts of them')
  if (!entry.selectors.every((selector) => selectorTypes.includes(selector.slice(0, selector.indexOf(':'))))) {
    throw no(`selectors are of type ${selectorTypes.join(' or ')} here`)
  }
  if (requiredSelectors.length > 0 && !entry.selectors.some((selector) => requiredSelectors.includes(selector))) {
    throw no(`selectors have one of ${requiredSelectors.join(', ')} here`)
  }
  if (!entry.dnsNames.every((name) => dnsNames.some((given) => name === given || name.endsWith(`.${given}`)))) {
    throw no(dnsNames.length === 0 ? 'dnsNames are not delegated' : `dnsNames are below ${dnsNames.join(' or ')}`)
  }
}

function isBelow({ spiffeId }: RegistrationEntry, { prefixes }: Delegation): boolean {
  const path = pathOf(spiffeId)
  return prefixes.some((prefix) => path.startsWith(prefix))
}

function namesOnly({ agents = [] }: RegistrationEntry, { agents: given }: Delegation): boolean {
  return agents.every((group) => given.some((one) => isPartOf(group, one)))
}

// The more selectors, the fewer agents show all of them.
function isPartOf(group: AgentGroup, whole: AgentGroup): boolean {
  if (typeof group === 'string' || typeof whole === 'string') return group === whole
  return whole.every((selector) => group.includes(selector))
}

// A list of what may be given on, not of what may not: what is added to entries later stays with administrators.
const DELEGABLE: ReadonlySet<string> = new Set<keyof RegistrationEntry>([
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
  'attestation',
  'manifest',
  'agents',
  'revision',
])

/** The members that only administrators set and that are not as in an entry which does not name them. */
function privilegesOf(entry: RegistrationEntry): readonly string[] {
  const { id, spiffeId, selectors } = entry
  const plain: JsonObject = entryToJson(
    parseEntry({ id, spiffeId, selectors }, { trustDomain: trustDomainOf(spiffeId) }),
  )
  const names = Object.keys(entryToJson(entry)).filter((name) => !DELEGABLE.has(name))
  return names.filter((name) => JSON.stringify(entryToJson(entry)[name]) !== JSON.stringify(plain[name]))
}
